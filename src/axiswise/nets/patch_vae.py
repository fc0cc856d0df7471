"""JL1-VAE's network for patches of natural images (Rhodes & Lee 2021, arXiv 2106.02923)."""

import itertools
from collections.abc import Mapping
from typing import Self

from torch import Tensor, nn

from axiswise.nets.conv_vae import Encoder, check_published, dense, published_names
from axiswise.nets.published import take_over
from axiswise.nets.vae import VAE

_STRIDES = (2, 2, 1)  # of the decoder's transposed convolutions
_PLACES = (5, 8, 11)  # where they are in it


class PatchVAE(VAE):
    """Kernels of 3 on small patches, 16 × 16 as published.

    Encoder: two convolutions of stride 2 without padding, a linear layer. Decoder: two linear
    layers, the second to a grid of a quarter of the size, and transposed convolutions of strides 2,
    2 and 1, of which what is beyond the doubled (or same) size is cut off, as TensorFlow does: the
    last row and column at stride 2, both rims at stride 1. ReLU between, sigmoid last.

    Args:
        size: Height and width of the patches, a multiple of 4, at least 8.
        channels: Channels of the patches.
        latent_dim: Number of latents.
        hidden: Channels of the encoder's two convolutions.
        features: Width of the linear layer next to the latents, on both sides.
        generated: Channels of the decoder's grid, and after its first and second transposed
            convolution.

    Raises:
        ValueError: A number is not positive, `hidden` has not two or `generated` not three, or size
            is no such multiple.

    Example:
        >>> import torch, axiswise as aw
        >>> vae = aw.nets.PatchVAE()
        >>> vae(torch.rand(2, 1, 16, 16)).shape
        torch.Size([2, 1, 16, 16])
    """

    def __init__(
        self,
        size: int = 16,
        channels: int = 1,
        latent_dim: int = 10,
        hidden: tuple[int, int] = (64, 128),
        features: int = 128,
        generated: tuple[int, int, int] = (64, 64, 32),
    ) -> None:
        super().__init__()
        self.size, self.channels, self.latent_dim = size, channels, latent_dim
        self.hidden, self.features, self.generated = list(hidden), features, list(generated)
        for name, length in (("hidden", 2), ("generated", 3)):
            if len(self.arguments[name]) != length:
                raise ValueError(f"{name} must have {length} numbers, got {self.arguments[name]}")
        for name, value in self.arguments.items():
            if min(value if isinstance(value, list) else [value]) < 1:
                raise ValueError(f"{name} must be positive, got {value}")
        if size % 4 or size < 8:
            raise ValueError(f"size must be a multiple of 4, at least 8, got {size}")

        side = ((size - 1) // 2 - 1) // 2  # after two convolutions
        self.encoder = Encoder(
            (nn.Conv2d(*widths, 3, stride=2) for widths in itertools.pairwise([channels, *hidden])),
            (hidden[1], side),
            features,
            latent_dim,
        )
        layers = dense(latent_dim, features, (generated[0], size // 4))
        for widths, stride in zip(
            itertools.pairwise([*generated, channels]), _STRIDES, strict=True
        ):
            convolution = nn.ConvTranspose2d(*widths, 3, stride, padding=int(stride == 1))
            layers += [nn.ReLU(), convolution]
            if stride == 2:
                layers += [nn.ZeroPad2d((0, -1, 0, -1))]
        self.decoder = nn.Sequential(*layers, nn.Sigmoid())

    @classmethod
    def from_published(cls, state_dict: Mapping[str, Tensor]) -> Self:
        """Load weights with the names of the authors' code.

        Args:
            state_dict: Tensors named `emb_convs.0` and `.1`, `emb_fcs.0`, `fcmu`, `fclogvar`,
                `gen_fcs.0` and `.1`, `gen_convs.0` to `.2`, each `.weight` and `.bias`. All sizes
                are read off them.

        Returns:
            The network, in the type of the weights, in eval mode.

        Raises:
            ValueError: On a missing, unknown or misshapen key, by name.
        """
        names = published_names(2, _PLACES)
        check_published(state_dict, names)
        shapes = {key: value.shape for key, value in state_dict.items()}
        generated = [shapes[f"gen_convs.{i}.weight"][0] for i in range(3)]
        grid = shapes["gen_fcs.1.weight"][0] // max(generated[0], 1)
        network = cls(
            size=4 * round(grid**0.5),
            channels=shapes["emb_convs.0.weight"][1],
            latent_dim=shapes["fcmu.weight"][0],
            hidden=(shapes["emb_convs.0.weight"][0], shapes["emb_convs.1.weight"][0]),
            features=shapes["emb_fcs.0.weight"][0],
            generated=(generated[0], generated[1], generated[2]),
        )
        return take_over(network, state_dict, names)
