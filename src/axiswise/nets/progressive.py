"""The progressive GAN (Karras et al., ICLR 2018, arXiv 1710.10196) as OroJaR's authors have it.

Modules have the names of the published program's variables, with "." for "/".
"""

import math
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from axiswise.nets.model import Generator
from axiswise.nets.pretrained import Pretrained
from axiswise.nets.published import Network, check_dimensions, check_names, take_over
from axiswise.support.checks import check_range
from axiswise.support.precision import full_precision

_GAIN = math.sqrt(2)
_SLOPE = 0.2  # of leaky ReLU
_EPSILON = 1e-8  # of pixel norm and of the standard deviation over a group
_GROUP = 4  # images of which the critic takes the standard deviation
_MOST, _BASE = 512, 8192  # feature maps: min(8192/2^s, 512) at stage s = log2(side) − 1


class ProgressiveGenerator(Generator):
    """A dense layer to 4 × 4 pixels, then two 3 × 3 convolutions for each doubling of the size.

    Each layer but, without `normalize_latents`, the first is followed by leaky ReLU and pixel norm.
    A 1 × 1 convolution for each side makes images of it; there is no tanh, so they may go beyond
    [−1, 1]. Weights are drawn from N(0, 1) and scaled at run time by gain/√fan-in.

    Training starts at 4 × 4 pixels and adds side after side: the level of detail `lod` is 0 at full
    size and 1 more for each halving; between two integers the images of two sides are mixed. What a
    lod does not need is not computed.

    Args:
        size: Height and width of the images, a power of 2, at least 4.
        latent_dim: Number of latents.
        channels: Channels of the images.
        width: Scales the numbers of feature maps, > 0; 1 is the paper's.
        normalize_latents: Whether latents are brought to mean square 1 and the first layer is
            followed by leaky ReLU and pixel norm: the Hessian Penalty's networks. OroJaR's have
            neither.
        hidden: Feature maps at 4 × 4, 8 × 8, … pixels; None for min(8192/side·2, 512) times
            `width`.

    Attributes:
        hidden: Feature maps at 4 × 4, 8 × 8, … pixels.
        convolutions: Module names of all layers in order, "4x4.Dense", "4x4.Conv", "8x8.Conv0_up",
            "8x8.Conv1", …; they return what OroJaR penalises, after the bias.
        norms: Of the modules after them, which return what the Hessian Penalty penalises, after
            leaky ReLU and pixel norm.
        sides: Height and width of what these return.
        image_range: Least and greatest value of a pixel, nominally: −1 and 1.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> import torch, axiswise as aw
        >>> generator = aw.nets.ProgressiveGenerator(size=32, width=1 / 32)
        >>> generator(torch.randn(2, 12), lod=1.5).shape
        torch.Size([2, 3, 32, 32])
    """

    image_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def __init__(
        self,
        size: int = 128,
        latent_dim: int = 12,
        channels: int = 3,
        width: float = 1.0,
        normalize_latents: bool = False,
        hidden: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.size, self.latent_dim, self.channels = size, latent_dim, channels
        self.width, self.normalize_latents = width, normalize_latents
        check_range(self, "at least 1", "latent_dim", "channels")
        self.hidden = _stages(size, width)[1:] if hidden is None else list(hidden)
        self._sides = _checked_sides(size, self.hidden)
        before = self.hidden[0]
        start = _Dense(latent_dim, before, _GAIN / 4, places=16)
        layers: dict[int, dict[str, nn.Module]] = {
            4: {"Dense": start, "Conv": _Convolution(before, before)}
        }
        for side, after in zip(self._sides[1:], self.hidden[1:], strict=True):
            up = _UpConvolution(before, after)
            layers[side] = {"Conv0_up": up, "Conv1": _Convolution(after, after)}
            before = after
        self.convolutions, self.norms, self.sides = [], [], []
        for level, (side, both) in enumerate(layers.items()):
            block: dict[str, nn.Module] = {}
            for name, layer in both.items():
                plain = name == "Dense" and not normalize_latents
                block |= {name: layer, f"{name}_norm": nn.Identity() if plain else _Norm()}
                self.convolutions.append(f"{_named(side)}.{name}")
                self.norms.append(f"{_named(side)}.{name}_norm")
                self.sides.append(side)
            self.add_module(_named(side), nn.Sequential(OrderedDict(block)))
            to_image = _Convolution(self.hidden[level], channels, 1, gain=1)
            self.add_module(f"ToRGB_lod{len(layers) - 1 - level}", to_image)
        _channels_innermost(self)

    @classmethod
    def from_published(cls, variables: Mapping[str, Any], normalize_latents: bool = False) -> Self:
        """Load weights with the names and in the layout of the authors' TensorFlow code.

        Args:
            variables: Arrays or tensors by names such as "4x4/Dense/weight", kernels [height,
                width, in, out] and dense weights [in, out]: the averaged generator's trainable
                variables. All sizes are read off them.
            normalize_latents: As of the class: no weight shows it.

        Returns:
            The network, in the type of the weights, in eval mode.

        Raises:
            ValueError: On a missing, unknown or misshapen variable, by name.
            TypeError: On one that is no floating-point numbers.
        """
        weights, count = _read(variables, "ToRGB")
        sides = _sides(count)
        size = 2 * 2**count
        names = _names(cls(size, hidden=[1] * count))
        check_names(weights, names)
        network = cls(
            size,
            latent_dim=_length(weights, "4x4/Dense/weight", 2, 0),
            channels=_length(weights, "ToRGB_lod0/bias", 1, 0),
            normalize_latents=normalize_latents,
            hidden=[
                _length(weights, f"{_named(side)}/Conv{'' if side == 4 else 1}/bias", 1, 0)
                for side in sides
            ],
        )
        return _take_over(network, weights, names)

    def forward(self, z: Tensor, lod: float = 0.0) -> Tensor:
        """Images.

        Args:
            z: Latents, (batch, latent), floating, standard normal in training.
            lod: Level of detail, from 0, all sides, to log2(size) − 2, the first alone.

        Returns:
            (batch, channels, size, size) at every lod, each pixel repeated where the last side that
            is computed is smaller.

        Raises:
            ValueError: If lod is out of range.
        """
        level, share = _split(lod, len(self._sides))
        x = before = pixel_norm(z) if self.normalize_latents else z
        for side in self._sides[: len(self._sides) - level]:
            before, x = x, self.get_submodule(_named(side))(x)
        images: Tensor = self.get_submodule(f"ToRGB_lod{level}")(x)
        if share:
            old = self.get_submodule(f"ToRGB_lod{level + 1}")(before)
            images = images.lerp(F.interpolate(old, scale_factor=2.0), share)
        return F.interpolate(images, scale_factor=2.0**level) if level else images

    def generate(self, z: Tensor, lod: float = 0.0) -> Tensor:
        """Images (batch, channels, size, size) in [0, 1] of latents (batch, latent), clipped."""
        images: Tensor = self(z, lod)
        return ((images + 1) / 2).clamp(0, 1)

    def layers_at(
        self, names: Sequence[str], conditioning: Mapping[str, Any]
    ) -> Mapping[str, float]:
        """Those of some layers that a lod runs, and how far they are faded in; see `shares`."""
        lod = conditioning.get("lod", 0.0)
        known = {
            _named(side): share for side, share in zip(self.sides, self.shares(lod), strict=True)
        }
        for level in range(len(self._sides)):
            known[f"ToRGB_lod{level}"] = max(1 - abs(level - lod), 0.0)
        found = {name: known.get(name.partition(".")[0], 1.0) for name in names}
        return {name: share for name, share in found.items() if share > 0}

    def shares(self, lod: float = 0.0) -> list[float]:
        """How far each of the `convolutions` is faded in: clip(its lod + 1 − lod, 0, 1).

        These are the weights of the authors' penalties on them. A layer with share 0 is not run.
        """
        _split(lod, len(self._sides))
        top = math.log2(self.size) + 1
        return [min(max(top - math.log2(side) - lod, 0.0), 1.0) for side in self.sides]


class ProgressiveCritic(Pretrained):
    """The generator's mirror image: two 3 × 3 convolutions for each halving, then dense layers.

    The second convolution's output is averaged over 2 × 2 pixels before its bias. Leaky ReLU
    follows each layer but the last. At 4 × 4 pixels, a further feature map has the standard
    deviation within groups of four images, so that each score depends on its group: image i is in
    group i mod (batch/4).

    Args:
        size: Height and width of the images, a power of 2, at least 4.
        channels: Channels of the images.
        width: Scales the numbers of feature maps, > 0; 1 is the paper's.
        codes: Latents that InfoGAN's head guesses, beside the score; 0 for no such head.
        hidden: Feature maps of the dense layer before the last one, and at 4 × 4, 8 × 8, … pixels;
            None for min(8192/2^s, 512) times `width` at s = 0, 1, 2, ….

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> import torch, axiswise as aw
        >>> critic = aw.nets.ProgressiveCritic(size=32, width=1 / 32, codes=5)
        >>> scores, codes = critic.with_codes(torch.randn(8, 3, 32, 32), lod=1.5)
        >>> scores.shape, codes.shape
        (torch.Size([8, 1]), torch.Size([8, 5]))
    """

    def __init__(
        self,
        size: int = 128,
        channels: int = 3,
        width: float = 1.0,
        codes: int = 0,
        hidden: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.size, self.channels, self.width, self.codes = size, channels, width, codes
        check_range(self, "at least 1", "channels")
        check_range(self, "≥ 0", "codes")
        self.hidden = _stages(size, width) if hidden is None else list(hidden)
        features, *widths = self.hidden or [0]
        self._sides = _checked_sides(size, widths, features)
        levels = list(zip(self._sides, widths, [features, *widths], strict=False))
        for lod, (side, inputs, outputs) in enumerate(reversed(levels)):
            self.add_module(f"FromRGB_lod{lod}", _Convolution(channels, inputs, 1))
            if side > 4:
                block = {
                    "Conv0": _Convolution(inputs, inputs),
                    "leaky0": nn.LeakyReLU(_SLOPE),
                    "Conv1_down": _DownConvolution(inputs, outputs),
                    "leaky1": nn.LeakyReLU(_SLOPE),
                }
                self.add_module(_named(side), nn.Sequential(OrderedDict(block)))
        first = widths[0]
        last = _Head(first + 1, first, features, 1)
        if codes:
            last.add_module("Q_Encoder", _Head(first, first, features, codes))
        self.add_module(_named(4), last)
        _channels_innermost(self)

    @classmethod
    def from_published(cls, variables: Mapping[str, Any]) -> Self:
        """Load weights with the names and in the layout of the authors' TensorFlow code.

        Args:
            variables: As for the generator, of a discriminator with or without InfoGAN's head.

        Returns:
            The network, in the type of the weights, in eval mode.

        Raises:
            ValueError: On a missing, unknown or misshapen variable, by name.
            TypeError: On one that is no floating-point numbers.
        """
        weights, count = _read(variables, "FromRGB")
        codes = any("Q_Encoder" in key for key in weights)
        size = 2 * 2**count
        names = _names(cls(size, codes=int(codes), hidden=[1] * (count + 1)))
        check_names(weights, names)
        network = cls(
            size,
            channels=_length(weights, "FromRGB_lod0/weight", 4, 2),
            codes=_length(weights, "4x4/Q_Encoder/Dense1/bias", 1, 0) if codes else 0,
            hidden=[
                _length(weights, "4x4/Dense0/bias", 1, 0),
                *(_length(weights, f"FromRGB_lod{i}/bias", 1, 0) for i in reversed(range(count))),
            ],
        )
        return _take_over(network, weights, names)

    def forward(self, images: Tensor, lod: float = 0.0) -> Tensor:
        """Scores.

        Args:
            images: (batch, channels, size, size) at every lod, nominally in [−1, 1]; up to four of
                them, or a multiple of four.
            lod: Level of detail, from 0 to log2(size) − 2.

        Returns:
            (batch, 1).

        Raises:
            ValueError: If lod is out of range, or the batch is not divisible into groups.
        """
        return self._score(self._trunk(images, lod))

    def with_codes(self, images: Tensor, lod: float = 0.0) -> tuple[Tensor, Tensor]:
        """Scores (batch, 1) and guessed latents (batch, codes) in one pass; see `forward`."""
        if not self.codes:
            raise ValueError("codes must be at least 1 for a critic that guesses latents, got 0")
        x = self._trunk(images, lod)
        codes: Tensor = self.get_submodule("4x4.Q_Encoder")(x)
        return self._score(x), codes

    def adapted(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state of such a critic of other `codes`, with this one's head in place of its."""
        heads = [
            {name: value for name, value in part.items() if name.startswith("4x4.Q_Encoder.")}
            for part in (state, self.state_dict())
        ]
        shapes = [{name: value.shape for name, value in head.items()} for head in heads]
        if shapes[0] == shapes[1]:
            return dict(state)
        return {name: value for name, value in state.items() if name not in heads[0]} | heads[1]

    def _trunk(self, images: Tensor, lod: float) -> Tensor:
        """Feature maps at 4 × 4 pixels."""
        level, share = _split(lod, len(self._sides))
        images = F.avg_pool2d(images, 2**level) if level else images
        x = self._entered(images, level)
        for side in self._sides[len(self._sides) - 1 - level : 0 : -1]:
            x = self.get_submodule(_named(side))(x)
            if share:
                x = x.lerp(self._entered(F.avg_pool2d(images, 2), level + 1), share)
                share = 0.0
        return x

    def _entered(self, images: Tensor, level: int) -> Tensor:
        return F.leaky_relu(self.get_submodule(f"FromRGB_lod{level}")(images), _SLOPE)

    def _score(self, x: Tensor) -> Tensor:
        head = self.get_submodule(_named(4))
        assert isinstance(head, _Head)
        return head(torch.cat([x, _group_deviation(x)], 1))  # type: ignore[no-any-return]


class _Dense(nn.Linear):
    """A linear layer with scaled weights; with several places, to as many pixels of a square."""

    def __init__(self, inputs: int, outputs: int, gain: float = _GAIN, places: int = 1) -> None:
        super().__init__(inputs, outputs * places, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.normal_(self.weight)
        self.scale, self.side = gain / math.sqrt(inputs), math.isqrt(places)

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.scale
        if self.side == 1:
            return F.linear(x, self.weight, self.bias)
        pixels: Tensor = F.linear(x, self.weight).unflatten(1, (-1, self.side, self.side))
        return pixels + self.bias[:, None, None]


class _Convolution(nn.Conv2d):
    """A convolution that keeps the size, with scaled weights."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, gain: float = _GAIN) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        self.scale = _start(self, gain / math.sqrt(inputs * kernel**2))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class _DownConvolution(_Convolution):
    """A 3 × 3 convolution and the mean over 2 × 2 pixels: one of 4 × 4 with stride 2."""

    def forward(self, x: Tensor) -> Tensor:
        kernel = F.avg_pool2d(self.weight * self.scale, 2, 1, padding=1)
        return F.conv2d(x, kernel, self.bias, stride=2, padding=1)


class _UpConvolution(nn.ConvTranspose2d):
    """Each pixel repeated as 2 × 2, then 3 × 3 weights, turned by 180° as published.

    This is a transposed convolution of 4 × 4 with stride 2.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        self.scale = _start(self, _GAIN / math.sqrt(inputs * 9))

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        kernel = F.avg_pool2d(self.weight * (4 * self.scale), 2, 1, padding=1)
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)


class _Norm(nn.Module):
    """Leaky ReLU, then pixel norm."""

    def forward(self, x: Tensor) -> Tensor:
        return pixel_norm(F.leaky_relu(x, _SLOPE))


class _Head(nn.Module):
    """A convolution and two dense layers."""

    def __init__(self, inputs: int, width: int, features: int, outputs: int) -> None:
        super().__init__()
        self.Conv = _Convolution(inputs, width)
        self.Dense0 = _Dense(width * 16, features)
        self.Dense1 = _Dense(features, outputs, gain=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.Conv(x), _SLOPE).flatten(1)
        return self.Dense1(F.leaky_relu(self.Dense0(x), _SLOPE))  # type: ignore[no-any-return]


def _start(layer: nn.Conv2d | nn.ConvTranspose2d, scale: float) -> float:
    """First weights of a convolution; returns what scales them."""
    nn.init.normal_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return scale


def _channels_innermost(network: nn.Module) -> None:
    """Lay out the weights so that convolutions are fastest; what they return then follows."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def pixel_norm(x: Tensor) -> Tensor:
    """Each pixel's features, or a sample's latents, brought to mean square 1."""
    wide = full_precision(x).movedim(1, -1)  # as they lie in memory
    # Not `square`, whose derivatives take more passes.
    normal = wide * ((wide * wide).mean(-1, keepdim=True) + _EPSILON).rsqrt()
    return normal.movedim(-1, 1).to(x.dtype)


def _group_deviation(x: Tensor) -> Tensor:
    """The mean over features and pixels of the deviation in a group, (batch, 1, height, width)."""
    size = min(_GROUP, len(x))
    if len(x) % size:
        raise ValueError(
            f"images must be up to {_GROUP} or a multiple of {_GROUP}, in which groups their "
            f"standard deviation is taken, got {len(x)}"
        )
    groups = full_precision(x).unflatten(0, (size, -1))
    deviation: Tensor = (groups.var(0, correction=0) + _EPSILON).sqrt().mean((1, 2, 3))
    return deviation.to(x.dtype).repeat(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])


def _split(lod: float, sides: int) -> tuple[int, float]:
    """The level of the last side that is computed, and the share of the one before it."""
    if not 0 <= lod <= sides - 1:  # so that NaN is refused too
        raise ValueError(f"lod must be between 0 and {sides - 1}, which is 4 × 4, got {lod}")
    level = int(lod)
    return level, float(lod) - level


def _sides(count: int) -> list[int]:
    return [4 * 2**i for i in range(count)]


def _named(side: int) -> str:
    return f"{side}x{side}"


def _stages(size: int, width: float) -> list[int]:
    """Feature maps at stages 0, 1, …, log2(size) − 1."""
    if not width > 0:  # so that NaN is refused too
        raise ValueError(f"width must be > 0, got {width}")
    stages = range(max(size, 1).bit_length() - 1)
    return [max(1, round(width * min(_BASE // 2**s, _MOST))) for s in stages]


def _checked_sides(size: int, hidden: Sequence[int], *more: int) -> list[int]:
    """All sides up to a size, one for each entry of `hidden`."""
    if size < 4 or size & (size - 1):
        raise ValueError(f"size must be a power of 2, at least 4, got {size}")
    sides = _sides(size.bit_length() - 2)
    given = [*more, *hidden]
    if len(hidden) != len(sides) or min(given) < 1:
        raise ValueError(
            f"hidden must be {len(sides) + len(more)} numbers ≥ 1 at size {size}, got {given}"
        )
    return sides


def _names(network: nn.Module) -> dict[str, str]:
    """Published names to ours."""
    return {name.replace(".", "/"): name for name in network.state_dict()}


def _read(variables: Mapping[str, Any], counted: str) -> tuple[dict[str, Tensor], int]:
    """Weights as tensors, and how many sides have a layer of images."""
    weights = {}
    for name, value in variables.items():
        array = value if isinstance(value, Tensor) else np.asarray(value)
        floating = (
            array.is_floating_point() if isinstance(array, Tensor) else array.dtype.kind == "f"
        )
        if not floating:
            raise TypeError(f"the weights {name!r} must be floating-point, got {array.dtype}")
        if not isinstance(array, Tensor):  # writable, in the order of bytes that torch has
            array = torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
        weights[name] = array
    counts = [re.fullmatch(rf"{counted}_lod(\d+)/weight", name) for name in weights]
    count = sum(count is not None for count in counts)
    if not count:
        raise ValueError(
            "variables must have the published names: missing "
            f"'{counted}_lod0/weight' and all others of {counted}; got {sorted(weights)}"
        )
    return weights, count


def _length(weights: Mapping[str, Tensor], name: str, dimensions: int, axis: int) -> int:
    check_dimensions(weights, name, dimensions)
    return weights[name].shape[axis]


def _take_over(
    network: Network, weights: Mapping[str, Tensor], names: Mapping[str, str]
) -> Network:
    """Load weights in the published layout."""

    def published(name: str, own: Tensor) -> Tensor:
        if own.dim() < 4:
            return own.mT if own.dim() == 2 else own
        return own.permute(2, 3, 0, 1) if "Conv0_up" in name else own.permute(2, 3, 1, 0)

    return take_over(network, weights, names, published)
