"""Digits enough for sums, slopes and small differences."""

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
