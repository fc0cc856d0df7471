"""One pass of a generator for both its Jacobian and the loss on what it returns."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

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
        self, generator: Callable[..., Outputs], then: Callable[..., Outputs] | None = None
    ) -> None:
        self.generator, self.then = generator, then
        self._output: Outputs | None = None

    def __call__(self, z: Tensor, **conditioning: Any) -> Outputs:
        """What is differentiated.

        Args:
            z: Latents, (batch, latent).
            **conditioning: Passed on to the generator.

        Returns:
            The generator's output, or `then` of it.
        """
        return self.split(z, **conditioning)[0]

    def split(self, z: Tensor, **conditioning: Any) -> tuple[Outputs, Outputs]:
        """What is differentiated, and what is kept.

        Args:
            z: Latents, (batch, latent).
            **conditioning: Passed on to the generator.

        Returns:
            `then` of the generator's output, and that output.
        """
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
