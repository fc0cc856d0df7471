"""What of a generator is differentiated, and what is kept of the same pass."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from axiswise.jacobian.checks import Generator, Outputs, described
from axiswise.support.replay import parts


class Pass:
    """One pass of a generator, of which one part is differentiated and one is kept."""

    def __init__(
        self,
        generator: Generator,
        then: Callable[..., Outputs] | None = None,
        layers: Sequence[str] = (),
    ) -> None:
        self.generator, self.then = generator, then
        self.layers = _named(generator, layers) if len(layers) else {}
        if self.layers and then is not None:
            raise ValueError(f"layers must go without then, got both, layers {list(layers)}")

    @property
    def callables(self) -> list[object]:
        """What the generator, and what comes after it, are made of."""
        return [*parts(self.generator), *parts(self.then)]

    def differentiated(self, z: Tensor, **conditioning: Any) -> Outputs:
        """What is differentiated; what comes after the last of the layers is not run."""
        if not self.layers:
            return self.both(z, **conditioning)[0]
        with self._watched(last=_stop) as outputs, contextlib.suppress(_AllCollected):
            self.generator(z, **conditioning)
        return self._collected(outputs)

    def both(self, z: Tensor, **conditioning: Any) -> tuple[Outputs, Outputs]:
        """What is differentiated, and the generator's output, without tangents behind layers."""
        if self.layers:
            with self._watched(last=_without_tangent) as outputs:
                output = self.generator(z, **conditioning)
            return self._collected(outputs), output
        output = self.generator(z, **conditioning)
        return (output if self.then is None else self.then(output)), output

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
                    f"layers must each return a tensor, but {name!r} returns {described(output)}"
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


def reattached(z: Tensor, here: Tensor, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Outputs computed at `here`, a z cut off its graph, with a way back to z."""
    return _Reattached.apply(z, here, *outputs)  # type: ignore[no-any-return]


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
