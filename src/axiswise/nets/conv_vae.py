"""The convolutional VAE of JL1-VAE (Rhodes & Lee 2021, arXiv 2106.02923)."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from axiswise.nets.published import check_dimensions, check_names, take_over
from axiswise.nets.vae import VAE

_INITIAL_LOG_VARIANCE = -3.0  # added to the usual bias: codes start nearly noiseless, as published


class ConvVAE(VAE):
    """Convolutional encoder and decoder, mirror images of each other.

    The defaults are the paper's network for three-dots. Each encoder convolution has kernel 4,
    stride 2 and no padding; each transposed one in the decoder exactly doubles the size.

    Args:
        size: Height and width of the images, divisible by 2 for each entry of `hidden`.
        channels: Channels of the images.
        latent_dim: Number of latents.
        hidden: Channels of the encoder's convolutions, from the image on; the decoder has them in
            reverse.
        features: Width of the linear layer next to the latents.

    Attributes:
        encoder: Images (batch, channels, size, size) → mean and log-variance of the codes, each
            (batch, latent).
        decoder: Latents (batch, latent) → probabilities (batch, channels, size, size) in (0, 1); a
            plain `nn.Sequential` that ends in a sigmoid.

    Raises:
        ValueError: If a number is not positive, or size does not fit the number of convolutions.

    Example:
        >>> import torch, axiswise as aw
        >>> vae = aw.nets.ConvVAE()
        >>> mean, log_variance = vae.encoder(torch.rand(2, 1, 64, 64))
        >>> vae.decoder(mean).shape
        torch.Size([2, 1, 64, 64])
    """

    def __init__(
        self,
        size: int = 64,
        channels: int = 1,
        latent_dim: int = 10,
        hidden: Sequence[int] = (32, 32, 64, 64),
        features: int = 256,
    ) -> None:
        super().__init__()
        self.size, self.channels, self.latent_dim = size, channels, latent_dim
        self.hidden, self.features = list(hidden), features
        for name, value in self.arguments.items():
            if not value or min(value if isinstance(value, list) else [value]) < 1:
                raise ValueError(f"{name} must be positive, got {value}")

        encoded = size
        for _ in hidden:
            encoded = (encoded - 4) // 2 + 1
        decoded = size // 2 ** len(hidden)
        if decoded * 2 ** len(hidden) != size or encoded < 1:
            raise ValueError(
                f"size must be a multiple of {2 ** len(hidden)}, at least "
                f"{3 * 2 ** len(hidden) - 2} for {len(hidden)} convolutions of kernel 4 and "
                f"stride 2, got {size}"
            )

        self.encoder = Encoder(
            (nn.Conv2d(*widths, 4, stride=2) for widths in itertools.pairwise([channels, *hidden])),
            (hidden[-1], encoded),
            features,
            latent_dim,
        )
        self.decoder = decoder(latent_dim, features, hidden, decoded, channels)

    @classmethod
    def from_published(cls, state_dict: Mapping[str, Tensor]) -> Self:
        """Load weights with the names of the authors' code.

        Args:
            state_dict: Tensors named `emb_convs.i`, `emb_fcs.0`, `fcmu`, `fclogvar`, `gen_fcs.i`,
                `gen_convs.i`, each `.weight` and `.bias`. All sizes are read off them.

        Returns:
            The network, in the type of the weights, in eval mode.

        Raises:
            ValueError: On a missing, unknown or misshapen key, by name.
        """
        layers = convolutions(state_dict, "emb_convs")
        names = published_names(layers) if layers else {}
        check_published(state_dict, names)
        hidden = [state_dict[f"emb_convs.{i}.weight"].shape[0] for i in range(layers)]
        grid = state_dict["gen_fcs.1.weight"].shape[0] // max(hidden[-1], 1)
        network = cls(
            size=round(grid**0.5) * 2**layers,
            channels=state_dict["emb_convs.0.weight"].shape[1],
            latent_dim=state_dict["fcmu.weight"].shape[0],
            hidden=hidden,
            features=state_dict["emb_fcs.0.weight"].shape[0],
        )
        return take_over(network, state_dict, names)


class Encoder(nn.Module):
    """Images to mean and log-variance of a Gaussian over codes, by convolutions and a layer.

    Args:
        convolutions: In order, made as they are taken.
        grid: Channels and side of what the last one returns.
        features: Width of the linear layer.
        latent_dim: Number of latents.
    """

    def __init__(
        self,
        convolutions: Iterable[nn.Module],
        grid: tuple[int, int],
        features: int,
        latent_dim: int,
    ) -> None:
        super().__init__()
        layers = [layer for convolution in convolutions for layer in (convolution, nn.ReLU())]
        layers += [nn.Flatten(), nn.Linear(grid[0] * grid[1] ** 2, features), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.mean = nn.Linear(features, latent_dim)
        self.log_variance = nn.Linear(features, latent_dim)
        with torch.no_grad():
            self.log_variance.bias.add_(_INITIAL_LOG_VARIANCE)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each (batch, latent), of images in [0, 1]."""
        features = self.trunk(images)
        return self.mean(features), self.log_variance(features)


def dense(latent_dim: int, features: int, grid: tuple[int, int]) -> list[nn.Module]:
    """A decoder's first layers: latents to `grid`, channels and side."""
    channels, side = grid
    return [
        nn.Linear(latent_dim, features),
        nn.ReLU(),
        nn.Linear(features, channels * side**2),
        nn.Unflatten(1, (channels, side, side)),
    ]


def decoder(
    latent_dim: int, features: int, hidden: Sequence[int], side: int, channels: int
) -> nn.Sequential:
    """Latents to probabilities, by transposed convolutions that each double the size."""
    widths = [*reversed(hidden), channels]
    layers = dense(latent_dim, features, (widths[0], side))
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.ReLU(), nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)]
    return nn.Sequential(*layers, nn.Sigmoid())


def convolutions(state_dict: Mapping[str, Tensor], name: str) -> int:
    """How many convolutions of a published name there are, by the highest number."""
    found = (re.match(rf"{name}\.(\d+)\.", key) for key in state_dict)
    return max((int(number[1]) + 1 for number in found if number), default=0)


def check_published(state_dict: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Refuse other names than those, and weights of another number of dimensions."""
    check_names(state_dict, names)
    for key in state_dict:
        check_dimensions(state_dict, key, 1 if key.endswith("bias") else 4 if "convs" in key else 2)


def published_names(layers: int, places: Sequence[int] | None = None) -> dict[str, str]:
    """Published names to ours, by the number of the encoder's convolutions.

    `places` are those of the transposed convolutions in the decoder; None is `ConvVAE`'s.
    """
    modules = {
        "emb_fcs.0": f"encoder.trunk.{2 * layers + 1}",
        "fcmu": "encoder.mean",
        "fclogvar": "encoder.log_variance",
        "gen_fcs.0": "decoder.0",
        "gen_fcs.1": "decoder.2",
    }
    modules |= {f"emb_convs.{i}": f"encoder.trunk.{2 * i}" for i in range(layers)}
    places = range(5, 5 + 2 * layers, 2) if places is None else places
    modules |= {f"gen_convs.{i}": f"decoder.{place}" for i, place in enumerate(places)}
    return {
        f"{theirs}.{part}": f"{ours}.{part}"
        for theirs, ours in modules.items()
        for part in ("weight", "bias")
    }
