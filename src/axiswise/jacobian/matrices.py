"""Determinants, solutions and reflections inside a generator that is differentiated.

PyTorch's own have correct derivatives in forward mode, but take the matrix's factors in those for
constants, as its norms do the mean and the variance. Those of `torch.linalg.lu_factor` are right.
"""

import torch
from torch import Tensor


def solve(a: Tensor, b: Tensor, left: bool = True) -> tuple[Tensor, ...]:
    """What `aten::_linalg_solve_ex` does: the solution, the factors, pivots, and errors."""
    factors, pivots, errors = torch.linalg.lu_factor_ex(a)
    vector = b.dim() == 1 or b.shape == a.shape[:-1]
    columns = b.unsqueeze(-1) if vector else b
    found = torch.linalg.lu_solve(factors, pivots, columns, left=left)
    return found.squeeze(-1) if vector else found, factors, pivots, errors


def det(a: Tensor) -> tuple[Tensor, ...]:
    """What `aten::_linalg_det` does: the determinant, the factors and pivots."""
    sign, factors, pivots = _factored(a)
    return sign * factors.diagonal(dim1=-2, dim2=-1).prod(-1), factors, pivots


def slogdet(a: Tensor) -> tuple[Tensor, ...]:
    """What `aten::_linalg_slogdet` does: the sign, the logarithm, the factors and pivots."""
    sign, factors, pivots = _factored(a)
    diagonal = factors.diagonal(dim1=-2, dim2=-1)
    return sign * diagonal.sgn().prod(-1), diagonal.abs().log().sum(-1), factors, pivots


def householder_product(vectors: Tensor, factors: Tensor) -> Tensor:
    """What `torch.linalg.householder_product` does: the first columns of I − τvvᴴ, one by one."""
    rows, columns = vectors.shape[-2:]
    unit = torch.eye(rows, columns, dtype=vectors.dtype, device=vectors.device)
    below, product = vectors.tril(-1) + unit, unit
    for index in reversed(range(factors.shape[-1])):
        v = below[..., index : index + 1]
        product = product - factors[..., index, None, None] * v @ (v.mH @ product)
    return product


def _factored(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The sign of the row's permutation, the factors and the pivots."""
    factors, pivots, _ = torch.linalg.lu_factor_ex(a)
    swapped = pivots != torch.arange(1, 1 + pivots.shape[-1], device=pivots.device)
    return (1 - 2 * (swapped.sum(-1) % 2)).to(a), factors, pivots
