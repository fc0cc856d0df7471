"""The network of disentanglement_lib's study (Locatello et al., ICML 2019, arXiv 1811.12359)."""

import itertools

from torch import nn

from axiswise.nets.conv_vae import Encoder, decoder
from axiswise.nets.vae import VAE

_HIDDEN = (32, 32, 64, 64)
_KERNELS = (4, 4, 2, 2)
_FEATURES = 256


class StudyVAE(VAE):
    """What the rivals in JL1-VAE's Figure 5 have in place of `ConvVAE`.

    The encoder's four convolutions have kernels of 4, 4, 2 and 2, stride 2 and 'same' padding, so
    that each halves the size. The decoder is `ConvVAE`'s. Weights start as TensorFlow's do, uniform
    by Glorot's rule, and biases at 0, those of the log-variances too.

    Args:
        size: Height and width of the images, a multiple of 16.
        channels: Channels of the images.
        latent_dim: Number of latents.

    Raises:
        ValueError: A number is not positive, or `size` no such multiple.

    Example:
        >>> import torch, axiswise as aw
        >>> mean, log_variance = aw.nets.StudyVAE().encoder(torch.rand(2, 1, 64, 64))
        >>> mean.shape
        torch.Size([2, 10])
    """

    def __init__(self, size: int = 64, channels: int = 1, latent_dim: int = 10) -> None:
        super().__init__()
        self.size, self.channels, self.latent_dim = size, channels, latent_dim
        for name, value in self.arguments.items():
            if value < 1:
                raise ValueError(f"{name} must be positive, got {value}")
        if size % 16:
            raise ValueError(f"size must be a multiple of 16, got {size}")
        self.encoder = Encoder(
            (
                nn.Conv2d(*widths, kernel, stride=2, padding=(kernel - 2) // 2)
                for widths, kernel in zip(
                    itertools.pairwise([channels, *_HIDDEN]), _KERNELS, strict=True
                )
            ),
            (_HIDDEN[-1], size // 16),
            _FEATURES,
            latent_dim,
        )
        self.decoder = decoder(latent_dim, _FEATURES, _HIDDEN, size // 16, channels)
        for name, weight in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(weight)
            else:
                nn.init.xavier_uniform_(weight)
