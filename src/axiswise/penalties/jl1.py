"""Rhodes & Lee, JL1-VAE (NeurIPS 2021, arXiv 2106.02923): sparse columns, and the control JL2."""

from collections.abc import Callable
from typing import Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from axiswise.jacobian import (
    Generator,
    Index,
    JacobianOperator,
    JacobianOptions,
    Latents,
    as_jacobian,
)
from axiswise.penalties.family import penalty
from axiswise.penalties.sampling import columns_of
from axiswise.penalties.scores import Reduction, l1_lengths, reduced, squared_lengths


@penalty("jl1")
def jl1_penalty(
    generator: Generator | JacobianOperator,
    z: Latents | None = None,
    columns: int | Index | None = None,
    *,
    normalize: bool = False,
    reduction: Reduction = "mean",
    rng: torch.Generator | None = None,
    **options: Unpack[JacobianOptions],
) -> Float[Tensor, "..."]:
    """L1 cost on the Jacobian, Σ_i ‖J_i‖₁ (Rhodes & Lee 2021, arXiv 2106.02923).

    Args:
        generator: Callable (batch, *latent) → (batch, *output), or a tuple or list of such; or its
            `Jacobian`, without z and options.
        z: Latents, (batch, *latent), floating.
        columns: None for all columns, exactly. A number k for k random ones for each sample,
            scaled by latent/k: unbiased, and k/latent of the work. Indices (k,) or (batch, k) for
            columns of your own, scaled likewise.
        normalize: The scale-free form Σ_i ‖J_i‖₁/‖J_i‖₂, which shrinking J does not lower; a
            column of length zero counts 0.
        reduction: "mean" or "max" over the batch; None for a value for each sample.
        rng: Source of randomness of sampled columns; None for torch's global one.
        **options: Of the `Jacobian`: method, epsilon (1e-3 as published), detach, chunk_size,
            layers, then, conditioning.

    Returns:
        A scalar ≥ 0; with reduction=None a tensor (batch,), or (activation, batch) for a
        generator that returns several activations. Not finite, with a RuntimeWarning on
        the CPU, where the value overflows.

    Raises:
        ValueError: On bad arguments, as `Jacobian`.
        TypeError: As `Jacobian`, or on an option beside a `Jacobian`.
        NotImplementedError: As `Jacobian`.

    Example:
        >>> import torch, axiswise as aw
        >>> decoder = torch.nn.Linear(3, 5)
        >>> penalty = aw.jl1_penalty(decoder, torch.zeros(2, 3))
        >>> torch.allclose(penalty, decoder.weight.abs().sum())
        True
    """
    jacobian = as_jacobian(generator, z, options)
    return _summed(
        jacobian, columns, rng, lambda c: l1_lengths(c, normalize), reduction, "jl1_penalty"
    )


@penalty("jl2")
def jl2_penalty(
    generator: Generator | JacobianOperator,
    z: Latents | None = None,
    columns: int | Index | None = None,
    *,
    reduction: Reduction = "mean",
    rng: torch.Generator | None = None,
    **options: Unpack[JacobianOptions],
) -> Float[Tensor, "..."]:
    """Squared L2 cost on the Jacobian, Σ_i ‖J_i‖² (Rhodes & Lee 2021, appendix).

    Arguments, result and errors are those of `jl1_penalty`.
    """
    jacobian = as_jacobian(generator, z, options)
    return _summed(jacobian, columns, rng, squared_lengths, reduction, "jl2_penalty")


def _summed(
    jacobian: JacobianOperator,
    columns: int | Index | None,
    rng: torch.Generator | None,
    lengths: Callable[[Tensor], Tensor],
    reduction: Reduction,
    name: str,
) -> Tensor:
    """The sum of lengths (batch, k) over the columns, scaled up to all of them."""
    found = jacobian.columns_at(columns_of(jacobian, columns, rng))

    def total(column: Tensor) -> Tensor:
        products = column.transpose(0, 1)  # as they lie in memory
        return jacobian.latent / len(products) * lengths(products).sum(0)

    return reduced(name, jacobian, found, total, reduction)
