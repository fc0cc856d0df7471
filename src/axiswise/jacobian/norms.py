"""Normalisation inside a generator that is differentiated, in plain arithmetic.

PyTorch's own norms have correct derivatives in forward mode, but take the mean and the variance in
those for constants: without a word, gradients of the Jacobian and second derivatives come out wrong
(pytorch/pytorch#196699). Group norm's fail where channels lie innermost in memory.
"""

from typing import Any

import torch
from torch import Tensor

from axiswise.support.precision import full_precision


def standardized(x: Tensor, axes: list[int], eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The tensor at mean 0 and variance 1 over the axes, in float32 or better; mean and factor."""
    x = full_precision(x)
    mean = x.mean(axes, keepdim=True)
    centred = x - mean
    factor = (centred.square().mean(axes, keepdim=True) + eps).rsqrt()
    return centred * factor, mean, factor


def layer_norm(
    input: Tensor,
    normalized_shape: list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    **_: Any,
) -> tuple[Tensor, ...]:
    """What `aten::native_layer_norm` does: the output, mean, and inverse deviation."""
    standard, mean, factor = standardized(input, list(range(-len(normalized_shape), 0)), eps)
    return _scaled(standard, weight, bias, input.dtype), mean, factor


def rms_norm(
    input: Tensor,
    normalized_shape: list[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> tuple[Tensor, ...]:
    """What `aten::_fused_rms_norm` does: the output, and the inverse root mean square."""
    x = full_precision(input)
    least = torch.finfo(input.dtype).eps if eps is None else eps
    axes = list(range(-len(normalized_shape), 0))
    factor = (x.square().mean(axes, keepdim=True) + least).rsqrt()
    return _scaled(x * factor, weight, None, input.dtype), factor


def group_norm(
    input: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> tuple[Tensor, ...]:
    """What `aten::native_group_norm` does: the output, mean, and inverse deviation."""
    # To split an axis takes no copy, whatever the order in memory.
    grouped = input.unflatten(1, (groups, -1))
    standard, mean, factor = standardized(grouped, list(range(2, grouped.dim())), eps)
    output = _by_channel(standard.flatten(1, 2), weight, bias, input.dtype)
    return output, mean.flatten(1), factor.flatten(1)


def instance_norm(
    input: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """What `aten::instance_norm` does with the input's own statistics."""
    standard, _, _ = standardized(input, list(range(2, input.dim())), eps)
    return _by_channel(standard, weight, bias, input.dtype)


def batch_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, ...]:
    """What `aten::native_batch_norm` does in training: the output, mean, and inverse deviation."""
    axes = [axis for axis in range(input.dim()) if axis != 1]
    standard, mean, factor = standardized(input, axes, eps)
    return _by_channel(standard, weight, bias, input.dtype), mean.flatten(), factor.flatten()


def _by_channel(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, dtype: torch.dtype
) -> Tensor:
    shape = (-1, *[1] * (x.dim() - 2))
    weight, bias = (None if each is None else each.view(shape) for each in (weight, bias))
    return _scaled(x, weight, bias, dtype)


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    if weight is not None:
        x = x * weight
    if bias is not None:
        x = x + bias
    return x.to(dtype)
