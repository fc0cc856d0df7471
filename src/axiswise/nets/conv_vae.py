"""The convolutional VAE of JL1-VAE (Rhodes & Lee 2021, arXiv 2106.02923)."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Self

from torch import Tensor, nn

from axiswise.nets.published import check_dimensions, check_names, take_over
from axiswise.nets.vae import VAE

# Codes start nearly noiseless, as published.
_INITIAL_LOG_VARIANCE = -3.0


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

        self.encoder = Encoder(channels, hidden, encoded, features, latent_dim)
        self.decoder = _decoder(latent_dim, features, hidden, decoded, channels)

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
        indices = [re.match(r"(?:emb|gen)_convs\.(\d+)\.", key) for key in state_dict]
        layers = max((int(index[1]) + 1 for index in indices if index), default=0)
        names = _published_names(layers) if layers else {}
        check_names(state_dict, names)
        for key in state_dict:
            check_dimensions(
                state_dict, key, 1 if key.endswith("bias") else 4 if "convs" in key else 2
            )
        hidden = [state_dict[f"emb_convs.{i}.weight"].shape[0] for i in range(layers)]
        grid = state_dict["gen_fcs.1.weight"].shape[0] // hidden[-1]
        network = cls(
            size=round(grid**0.5) * 2**layers,
            channels=state_dict["emb_convs.0.weight"].shape[1],
            latent_dim=state_dict["fcmu.weight"].shape[0],
            hidden=hidden,
            features=state_dict["emb_fcs.0.weight"].shape[0],
        )
        return take_over(network, state_dict, names)

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities, from the means of the codes of images in [0, 1]."""
        mean, _ = self.encoder(images)
        return self.decoder(mean)  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """Images to mean and log-variance of a Gaussian over codes."""

    def __init__(
        self, channels: int, hidden: Sequence[int], side: int, features: int, latent_dim: int
    ) -> None:
        super().__init__()
        widths = [channels, *hidden]
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2), nn.ReLU()]
        layers += [nn.Flatten(), nn.Linear(hidden[-1] * side**2, features), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.mean = nn.Linear(features, latent_dim)
        self.log_variance = nn.Linear(features, latent_dim)
        nn.init.constant_(self.log_variance.bias, _INITIAL_LOG_VARIANCE)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each (batch, latent), of images in [0, 1]."""
        features = self.trunk(images)
        return self.mean(features), self.log_variance(features)


def _decoder(
    latent_dim: int, features: int, hidden: Sequence[int], side: int, channels: int
) -> nn.Sequential:
    widths = [*reversed(hidden), channels]
    layers: list[nn.Module] = [
        nn.Linear(latent_dim, features),
        nn.ReLU(),
        nn.Linear(features, widths[0] * side**2),
        nn.Unflatten(1, (widths[0], side, side)),
    ]
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.ReLU(), nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)]
    return nn.Sequential(*layers, nn.Sigmoid())


def _published_names(layers: int) -> dict[str, str]:
    """Published names to ours, by the number of convolutions on each side."""
    modules = {
        "emb_fcs.0": f"encoder.trunk.{2 * layers + 1}",
        "fcmu": "encoder.mean",
        "fclogvar": "encoder.log_variance",
        "gen_fcs.0": "decoder.0",
        "gen_fcs.1": "decoder.2",
    }
    for i in range(layers):
        modules[f"emb_convs.{i}"] = f"encoder.trunk.{2 * i}"
        modules[f"gen_convs.{i}"] = f"decoder.{2 * i + 5}"
    return {
        f"{theirs}.{part}": f"{ours}.{part}"
        for theirs, ours in modules.items()
        for part in ("weight", "bias")
    }
