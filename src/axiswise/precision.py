"""Digits enough for sums and slopes, under autocast too."""

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
