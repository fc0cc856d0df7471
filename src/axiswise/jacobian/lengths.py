"""Lengths and deviations inside a generator that is differentiated twice, in plain arithmetic.

PyTorch's own have right second derivatives in forward mode, but no backward pass through those
(pytorch/pytorch#99187).
"""

import math

import torch
from torch import Tensor


def vector_norm(
    x: Tensor, p: float, axes: int | list[int] | None = None, keepdim: bool = False
) -> Tensor | None:
    """The p-norm over the axes, None for all; nothing where PyTorch's own has no fault."""
    if p in (0, 1) or math.isinf(p):
        return None
    axes = list(range(x.dim())) if axes is None or axes == [] else axes
    if p == 2:
        squares = x.real.square() + x.imag.square() if x.is_complex() else x.square()
        return root(squares.sum(axes, keepdim), 2.0)
    sizes = x.abs()
    zero = sizes == 0
    powers = torch.where(zero, 1, sizes).pow(p)
    if p > 0:
        powers = torch.where(zero, 0, powers)
    return root(powers.sum(axes, keepdim), p)


def root(x: Tensor, p: float) -> Tensor:
    """The p-th root of what is ≥ 0, with derivatives of zero where it is 0."""
    zero = x == 0
    safe = torch.where(zero, 1, x)  # two wheres: one would leave NaN derivatives
    return torch.where(zero, 0, safe.sqrt() if p == 2 else safe.pow(1 / p))
