"""From derivatives at hand to numbers: of columns and Gram matrices, and of a whole batch."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from axiswise.jacobian import Derivatives, flat_outputs, gram
from axiswise.support.precision import full_precision

Reduction = Literal["mean", "max"] | None


def l1_lengths(columns: Float[Tensor, "a b ..."], normalize: bool = False) -> Float[Tensor, "a b"]:
    """‖J_i‖₁, or ‖J_i‖₁/‖J_i‖₂ and 0 for a zero column; of (…, …, *output) over the output."""
    flat = full_precision(flat_outputs(columns))
    lengths = flat.abs().sum(2)
    return safe_ratio(lengths, flat.square().sum(2)) if normalize else lengths


def squared_lengths(columns: Float[Tensor, "a b ..."]) -> Float[Tensor, "a b"]:
    """‖J_i‖² of (…, …, *output) over the output."""
    return full_precision(flat_outputs(columns)).square().sum(2)


def column_cosines(products: Float[Tensor, "*batch k k"]) -> Float[Tensor, "*batch k k"]:
    """Gram matrices (…, k, k) scaled to unit diagonal; rows and columns of zeros stay zero."""
    squares = products.diagonal(dim1=-2, dim2=-1)
    inverse = safe_ratio(torch.ones_like(squares), squares)
    return products * inverse[..., :, None] * inverse[..., None, :]


def off_diagonal_energy(products: Float[Tensor, "*batch k k"]) -> Float[Tensor, "*batch"]:
    """2·Σ_{i≠j} of the squared entries of Gram or cosine matrices, (…, k, k) → (…)."""
    # Not the whole minus the diagonal: between nearly orthogonal columns nothing but rounding
    # would be left.
    return 4 * products.triu(1).square().sum((-2, -1))


def orthogonality(
    columns: Float[Tensor, "batch k ..."], normalize: bool = False
) -> Float[Tensor, " batch"]:
    """2·Σ_{i≠j} (J_iᵀJ_j)², or of cosines, of columns (batch, k, *output); (batch,)."""
    products = gram(columns)
    return off_diagonal_energy(column_cosines(products) if normalize else products)


def safe_ratio(
    numerator: Float[Tensor, "*any"], square: Float[Tensor, "*any"]
) -> Float[Tensor, "*any"]:
    """numerator/√square, and 0 with gradient 0 where square is 0."""
    positive = square > 0
    root = torch.where(positive, square, 1).sqrt()  # two wheres: one would leave NaN gradients
    return torch.where(positive, numerator / root, 0)


def reduced(
    derivatives: Derivatives, per_sample: Callable[[Tensor], Tensor], reduction: Reduction
) -> Tensor:
    """Score each activation's samples, reduce over the batch, sum the activations."""
    if reduction not in ("mean", "max", None):
        raise ValueError(f"reduction must be 'mean', 'max' or None, got {reduction!r}")
    if isinstance(derivatives, Tensor):
        return _over_batch(per_sample(derivatives), reduction)
    values = torch.stack([per_sample(activation) for activation in derivatives])
    return values if reduction is None else _over_batch(values.T, reduction).sum()


def reduced_with_outputs(
    derivatives: Derivatives, per_output: Callable[[Tensor], Tensor], reduction: Reduction
) -> Tensor:
    """The same over batch and outputs together."""

    def per_sample(derivative: Tensor) -> Tensor:
        values = per_output(flat_outputs(derivative)).flatten(1)
        return values.amax(1) if reduction == "max" else values.mean(1)

    return reduced(derivatives, per_sample, reduction)


def _over_batch(values: Tensor, reduction: Reduction) -> Tensor:
    """(batch, …) → (…), or as it is."""
    if reduction is None:
        return values
    return values.mean(0) if reduction == "mean" else values.amax(0)
