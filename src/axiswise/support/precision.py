"""Digits enough for sums, slopes and small differences."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def full_precision(tensor: Tensor) -> Tensor:
    """The tensor in float32 if it has fewer digits than that, else the tensor itself.

    Args:
        tensor: A floating tensor of any shape.

    Returns:
        A tensor of the same shape, float32 or float64.
    """
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def power_scaled(tensor: Tensor, dim: int | tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Divides by a power of two, so that squares neither overflow nor vanish, and no digit changes.

    Args:
        tensor: Floating.
        dim: The dimensions that share a power: their largest entry becomes about 1.

    Returns:
        The tensor over the power, and the power, with length 1 in `dim` and without gradient: 1 for
        zeros, and for what is not finite.
    """
    with torch.no_grad():
        largest = tensor.abs().amax(dim, keepdim=True)
        exponent = torch.frexp(largest).exponent
        usual = largest.isfinite() & (largest > 0)
        bound = round(-math.log2(torch.finfo(tensor.dtype).tiny))  # its inverse is no denormal
        exponent = torch.where(usual, exponent, 0).clamp(-bound, bound)
        power = torch.ldexp(torch.ones_like(largest), exponent)
    return tensor * power.reciprocal(), power


def equal_up_to_rounding(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors differ by no more than another order of sums makes them differ.

    Args:
        one: A floating tensor.
        other: One of its shape.
    """
    if one.numel() == 0:
        return True
    largest = full_precision(one).abs().max()
    bound = 64 * torch.finfo(one.dtype).eps * largest
    return bool((one - other).abs().max() <= bound or not largest.isfinite())


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Within it, float32 convolutions on a GPU keep all their digits.

    By default cuDNN rounds what it multiplies to ten binary digits (TF32): differences of nearly
    equal images would be mostly rounding.
    """
    if not torch.cuda.is_available():
        yield
        return
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
