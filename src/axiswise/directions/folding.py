"""Directions made the axes of a generator, by its first layer's weights."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from axiswise.support.precision import exact_convolutions

Network = TypeVar("Network", bound=nn.Module)

_TOLERANCE = 1e-3  # relative; float32 through a dozen layers stays far below


def first_layer(generator: nn.Module, latent_dim: int) -> str:
    """Name of the first linear or convolutional layer, in the order of `named_modules`.

    Raises:
        ValueError: If there is none, or it does not take `latent_dim` inputs.
    """
    for name, module in generator.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            inputs = int(latent_matrix(module).shape[1])
            if inputs != latent_dim:
                raise ValueError(
                    f"generator must take its {latent_dim} latents in its first layer, but "
                    f"{name!r} takes {inputs} inputs: name another with layer="
                )
            return str(name)
    raise ValueError("generator must have a linear or convolutional layer, got none")


def layer_named(generator: nn.Module, name: str) -> nn.Module:
    """A module of a generator by its name in `named_modules()`; a ValueError if there is none."""
    modules: dict[str, nn.Module] = dict(generator.named_modules())
    if name not in modules:
        known = ", ".join(list(modules)[1:9])
        raise ValueError(f"layer must name a module of the generator ({known}, …), got {name!r}")
    return modules[name]


def latent_matrix(layer: nn.Module) -> Tensor:
    """A layer's weight as a matrix (output, latent): a row for each output and place of the kernel.

    Raises:
        TypeError: If it is no `nn.Linear`, nor an `nn.Conv2d` or `nn.ConvTranspose2d` without
            groups.
    """
    if isinstance(layer, nn.Linear):
        return layer.weight
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.groups == 1:
        axis = 0 if isinstance(layer, nn.ConvTranspose2d) else 1
        return layer.weight.movedim(axis, -1).flatten(0, -2)
    raise TypeError(
        "layer must be an nn.Linear, or an nn.Conv2d or nn.ConvTranspose2d without groups, "
        f"got {type(layer).__name__}"
    )


@torch.no_grad()
def with_axes(generator: Network, directions: Tensor, layer: str | None = None) -> Network:
    """A copy of a generator whose axes are directions of the original.

    The copy at w is the original at w·A, A the matrix of directions: the weights of its first layer
    are multiplied by A. With an orthogonal A and normal latents, its images have the same
    distribution.

    Args:
        generator: Latents (batch, latent) → images; the latents are used in `layer` alone.
        directions: A, (latent, latent), a direction in each row.
        layer: Name of the layer that takes the latents; `first_layer` if None.

    Returns:
        The copy, of the same class.

    Raises:
        ValueError: If the directions are not square, do not fit the layer, or the latents are used
            elsewhere too.
        TypeError: If the layer is of a kind that has no such weights.
    """
    latent_dim = directions.shape[-1]
    if directions.shape != (latent_dim, latent_dim):
        raise ValueError(f"directions must be (latent, latent), got {tuple(directions.shape)}")
    name = first_layer(generator, latent_dim) if layer is None else layer
    copied = copy.deepcopy(generator)
    module = layer_named(copied, name)
    weight = latent_matrix(module)
    if weight.shape[1] != latent_dim:
        raise ValueError(
            f"layer must take the {latent_dim} latents, but {name!r} takes {weight.shape[1]} inputs"
        )
    directions = directions.to(weight)
    own = module.weight
    assert isinstance(own, Tensor)
    axis = 0 if isinstance(module, nn.ConvTranspose2d) else 1
    own.copy_(torch.tensordot(directions, own, dims=([1], [axis])).movedim(0, axis))

    w = torch.linspace(-1, 1, 4 * latent_dim).to(own).view(4, latent_dim).sin()
    with exact_convolutions():
        expected, found = generator(w @ directions), copied(w)
    if not (expected - found).abs().max() <= _TOLERANCE * expected.abs().max():
        raise ValueError(f"generator must use its latents in {name!r} alone, but does elsewhere")
    return copied
