"""Directional derivatives of plain stacks of layers: the fast road behind `axiswise.jacobian`.

A decoder is often nothing but linear maps and pointwise functions in a row, with instance norms in
a GAN. Such a stack needs no general automatic differentiation: a tangent goes through a linear map
without its bias, through a pointwise function by its slope, and through a norm by a formula; the
second derivative goes along where a penalty wants it. Doing just that, with activations
channels-last and a few probes at a time, keeps the work in cache and in the convolution library's
best layout.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from axiswise.jacobian.norms import standardized
from axiswise.jacobian.thin import is_thin, thin_conv_transpose
from axiswise.support.precision import full_precision

# Rows of tangents carried at once: enough to fill the cores, few enough to stay in cache.
_ROWS = 64


def plain_layers(generator: object) -> list[nn.Module] | None:
    """The layers of a plain stack in order; None where the generator is anything else.

    A plain stack is an `nn.Sequential`, possibly nested, of the layers below, free of hooks and
    parametrisations.
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
    norm = kind is nn.InstanceNorm2d and not generator.track_running_stats
    known = kind in _LINEAR or kind in _POINTWISE or norm or _keeps_batch(generator)
    return [generator] if known and getattr(generator, "padding_mode", "zeros") == "zeros" else None


def calls(stack: nn.Module) -> list[tuple[nn.Module, int]]:
    """Every module of a plain stack, itself last, and how many layers have run by its end."""
    if not isinstance(stack, nn.Sequential):
        return [(stack, 1)]
    found: list[tuple[nn.Module, int]] = []
    count = 0
    for child in stack:
        inner = calls(child)
        found += [(module, count + end) for module, end in inner]
        count += inner[-1][1]
    return [*found, (stack, count)]


def push_forward(
    layers: list[nn.Module], z: Tensor, probes: Tensor, wanted: Sequence[int], order: int = 1
) -> tuple[list[Tensor], list[Tensor]]:
    """The latents and what each layer makes of them; derivatives along probes after some layers.

    `wanted` says after how many layers; no layer beyond is differentiated. Order 1 is for products
    of the Jacobian with the probes, 2 for second derivatives along them.
    """
    activations = [z]
    rules: list[Rule] = []
    for layer in layers[: max(wanted)]:
        activation, rule = _step(layer, activations[-1], order)
        activations.append(activation)
        rules.append(rule)
    for layer in layers[max(wanted) :]:
        activations.append(_value(layer, activations[-1]))

    together = max(1, _ROWS // z.shape[0])
    if len(probes) <= together:
        return activations, _derivatives(rules, probes, wanted, order)
    parts = [_derivatives(rules, part, wanted, order) for part in probes.split(together)]
    return activations, [torch.cat(derivatives) for derivatives in zip(*parts, strict=True)]


# How a layer carries a first and a second derivative on, (probe, batch, *input) to (probe, batch,
# *output). The second is None while it is zero, and left at that where only the first is wanted.
Rule = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]


def _derivatives(
    rules: list[Rule], probes: Tensor, wanted: Sequence[int], order: int
) -> list[Tensor]:
    ends: list[tuple[Tensor, Tensor | None]] = [(probes, None)]
    for rule in rules:
        ends.append(rule(*ends[-1]))
    if order == 1:
        return [ends[end][0] for end in wanted]
    # No curvature, but a zero that still has a way back to the parameters.
    return [0 * ends[end][0] if (curved := ends[end][1]) is None else curved for end in wanted]


def _step(layer: nn.Module, x: Tensor, order: int) -> tuple[Tensor, Rule]:
    if type(layer) in _POINTWISE:
        return _pointwise(layer, x, order)
    if isinstance(layer, nn.InstanceNorm2d):
        return _instance_norm(layer, x, order)

    def push(tangent: Tensor) -> Tensor:
        rows = _channels_last(tangent.flatten(0, 1))
        linear = _LINEAR.get(type(layer))
        pushed: Tensor = layer(rows) if linear is None else linear(layer, rows)
        return pushed.unflatten(0, tangent.shape[:2])  # type: ignore[no-any-return]

    return _value(layer, x), lambda first, second: (
        push(first),
        None if second is None else push(second),
    )


def _value(layer: nn.Module, x: Tensor) -> Tensor:
    if type(layer) in _POINTWISE:  # not the layer itself, since it may work in place
        return _POINTWISE[type(layer)](layer, x)[0]
    if isinstance(layer, nn.InstanceNorm2d) and x.shape[0] == 1:
        # On a CPU, PyTorch's own has wrong gradients for one sample with channels last.
        return _instance_norm(layer, x, 1)[0]
    return _channels_last(_apply(layer, x))


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


def _instance_norm(layer: nn.InstanceNorm2d, x: Tensor, order: int) -> tuple[Tensor, Rule]:
    if x.dim() != 4:
        raise ValueError(
            "generator must treat samples independently, but its InstanceNorm2d normalises "
            f"{tuple(x.shape)} over the batch"
        )
    standard, _, inverse = standardized(x, [2, 3], layer.eps)
    weight = layer.weight[:, None, None] if layer.affine else 1
    factor = inverse * weight
    y = standard * weight + layer.bias[:, None, None] if layer.affine else standard

    def mean(t: Tensor) -> Tensor:
        return t.mean((3, 4), keepdim=True)

    def rule(first: Tensor, second: Tensor | None) -> tuple[Tensor, Tensor | None]:
        t = full_precision(first)
        along = mean(t * standard)
        across = t - mean(t) - standard * along
        curved = None
        if order == 2:
            # The derivative of the line above: of `inverse`, −inverse²·along; of `standard`, slope.
            slope = inverse * across
            curved = -2 * along * slope - standard * mean(slope * t)
            if second is not None:
                t2 = full_precision(second)
                curved = curved + t2 - mean(t2) - standard * mean(t2 * standard)
            curved = (factor * curved).to(first.dtype)
        return (factor * across).to(first.dtype), curved

    return y.to(x.dtype), rule


def _pointwise(layer: nn.Module, x: Tensor, order: int) -> tuple[Tensor, Rule]:
    y, slope, curvature = _POINTWISE[type(layer)](layer, x)
    factor = slope()

    def rule(first: Tensor, second: Tensor | None) -> tuple[Tensor, Tensor | None]:
        curved = None if second is None else second * factor
        if order == 2 and curvature is not None:
            more = curvature(factor) * first * first
            curved = more if curved is None else curved + more
        return (first * factor).to(first.dtype), None if curved is None else curved.to(first.dtype)

    return y, rule


# A function's value, slope, and second derivative given the slope, None for straight pieces. The
# slope waits to be asked for: behind the last layer that is differentiated, nobody does.
Pointwise = tuple[Tensor, Callable[[], Tensor], Callable[[Tensor], Tensor] | None]


def _relu(_: nn.ReLU, x: Tensor) -> Pointwise:
    y = x.relu()
    # A slope in the activation's own type: multiplying by a boolean takes four times as long.
    return y, lambda: y.detach().sign(), None


def _leaky_relu(layer: nn.LeakyReLU, x: Tensor) -> Pointwise:
    def slope() -> Tensor:
        positive = (x.detach() > 0).to(x.dtype)
        return positive + layer.negative_slope * (1 - positive)

    return F.leaky_relu(x, layer.negative_slope), slope, None


def _tanh(_: nn.Tanh, x: Tensor) -> Pointwise:
    y = full_precision(x).tanh()
    return y.to(x.dtype), lambda: 1 - y * y, lambda slope: -2 * y * slope


def _sigmoid(_: nn.Sigmoid, x: Tensor) -> Pointwise:
    # Under autocast, 1 − y of a bfloat16 y near 1 would have no digits left.
    y = full_precision(x).sigmoid()
    return y.to(x.dtype), lambda: y * (1 - y), lambda slope: (1 - 2 * y) * slope


_LINEAR: dict[type, Callable[..., Tensor]] = {
    nn.Linear: _linear,
    nn.Conv2d: _conv,
    nn.ConvTranspose2d: _conv_transpose,
}
_POINTWISE: dict[type, Callable[..., Pointwise]] = {
    nn.ReLU: _relu,
    nn.LeakyReLU: _leaky_relu,
    nn.Tanh: _tanh,
    nn.Sigmoid: _sigmoid,
}
