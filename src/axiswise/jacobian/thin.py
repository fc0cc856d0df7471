"""Transposed convolutions to a few channels, such as the grey values or colours of an image.

The convolution library takes as long for one output channel as for a dozen: on a CPU, most of such
a layer's time is spent on channels that are not there. Here the values that each input pixel
contributes come from one matrix product, and are summed where they overlap.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_FEW = 4


def is_thin(layer: nn.ConvTranspose2d, x: Tensor) -> bool:
    """Whether `thin_conv_transpose` can compute a layer and is faster: few channels, on a CPU."""
    plain = layer.groups == 1 and set(layer.dilation) == {1} and set(layer.output_padding) == {0}
    return plain and layer.out_channels <= _FEW and x.device.type == "cpu"


def thin_conv_transpose(x: Tensor, layer: nn.ConvTranspose2d) -> Tensor:
    """The layer's transposed convolution of (batch, channel, height, width), without its bias."""
    weight = layer.weight
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight = x.to(dtype), weight.to(dtype)
    return _Thin.apply(x, weight, layer.stride, layer.padding)  # type: ignore[no-any-return]


class _Thin(torch.autograd.Function):
    generate_vmap_rule = True  # this and setup_context are for users of torch.func.grad

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        kernel = weight.shape[2:]
        size = [
            (side - 1) * step - 2 * pad + length
            for side, step, pad, length in zip(x.shape[2:], stride, padding, kernel, strict=True)
        ]
        patches = weight.flatten(1).T @ x.flatten(2)  # (batch, channel · kernel, pixel)
        return F.fold(patches, tuple(size), tuple(kernel), stride=stride, padding=padding)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        x, weight, ctx.stride, ctx.padding = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # Only the library's forward pass is slow; its backward pass is not.
        x, weight = ctx.saved_tensors
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False]
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(
            gradients[0], x, weight, None, ctx.stride, ctx.padding, [1, 1], True, [0, 0], 1, wanted
        )
        return of_x, of_weight, None, None
