"""The simple GAN of OroJaR (Wei et al. 2021, arXiv 2108.07668)."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn

from axiswise.nets.model import Generator
from axiswise.nets.pretrained import Pretrained
from axiswise.nets.published import check_dimensions, check_names, take_over

_SLOPE = 0.2  # of the generator's leaky ReLU
_EPSILON = 1e-6  # of instance norm
_FEATURES = 128  # between the critic's two linear layers
_CLASSIFIER = 4, 16  # channels and features of the published classifier


class SimpleGenerator(Generator, nn.Sequential):
    """Transposed convolutions from latents to images, with instance norm between them.

    The first makes 4 × 4 pixels of the latents, with a bias and neither norm nor activation, as in
    the authors' code; each further one doubles the size and is followed by instance norm and leaky
    ReLU; a 3 × 3 convolution and a tanh make the image.

    Args:
        size: Height and width of the images, a power of 2, at least 8.
        latent_dim: Number of latents.
        channels: Channels of the images.
        width: Scales the numbers of channels of all hidden layers, > 0; 1 is the paper's.

    Attributes:
        hidden: Channels at 4 × 4, 8 × 8, … pixels: 512, 256, 128, 64, 64 at size 64 and 1024,
            1024, 512, 256, 128, 64 at 128, as published.
        convolutions: Module names of the transposed convolutions, "0.1", "1.0", "2.0", …; the
            authors penalise the outputs of the first four at size 64 and the first five at 128.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> import torch, axiswise as aw
        >>> generator = aw.nets.SimpleGenerator(size=32, latent_dim=6, channels=1, width=0.25)
        >>> generator(torch.randn(2, 6)).shape
        torch.Size([2, 1, 32, 32])
    """

    def __init__(
        self, size: int = 64, latent_dim: int = 6, channels: int = 1, width: float = 1.0
    ) -> None:
        hidden = _hidden(size, width)
        for name, value in (("latent_dim", latent_dim), ("channels", channels)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        blocks: list[nn.Module] = [
            nn.Sequential(
                nn.Unflatten(1, (latent_dim, 1, 1)), nn.ConvTranspose2d(latent_dim, hidden[0], 4)
            )
        ]
        blocks += [
            nn.Sequential(
                nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
                nn.InstanceNorm2d(outputs, eps=_EPSILON, affine=True),
                nn.LeakyReLU(_SLOPE),
            )
            for inputs, outputs in itertools.pairwise(hidden)
        ]
        last = nn.Conv2d(hidden[-1], channels, 3, padding=1)
        super().__init__(*blocks, nn.Sequential(last, nn.Tanh()))
        self.size, self.latent_dim, self.channels, self.width = size, latent_dim, channels, width
        self.hidden = hidden
        self.convolutions = ["0.1", *(f"{i}.0" for i in range(1, len(hidden)))]

    @classmethod
    def from_published(cls, state_dict: Mapping[str, Tensor]) -> Self:
        """Load weights with the names of the authors' code.

        Args:
            state_dict: Tensors named `layers.i.layers.conv` and `layers.i.layers.instancenorm`,
                each `.weight` and, but for the middle convolutions, `.bias`. All sizes are read
                off them.

        Returns:
            The network, in the type of the weights, in eval mode.

        Raises:
            ValueError: On a missing, unknown or misshapen key, by name; or on widths that no
                `width` gives.
        """
        count = 1 + max(
            (int(found[1]) for key in state_dict if (found := re.match(r"layers\.(\d+)\.", key))),
            default=0,
        )
        names = _published_names(count) if count >= 3 else {}
        check_names(state_dict, names)
        ends = [f"layers.{i}.layers.conv.weight" for i in (0, count - 1)]
        for key in ends:
            check_dimensions(state_dict, key, 4)
        first, last = (state_dict[key] for key in ends)
        size = 4 * 2 ** (count - 2)
        network = cls(
            size=size,
            latent_dim=first.shape[0],
            channels=last.shape[0],
            width=first.shape[1] / _hidden(size, 1.0)[0],
        )
        return take_over(network, state_dict, names)


class SimpleCritic(Pretrained, nn.Sequential):
    """Strided convolutions from images to 4 × 4 pixels, then two linear layers.

    Each convolution halves the size; all but the first are followed by instance norm, all by ReLU.
    With one output it is the critic of the simple GAN; with one for each latent, and twice the
    channels for pairs of images, the classifier of the Variation Predictability loss.

    Args:
        size: Height and width of the images, a power of 2, at least 8.
        channels: Channels of the images.
        width: Scales the numbers of channels and features of all hidden layers, > 0.
        outputs: Numbers for each image.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> import torch, axiswise as aw
        >>> critic = aw.nets.SimpleCritic(size=32, channels=1, width=0.25)
        >>> critic(torch.randn(2, 1, 32, 32)).shape
        torch.Size([2, 1])
    """

    def __init__(
        self, size: int = 64, channels: int = 1, width: float = 1.0, outputs: int = 1
    ) -> None:
        hidden = _hidden(size, width)[-2::-1]  # the generator's, of the same sides
        for name, value in (("channels", channels), ("outputs", outputs)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        features, activation = self._between(hidden[-1], size, width)
        layers = _halving([channels, *hidden], nn.ReLU)
        first, last = nn.Linear(hidden[-1] * 16, features), nn.Linear(features, outputs)
        super().__init__(*layers, first, *activation, last)
        self.size, self.channels, self.width, self.outputs = size, channels, width, outputs

    @staticmethod
    def _between(hidden: int, size: int, width: float) -> tuple[int, list[nn.Module]]:  # noqa: ARG004
        """Features between the linear layers, and the activation there."""
        return max(1, round(width * _FEATURES)), [nn.ReLU()]


class PublishedSimpleCritic(SimpleCritic):
    """The critic of OroJaR's code: more features, and a head that guesses latents, if asked for.

    Between the linear layers are as many features as there are channels at 4 × 4 pixels, 512 at
    size 64 and 1024 at 128; ReLU follows up to size 64, nothing from 128 on, as published.

    Args:
        size: Height and width of the images, a power of 2, at least 8.
        channels: Channels of the images.
        width: Scales the numbers of channels and features of all hidden layers, > 0.
        codes: Latents that a second last layer guesses for InfoGAN, ≥ 0; the authors' simple critic
            has none, their progressive one does.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> import torch, axiswise as aw
        >>> critic = aw.nets.PublishedSimpleCritic(size=32, width=0.25, codes=3)
        >>> scores, codes = critic.with_codes(torch.randn(2, 1, 32, 32))
        >>> scores.shape, codes.shape
        (torch.Size([2, 1]), torch.Size([2, 3]))
    """

    def __init__(
        self, size: int = 64, channels: int = 1, width: float = 1.0, codes: int = 0
    ) -> None:
        if codes < 0:
            raise ValueError(f"codes must be at least 0, got {codes}")
        super().__init__(size, channels, width, outputs=1 + codes)
        self.codes = codes

    def forward(self, images: Tensor) -> Tensor:
        """Scores, (batch, 1)."""
        return self.with_codes(images)[0]

    def with_codes(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Scores, (batch, 1), and guessed latents, (batch, codes)."""
        found: Tensor = super().forward(images)
        return found[:, :1], found[:, 1:]

    def adapted(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state of such a critic of other `codes`, with this one's guesses in place of its."""
        made, last = dict(state), len(self) - 1
        for name, own in self[last].state_dict(prefix=f"{last}.").items():
            given = made.get(name, own)
            if len(given) != len(own) and given.shape[1:] == own.shape[1:]:
                made[name] = torch.cat([given[:1], own[1:]])
        return made

    @staticmethod
    def _between(hidden: int, size: int, width: float) -> tuple[int, list[nn.Module]]:  # noqa: ARG004
        return hidden, [nn.ReLU()] if size <= 64 else []


def published_classifier(
    size: int, channels: int = 1, width: float = 1.0, outputs: int = 2
) -> nn.Sequential:
    """The classifier of differences of images of OroJaR's Variation Predictability loss.

    Convolutions to 4 channels each, the first without norm, then 16 features; leaky ReLU.

    Args:
        size: Height and width of the images, a power of 2, at least 8; 64 as published.
        channels: Channels of the images.
        width: Scales the numbers of channels and features of all hidden layers, > 0.
        outputs: Number of classes.
    """
    narrow, features = (max(1, round(width * count)) for count in _CLASSIFIER)
    active = partial(nn.LeakyReLU, _SLOPE)
    layers = _halving([channels, *[narrow] * (len(_hidden(size, width)) - 1)], active)
    first, last = nn.Linear(narrow * 16, features), nn.Linear(features, outputs)
    return nn.Sequential(*layers, first, active(), last)


def _halving(channels: Sequence[int], active: Callable[[], nn.Module]) -> list[nn.Module]:
    """Convolutions that each halve the size, all but the first with instance norm; then flat."""
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(itertools.pairwise(channels)):
        layers.append(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=i == 0))
        if i > 0:
            layers.append(nn.InstanceNorm2d(outputs, eps=_EPSILON, affine=True))
        layers.append(active())
    return [*layers, nn.Flatten()]


def _hidden(size: int, width: float) -> list[int]:
    """Channels at 4 × 4, 8 × 8, … pixels, extrapolated from the paper's two sizes."""
    if size < 8 or size & (size - 1):
        raise ValueError(f"size must be a power of 2, at least 8, got {size}")
    if not width > 0:  # so that NaN is refused too
        raise ValueError(f"width must be > 0, got {width}")
    sides = [4 * 2**i for i in range((size // 4).bit_length())]
    # At 64 the last two layers have 64 channels each, at 128 the first two have 1024.
    paper = [
        max(64, 32 * size // side) if size <= 64 else min(1024, 64 * size // side) for side in sides
    ]
    return [max(1, round(width * channels)) for channels in paper]


def _published_names(count: int) -> dict[str, str]:
    """Published names to ours, by the number of convolutions."""
    last = count - 1
    names = {}
    for part in ("weight", "bias"):
        names[f"layers.0.layers.conv.{part}"] = f"0.1.{part}"
        names[f"layers.{last}.layers.conv.{part}"] = f"{last}.0.{part}"
        for i in range(1, last):
            names[f"layers.{i}.layers.instancenorm.{part}"] = f"{i}.1.{part}"
    return names | {f"layers.{i}.layers.conv.weight": f"{i}.0.weight" for i in range(1, last)}
