"""The Jacobian of any generator, and the functions that ask one thing of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

import torch
from torch import Tensor

from axiswise.jacobian.checks import (
    Generator,
    Method,
    Outputs,
    check_latents,
    check_rows,
    check_settings,
    checked_weights,
)
from axiswise.jacobian.failures import explained
from axiswise.jacobian.kernels import Kernels
from axiswise.jacobian.layers import Pass, reattached
from axiswise.jacobian.operators import (
    Along,
    Columns,
    Derivatives,
    Directions,
    Grams,
    Index,
    JacobianOperator,
    Latents,
    Probes,
    Products,
    Pulled,
)
from axiswise.jacobian.push import pull_checked, push


class JacobianOptions(TypedDict, total=False):
    """Options of a `Jacobian` that functions of (generator, z) pass on to it."""

    method: Method
    epsilon: float | None
    detach: bool
    chunk_size: int | None
    layers: Sequence[str] | Mapping[str, float]
    then: Callable[..., Outputs] | None
    conditioning: Mapping[str, Any] | None


class Jacobian(JacobianOperator):
    """The Jacobian of a generator at latents, known by its products.

    A *generator* is any callable that turns latents (batch, *latent) into a tensor
    (batch, *output), or into a tuple or list of such tensors (several activations). Each sample's
    output must depend on its own latents alone. A generator that checkpoints itself
    (`torch.utils.checkpoint`) needs `method="finite"`, or `chunk_size` in place of its own
    checkpoints.

    Results are differentiable with respect to the generator's parameters. The generator's output is
    kept of the first pass: given to a penalty, a Jacobian spares a training step the second run of
    the generator, and both terms get the gradients that two runs would give them.

    Args:
        generator: What is differentiated.
        z: Latents, (batch, *latent), floating.
        method: "forward" for exact forward-mode derivatives; "finite" for differences: one-sided,
            (G(z + εv) − G(z))/ε, as published by JL1-VAE (arXiv 2106.02923) and OroJaR
            (arXiv 2108.07668), central for second derivatives.
        epsilon: Step of the differences, > 0. None for what the asking function publishes: 1e-3
            for columns, products and JL1, 0.1 for OroJaR and the Hessian Penalty.
        detach: Cut the graph at z, as both papers' code does. Gradients of `output` go to z anyway.
        chunk_size: Bound on the batch times probes that are pushed through the generator at once;
            the result does not change. While gradients are recorded, each chunk is run once more in
            the backward pass instead of being kept.
        layers: Names of layers, as in `generator.named_modules()`, if their outputs are to be
            differentiated instead, a tuple of tensors in this order, also for one name. Each must
            be called once in a pass and return a tensor. OroJaR's GANs penalise their convolutions'
            outputs in this way. A mapping from names to numbers ≥ 0 says how much each counts in a
            penalty's sum over them.
        then: A function of what the generator returns, if the Jacobian is to be taken through it
            while `output` stays what comes before: the sigmoid after a decoder's logits, say.
        conditioning: Keyword arguments for the generator. A tensor with a row for each sample is
            split along with the batch where `chunk_size` splits it.

    Attributes:
        generator: As given.
        z: As given.

    Raises:
        ValueError: On a wrong shape, epsilon ≤ 0, chunk_size < 1, an unknown method, unknown or
            repeated layers, layers together with then; later, on a generator in which samples
            depend on each other (batch norm in train mode).
        TypeError: If z is not floating, layers are one string or the generator has none; later, if
            the generator returns something else than tensors.
        NotImplementedError: Later, if an operation has no forward-mode derivative.

    Example:
        >>> import torch, axiswise as aw
        >>> decoder, z = torch.nn.Linear(3, 5), torch.zeros(2, 3)
        >>> J = aw.Jacobian(decoder, z, then=torch.nn.Sigmoid())
        >>> penalty = aw.jl1_penalty(J)
        >>> torch.equal(J.output, decoder(z))
        True
    """

    def __init__(
        self,
        generator: Generator,
        z: Latents,
        method: Method = "forward",
        *,
        epsilon: float | None = None,
        detach: bool = True,
        chunk_size: int | None = None,
        layers: Sequence[str] | Mapping[str, float] = (),
        then: Callable[..., Outputs] | None = None,
        conditioning: Mapping[str, Any] | None = None,
    ) -> None:
        check_latents(z)
        check_settings(method, epsilon, chunk_size)
        self.generator, self.z = generator, z
        self.shape, self.dtype, self.device = z.shape, z.dtype, z.device
        if isinstance(layers, Mapping):
            self.weights, layers = checked_weights(layers), list(layers)
        self._pass = Pass(generator, then, layers)
        self._method, self._epsilon = method, epsilon
        self._detach, self._chunk_size = detach, chunk_size
        self._conditioning = dict(conditioning or {})
        self._keeps = True
        self._output: Outputs | None = None
        self._recorded = False

    def products(self, probes: Probes, *, step: float = 1e-3) -> Products:
        """Products Jv with probes v, (probe, batch, *latent) → (probe, batch, *output).

        A tuple of such where the generator returns several tensors. `step` is of finite differences
        where the Jacobian has no epsilon. NaN for samples whose outputs are NaN.
        """
        return self._pushed(probes, 1, step)

    def curvatures(self, probes: Probes, *, step: float = 0.1) -> Products:
        """Second derivatives vᵀHv of each output along probes v; shapes as in `products`.

        Differences are central, (G(z + εv) − 2G(z) + G(z − εv))/ε².
        """
        return self._pushed(probes, 2, step)

    def transposed_products(self, probes: Tensor | Sequence[Tensor]) -> Pulled:
        """Products Jᵀu, by reverse mode.

        Args:
            probes: (probe, batch, *output); one such for each of several tensors.

        Returns:
            (probe, batch, *latent), differentiable in the parameters and the probes.

        Raises:
            ValueError: With method "finite", on probes of another shape, or where the generator
                records no gradients.
        """
        if self._method == "finite":
            raise ValueError("method must be 'forward' for transposed products, got 'finite'")
        given = (probes,) if isinstance(probes, Tensor) else tuple(probes)
        if any(each.dim() < 2 or each.shape[1] != self.batch for each in given):
            raise ValueError(
                f"probes must be (probe, batch, *output) with batch {self.batch}, "
                f"got {[tuple(each.shape) for each in given]}"
            )
        here = self.z.detach() if self._detach else self.z
        return pull_checked(self._pass, here, given, self._conditioning, self._chunk_size)

    def along(self, directions: Directions) -> Along:
        """The Jacobian of w ↦ G(z + wA) at w = 0, differentiable in A, (direction, *latent)."""
        return Along(self, directions)

    @property
    def output(self) -> Any:
        """What the generator returns at z, a tensor or several, of the first pass if there was one.

        Its gradients go to the latents, with `detach=True` too.
        """
        if self._output is None or (torch.is_grad_enabled() and not self._recorded):
            with (
                explained(self._pass, self.z, self._alone, forward=False),
                Kernels(self.batch, order=0),
            ):
                output = self.generator(self.z.clone(), **self._conditioning)
            self._output, self._recorded = output, torch.is_grad_enabled()
        return self._output

    def _alone(self) -> tuple[Tensor, Callable[[Tensor], Outputs]]:
        """Latents, and a pass."""
        return self.z.detach(), lambda z: self.generator(z.clone(), **self._conditioning)

    def _pushed(self, probes: Tensor, order: Literal[1, 2], step: float) -> Derivatives:
        check_rows(probes, self.shape)
        here = self.z.detach() if self._detach else self.z
        if self._keeps and self._detach and self.z.requires_grad:
            here.requires_grad_()  # the output needs a way back to z even if the penalty has none
        found = push(
            self._pass,
            here,
            probes,
            order=order,
            method=self._method,
            epsilon=step if self._epsilon is None else self._epsilon,
            chunk_size=self._chunk_size,
            conditioning=self._conditioning,
            keep=self._keeps,
        )
        if self._keeps:
            outputs = found.outputs
            if here is not self.z and self.z.requires_grad and torch.is_grad_enabled():
                outputs = reattached(self.z, here, outputs)
            self._output = outputs if found.several_outputs else outputs[0]
            self._recorded = torch.is_grad_enabled()
        return found.derivatives if found.several else found.derivatives[0]


def as_jacobian(
    generator: Generator | JacobianOperator, z: Tensor | None, options: JacobianOptions
) -> JacobianOperator:
    """A Jacobian as it was given, or that of the generator at z, for a single question."""
    if isinstance(generator, JacobianOperator):
        if z is not None or options:
            name = "z" if z is not None else next(iter(options))
            raise TypeError(f"{name} must be given to the Jacobian, not beside it")
        return generator
    if z is None:
        raise TypeError("z must be given with a generator; a Jacobian alone needs none")
    jacobian = Jacobian(generator, z, **options)
    # With layers, the whole pass shows whether each of them is called once.
    jacobian._keeps = bool(options.get("layers"))
    return jacobian


def jacobian_columns(
    generator: Generator | JacobianOperator,
    z: Latents | None = None,
    columns: Index | None = None,
    **options: Unpack[JacobianOptions],
) -> Columns:
    """Columns of the generator's Jacobian: what an infinitesimal change of each latent does.

    Args:
        generator: As in `Jacobian`; or a `Jacobian`, without z and options.
        z: Latents, (batch, *latent), floating.
        columns: Indices of the wanted columns in C order, (k,), or (batch, k) for each sample its
            own; None for all.
        **options: As in `Jacobian`.

    Returns:
        (batch, k, *output); a tuple of such tensors where the generator returns several.

    Raises:
        ValueError: As `Jacobian`, or on an index out of range.
        TypeError: As `Jacobian`, or on an option beside a `Jacobian`.
        NotImplementedError: As `Jacobian`.

    Example:
        >>> import torch, axiswise as aw
        >>> weight = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        >>> aw.jacobian_columns(lambda z: z @ weight.T, torch.zeros(1, 2))[0]
        tensor([[1., 3., 5.],
                [2., 4., 6.]])
    """
    return as_jacobian(generator, z, options).columns(columns)


def jacobian_products(
    generator: Generator,
    z: Latents,
    probes: Probes,
    **options: Unpack[JacobianOptions],
) -> Products:
    """Products Jv of the generator's Jacobian with probes v; see `Jacobian.products`."""
    return as_jacobian(generator, z, options).products(probes)


def jacobian_gram(
    generator: Generator | JacobianOperator,
    z: Latents | None = None,
    **options: Unpack[JacobianOptions],
) -> Grams:
    """Gram matrix JᵀJ of the columns for each sample; arguments as in `jacobian_columns`."""
    return as_jacobian(generator, z, options).gram()
