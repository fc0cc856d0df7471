"""From derivatives at hand to numbers: of columns and Gram matrices, and of a whole batch.

What is squared is divided by a power of two first: no digit changes, and squares of what is far
from 1 neither overflow nor vanish on the way to a value that does not.
"""

import warnings
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from axiswise.jacobian import Derivatives, JacobianOperator, flat_outputs, gram
from axiswise.support.precision import full_precision, power_scaled

Reduction = Literal["mean", "max"] | None


def l1_lengths(columns: Float[Tensor, "a b ..."], normalize: bool = False) -> Float[Tensor, "a b"]:
    """‖J_i‖₁, or ‖J_i‖₁/‖J_i‖₂ and 0 for a zero column; of (…, …, *output) over the output."""
    if not normalize:
        return full_precision(flat_outputs(columns)).abs().sum(2)
    flat = scale_free(columns)
    return safe_ratio(flat.abs().sum(2), flat.square().sum(2))


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
    pairs, power = power_scaled(products.triu(1), (-2, -1))
    return 4 * pairs.square().sum((-2, -1)) * power[..., 0, 0] * power[..., 0, 0]


def variance_of_squares(
    products: Float[Tensor, "probe batch ..."], correction: int = 1
) -> Float[Tensor, " batch"]:
    """The variance over probes of ‖Jv‖², of products (probe, batch, *output)."""
    squares, power = power_scaled(squared_lengths(products), 0)
    return squares.var(0, correction=correction) * power[0] * power[0]


def scale_free(columns: Float[Tensor, "a b ..."]) -> Float[Tensor, "a b output"]:
    """Columns (…, …, *output), each over a power of two, for scores that no scale changes."""
    return power_scaled(full_precision(flat_outputs(columns)), 2)[0]


def orthogonality(
    columns: Float[Tensor, "batch k ..."], normalize: bool = False
) -> Float[Tensor, " batch"]:
    """2·Σ_{i≠j} (J_iᵀJ_j)², or of cosines, of columns (batch, k, *output); (batch,)."""
    if columns.shape[1] == 1:  # has nothing to be orthogonal to, but NaN stays
        return (0 * full_precision(flat_outputs(columns))).sum((1, 2))
    if normalize:
        return off_diagonal_energy(column_cosines(gram(scale_free(columns))))
    return off_diagonal_energy(gram(columns))


def safe_ratio(
    numerator: Float[Tensor, "*any"], square: Float[Tensor, "*any"]
) -> Float[Tensor, "*any"]:
    """numerator/√square, and 0 with gradient 0 where square is 0; NaN stays NaN."""
    positive = square != 0
    root = torch.where(positive, square, 1).sqrt()  # two wheres: one would leave NaN gradients
    return torch.where(positive, numerator / root, 0)


def reduced(
    name: str,
    jacobian: JacobianOperator,
    derivatives: Derivatives,
    per_sample: Callable[[Tensor], Tensor],
    reduction: Reduction,
) -> Tensor:
    """Score each activation's samples, reduce over the batch, sum the activations by their weights.

    Warns where a value overflows or vanishes only because its type holds no such number.
    """
    if reduction not in ("mean", "max", None):
        raise ValueError(f"reduction must be 'mean', 'max' or None, got {reduction!r}")

    def scored(derivative: Tensor) -> Tensor:
        values = per_sample(derivative)
        _warn_of_scale(name, values, derivative, per_sample)
        return values

    if isinstance(derivatives, Tensor):
        return _over_batch(scored(derivatives), reduction)
    values = torch.stack([scored(activation) for activation in derivatives])
    if jacobian.weights is not None:
        values = values * values.new_tensor(jacobian.weights)[:, None]
    return values if reduction is None else _over_batch(values.T, reduction).sum()


@torch.no_grad()
def _warn_of_scale(
    name: str, values: Tensor, derivative: Tensor, per_sample: Callable[[Tensor], Tensor]
) -> None:
    # A GPU would have to be waited for; in training the loop finds what is infinite.
    if values.requires_grad and values.device.type != "cpu":
        return
    info, sizes = torch.finfo(values.dtype), values.detach().abs()
    beyond = (sizes < info.tiny) | ~sizes.isfinite()
    if torch.compiler.is_compiling() or torch._C._functorch.is_batchedtensor(beyond):
        return  # a trace sees no numbers
    if not beyond.any():
        return
    near, power = power_scaled(full_precision(derivative.detach()), tuple(range(derivative.dim())))
    scaled = per_sample(near)[beyond].abs()
    # Below this, what is left of orthogonal columns is rounding.
    if (scaled.isfinite() & (scaled > info.eps)).any():
        what = "vanishes in" if sizes.isfinite().all() else "overflows"
        warnings.warn(
            f"{name} {what} {values.dtype}, where derivatives are about {float(power.max()):.0e}: "
            "take float64 latents and weights, a scale-free form (normalize) or an output in other "
            "units",
            RuntimeWarning,
            stacklevel=5,
        )


def reduced_with_outputs(
    name: str,
    jacobian: JacobianOperator,
    derivatives: Derivatives,
    per_output: Callable[[Tensor], Tensor],
    reduction: Reduction,
) -> Tensor:
    """The same over batch and outputs together."""

    def per_sample(derivative: Tensor) -> Tensor:
        values = per_output(flat_outputs(derivative)).flatten(1)
        return values.amax(1) if reduction == "max" else values.mean(1)

    return reduced(name, jacobian, derivatives, per_sample, reduction)


def _over_batch(values: Tensor, reduction: Reduction) -> Tensor:
    """(batch, …) → (…), or as it is."""
    if reduction is None:
        return values
    return values.mean(0) if reduction == "mean" else values.amax(0)
