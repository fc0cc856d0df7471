"""What penalties and metrics compute of columns and Gram matrices that are at hand."""

import torch
from jaxtyping import Float
from torch import Tensor

from axiswise.jacobian import flat_outputs, gram
from axiswise.support.precision import full_precision


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
