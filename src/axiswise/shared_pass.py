"""One pass of a generator for both its Jacobian and the loss on what it returns."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

Outputs = Tensor | Sequence[Tensor]


class SharedPass:
    """A generator that keeps what it returned while its Jacobian was taken.

    A training step needs a generator's output for its loss, and a penalty runs the generator once
    more. Given to a penalty in the generator's place, a `SharedPass` spares that second run:
    `output` is what the penalty's own pass computed. Gradients of `output` go to the latents even
    where the penalty cuts the graph at them (`detach=True`): both terms get the gradients that two
    runs would give them.

    Args:
        generator: As in `jacobian_columns`.
        then: A function of what the generator returns, if the Jacobian is to be taken through it
            while `output` stays what comes before: the sigmoid after a decoder's logits, say.
        layers: Names of layers, as in `generator.named_modules()`, if the Jacobian is to be taken
            of their outputs instead, a tuple of tensors in the order given, also for one name.
            `output` stays what the whole generator returns, and derivatives are carried to the
            last of these layers only. OroJaR's GANs penalise their convolutions' outputs in this
            way (arXiv 2108.07668). Each layer must be called once in a pass and return a tensor.

    Attributes:
        generator: As given.
        then: As given.
        layers: The layers by their names; empty if none were given.

    Raises:
        TypeError: If layers is one string instead of several, or the generator is no `nn.Module`
            with layers.
        ValueError: On names that the generator does not have, a name given twice, or layers
            together with then.

    Example:
        >>> import torch, axiswise as aw
        >>> decoder = torch.nn.Linear(3, 5)
        >>> shared = aw.SharedPass(decoder, then=torch.nn.Sigmoid())
        >>> z = torch.zeros(2, 3)
        >>> penalty = aw.jl1_penalty(shared, z)
        >>> torch.equal(shared.output, decoder(z))
        True
    """

    def __init__(
        self,
        generator: Callable[..., Outputs],
        then: Callable[..., Outputs] | None = None,
        layers: Sequence[str] = (),
    ) -> None:
        self.generator, self.then = generator, then
        self.layers = _named(generator, layers) if len(layers) else {}
        if self.layers and then is not None:
            raise ValueError(f"layers must go without then, got both, layers {list(layers)}")
        self._output: Outputs | None = None

    def __call__(self, z: Tensor, **conditioning: Any) -> Outputs:
        """What is differentiated; with `layers`, what comes after the last of them is not run.

        Args:
            z: Latents, (batch, latent).
            **conditioning: Passed on to the generator.

        Returns:
            The generator's output, or `then` of it, or the outputs of `layers`.

        Raises:
            ValueError: If one of the layers is not called once in the pass.
            TypeError: If one of the layers returns no tensor.
        """
        if not self.layers:
            return self.split(z, **conditioning)[0]
        with self._watched(last=_stop) as outputs, contextlib.suppress(_AllCollected):
            self.generator(z, **conditioning)
        return self._collected(outputs)

    def split(self, z: Tensor, **conditioning: Any) -> tuple[Outputs, Outputs]:
        """What is differentiated, and what is kept.

        Args:
            z: Latents, (batch, latent).
            **conditioning: Passed on to the generator.

        Returns:
            The generator's output, or `then` of it, or the outputs of `layers`; and the generator's
            output, which has no forward-mode derivative where there are layers.

        Raises:
            ValueError: If one of the layers is not called once in the pass.
            TypeError: If one of the layers returns no tensor.
        """
        if self.layers:
            with self._watched(last=_without_tangent) as outputs:
                output = self.generator(z, **conditioning)
            return self._collected(outputs), output
        output = self.generator(z, **conditioning)
        return (output if self.then is None else self.then(output)), output

    @property
    def output(self) -> Any:
        """What the generator returned when its Jacobian was last taken: a tensor, or several.

        Raises:
            RuntimeError: If it has not been taken yet.
        """
        if self._output is None:
            raise RuntimeError("output is there after a penalty or a Jacobian of the SharedPass")
        return self._output

    def keep(self, outputs: tuple[Tensor, ...], several: bool, z: Tensor, here: Tensor) -> None:
        """Store outputs that were computed at `here`, and make them differentiable in z.

        Args:
            outputs: What the generator returned.
            several: Whether it returned a tuple or list of tensors rather than one.
            z: Latents as they were given, (batch, latent).
            here: Where the generator was run: z itself, or z cut off its graph.
        """
        if here is not z and z.requires_grad and torch.is_grad_enabled():
            outputs = _Reattached.apply(z, here, *outputs)
        self._output = outputs if several else outputs[0]

    @contextlib.contextmanager
    def _watched(self, last: Callable[[Tensor], Tensor]) -> Iterator[dict[str, Tensor]]:
        """Collect what the layers return; `last` makes what goes on from the last one to run."""
        outputs: dict[str, Tensor] = {}

        def collect(name: str, output: object) -> Tensor:
            if name in outputs:
                raise ValueError(
                    f"layers must each be called once in a pass, but {name!r} is called twice"
                )
            if not isinstance(output, Tensor):
                raise TypeError(
                    f"layers must each return a tensor, but {name!r} returns "
                    f"{type(output).__name__}"
                )
            outputs[name] = output
            # A copy goes on, since what follows may work in place.
            return output.clone() if len(outputs) < len(self.layers) else last(output)

        with contextlib.ExitStack() as hooks:
            for name, module in self.layers.items():
                hooks.enter_context(
                    module.register_forward_hook(
                        lambda _module, _inputs, output, name=name: collect(name, output)
                    )
                )
            yield outputs

    def _collected(self, outputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        missing = [name for name in self.layers if name not in outputs]
        if missing:
            raise ValueError(
                f"layers must each be called once in a pass, but {missing} are not called"
            )
        return tuple(outputs[name] for name in self.layers)


def _named(generator: object, layers: Sequence[str]) -> dict[str, nn.Module]:
    if isinstance(layers, str):
        raise TypeError(f"layers must be several names, ({layers!r},) for one, got {layers!r}")
    if not isinstance(generator, nn.Module):
        raise TypeError(
            "layers must be names in an nn.Module, but the generator is of type "
            f"{type(generator).__name__}"
        )
    if len(set(layers)) < len(layers):
        raise ValueError(f"layers must name each layer once, got {list(layers)}")
    modules = dict(generator.named_modules())
    unknown = [name for name in layers if name not in modules]
    if unknown:
        raise ValueError(f"layers must be among {list(modules)}, got {unknown}")
    return {name: modules[name] for name in layers}


class _AllCollected(Exception):
    """The outputs of all layers are there, and nothing else is wanted of the pass."""


def _stop(_output: Tensor) -> Tensor:
    raise _AllCollected


def _without_tangent(output: Tensor) -> Tensor:
    # Of a second derivative only the inner of two tangents can be taken off here; the outer one is
    # carried on, which costs time and changes nothing.
    primal: Tensor = forward_ad.unpack_dual(output).primal
    return primal.clone()


class _Reattached(torch.autograd.Function):
    """Outputs as they are; their gradients also go to the latents they were cut off from.

    What a penalty adds to the outputs' gradients does not: the way back to the latents is walked
    here with the loss's share alone, the way to the parameters later with both shares together.
    """

    @staticmethod
    def forward(ctx: Any, _z: Tensor, here: Tensor, *outputs: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(here, *outputs)
        return tuple(output.view_as(output) for output in outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        here, *outputs = ctx.saved_tensors
        (of_z,) = torch.autograd.grad(outputs, here, gradients, retain_graph=True)
        return of_z, None, *gradients
