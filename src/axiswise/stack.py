"""Jacobian products of plain stacks of layers: the fast road behind `axiswise.jacobian`.

A decoder is often nothing but linear maps and pointwise functions in a row. Such a stack needs no
general automatic differentiation: a tangent goes through a linear map without its bias, and through
a pointwise function by its slope. Doing just that, with activations channels-last and a few probes
at a time, keeps the work in cache and in the convolution library's best layout.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from axiswise.precision import full_precision
from axiswise.thin import is_thin, thin_conv_transpose

# Rows of tangents carried at once: enough to fill the cores, few enough to stay in cache.
_ROWS = 64


def plain_layers(generator: object) -> list[nn.Module] | None:
    """The layers of a plain stack, or None where the generator is anything else.

    Args:
        generator: Any object. A plain stack is an `nn.Sequential`, possibly nested, of the layers
            below, free of hooks and parametrisations.

    Returns:
        The layers in order, or None.
    """
    if not isinstance(generator, nn.Module) or _is_altered(generator):
        return None
    if isinstance(generator, nn.Sequential) and type(generator).forward is nn.Sequential.forward:
        layers: list[nn.Module] = []
        for child in generator:
            inner = plain_layers(child)
            if inner is None:
                return None
            layers.extend(inner)
        return layers
    kind = type(generator)
    known = kind in _LINEAR or kind in _POINTWISE or _keeps_batch(generator)
    return [generator] if known and getattr(generator, "padding_mode", "zeros") == "zeros" else None


def push_forward(layers: list[nn.Module], z: Tensor, probes: Tensor) -> tuple[list[Tensor], Tensor]:
    """The latents and what each layer of a plain stack makes of them; its products with probes.

    Args:
        layers: What `plain_layers` returned.
        z: Latents, (batch, latent).
        probes: Directions, (probe, batch, latent).

    Returns:
        (batch, latent), then (batch, *output) of each layer; and the products of the whole
        stack's Jacobian with the probes, (probe, batch, *output).
    """
    activation = z
    activations = [z]
    slopes: list[Tensor | None] = []
    for layer in layers:
        if type(layer) in _POINTWISE:
            activation, slope = _POINTWISE[type(layer)](layer, activation)
            slopes.append(slope)
        else:
            activation = _channels_last(_apply(layer, activation))
            slopes.append(None)
        activations.append(activation)

    together = max(1, _ROWS // z.shape[0])
    products = [_products(layers, slopes, part) for part in probes.split(together)]
    return activations, torch.cat(products)


def _products(layers: list[nn.Module], slopes: list[Tensor | None], probes: Tensor) -> Tensor:
    count, batch = probes.shape[:2]
    tangent = probes.flatten(0, 1)
    for layer, slope in zip(layers, slopes, strict=True):
        if slope is not None:
            moved = tangent.view(count, batch, *slope.shape[1:]) * slope
            tangent = moved.flatten(0, 1).to(tangent.dtype)
        elif type(layer) in _LINEAR:
            tangent = _LINEAR[type(layer)](layer, _channels_last(tangent))
        else:
            tangent = layer(tangent)
    return tangent.reshape(count, batch, *tangent.shape[1:])


def _apply(layer: nn.Module, x: Tensor) -> Tensor:
    if isinstance(layer, nn.ConvTranspose2d) and is_thin(layer, x):
        y = thin_conv_transpose(x, layer)
        return y if layer.bias is None else y + layer.bias[:, None, None].to(y.dtype)
    return layer(x)  # type: ignore[no-any-return]


def _channels_last(tensor: Tensor) -> Tensor:
    if tensor.dim() == 4:
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor


def _is_altered(module: nn.Module) -> bool:
    hooked = module._forward_hooks or module._forward_pre_hooks
    return bool(hooked) or "forward" in vars(module)


def _keeps_batch(module: nn.Module) -> bool:
    """Whether the module is one that reshapes, and leaves the first axis alone."""
    if type(module) is nn.Flatten:
        return module.start_dim >= 1
    if type(module) is nn.Unflatten:
        return isinstance(module.dim, int) and (module.dim >= 1 or module.dim == -1)
    return type(module) is nn.Identity


def _linear(layer: nn.Linear, tangent: Tensor) -> Tensor:
    return F.linear(tangent, layer.weight)


def _conv(layer: nn.Conv2d, tangent: Tensor) -> Tensor:
    return F.conv2d(
        tangent, layer.weight, None, layer.stride, layer.padding, layer.dilation, layer.groups
    )


def _conv_transpose(layer: nn.ConvTranspose2d, tangent: Tensor) -> Tensor:
    if is_thin(layer, tangent):
        return thin_conv_transpose(tangent, layer)
    assert isinstance(layer.padding, tuple)  # transposed convolutions have no named paddings
    return F.conv_transpose2d(
        tangent,
        layer.weight,
        None,
        layer.stride,
        layer.padding,
        layer.output_padding,
        layer.groups,
        layer.dilation,
    )


def _relu(_: nn.ReLU, x: Tensor) -> tuple[Tensor, Tensor]:
    y = x.relu()
    # A slope in the activation's own type: multiplying by a boolean takes four times as long.
    return y, y.detach().sign()


def _leaky_relu(layer: nn.LeakyReLU, x: Tensor) -> tuple[Tensor, Tensor]:
    positive = (x.detach() > 0).to(x.dtype)
    return F.leaky_relu(x, layer.negative_slope), positive + layer.negative_slope * (1 - positive)


def _tanh(_: nn.Tanh, x: Tensor) -> tuple[Tensor, Tensor]:
    y = full_precision(x).tanh()
    return y.to(x.dtype), 1 - y * y


def _sigmoid(_: nn.Sigmoid, x: Tensor) -> tuple[Tensor, Tensor]:
    # Under autocast, 1 − y of a bfloat16 y near 1 would have no digits left.
    y = full_precision(x).sigmoid()
    return y.to(x.dtype), y * (1 - y)


_LINEAR: dict[type, Callable[..., Tensor]] = {
    nn.Linear: _linear,
    nn.Conv2d: _conv,
    nn.ConvTranspose2d: _conv_transpose,
}
_POINTWISE: dict[type, Callable[..., tuple[Tensor, Tensor]]] = {
    nn.ReLU: _relu,
    nn.LeakyReLU: _leaky_relu,
    nn.Tanh: _tanh,
    nn.Sigmoid: _sigmoid,
}
