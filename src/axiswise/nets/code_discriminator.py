"""FactorVAE's discriminator (Kim & Mnih, ICML 2018, arXiv 1802.05983)."""

import itertools

from torch import nn

_HIDDEN_LAYERS = 6
_SLOPE = 0.2  # of the leaky ReLU


class CodeDiscriminator(nn.Sequential):
    """Six linear layers with leaky ReLU, then one to two logits.

    The first weights are Glorot's uniform ones and the first biases zero, as in
    disentanglement_lib's study.

    Args:
        latent_dim: Number of latents, ≥ 1.
        features: Features of each hidden layer, ≥ 1; 1000 as published.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> import torch, axiswise as aw
        >>> discriminator = aw.nets.CodeDiscriminator(latent_dim=10, features=50)
        >>> discriminator(torch.randn(3, 10)).shape
        torch.Size([3, 2])
    """

    def __init__(self, latent_dim: int, features: int = 1000) -> None:
        for name, value in (("latent_dim", latent_dim), ("features", features)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        widths = [latent_dim, *[features] * _HIDDEN_LAYERS]
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(_SLOPE)]
        super().__init__(*layers, nn.Linear(features, 2))
        for layer in self:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
