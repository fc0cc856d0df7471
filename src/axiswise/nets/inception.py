"""The Inception network of published FID (Heusel et al., NeurIPS 2017, arXiv 1706.08500)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from axiswise.nets.published import check_names, take_over

_CLASSES, _EPSILON = 1008, 1e-3  # as trained in 2015
_ACROSS, _DOWN = (1, 7), (7, 1)
_BOTH = (
    (1, 3),
    (3, 1),
)  # kernels of two layers of one input, "a" and "b", whose outputs are joined

# A layer: its name, channels, kernel and, if not 1, stride. A pool: its name. Branches, whose
# outputs are joined, make a block.
_Branches = Sequence[Sequence[tuple[object, ...] | str]]
_POOLS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "mean": partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False),
        "largest": partial(F.max_pool2d, kernel_size=3, stride=1, padding=1),
        "halve": partial(F.max_pool2d, kernel_size=3, stride=2),
    }
)


class Inception(nn.Module):
    """Inception v3 as TensorFlow published it on 5 December 2015.

    It differs from torchvision's in its weights, in its 1008 classes, in means that leave out the
    padding, and in the last block's largest values where other blocks have means.

    Example:
        >>> import torch
        >>> from axiswise.nets.inception import Inception
        >>> Inception().eval()(torch.zeros(1, 3, 299, 299)).shape
        torch.Size([1, 2048])
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Unit(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Unit(32, 32, 3, padded=False)
        self.Conv2d_2b_3x3 = _Unit(32, 64, 3)
        self.Conv2d_3b_1x1 = _Unit(64, 80, 1)
        self.Conv2d_4a_3x3 = _Unit(80, 192, 3, padded=False)
        channels = 192
        for name, branches in _BLOCKS.items():
            block = _Block(channels, branches)
            self.add_module(name, block)
            channels = block.outputs
        self.fc = nn.Linear(channels, _CLASSES)  # a part of the layout, not of the features

    def forward(self, x: Tensor) -> Tensor:
        """Features, (batch, 2048).

        Args:
            x: Images, (batch, 3, 299, 299), (level − 128) / 128.
        """
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(_POOLS["halve"](x)))
        x = _POOLS["halve"](x)
        for name in _BLOCKS:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3))

    @classmethod
    def from_published(cls, state_dict: Mapping[str, Tensor]) -> Self:
        """Load weights with the names of PyTorch's usual copy.

        Args:
            state_dict: As in pytorch-fid's pt_inception-2015-12-05-6726825d.pth.

        Returns:
            The network, in the type of the weights, in eval mode.

        Raises:
            ValueError: On a missing, unknown or misshapen key, by name.
        """
        network = cls()
        own = network.state_dict()
        counts = {name: own[name] for name in own if _is_count(name)}
        weights = {name: value for name, value in state_dict.items() if not _is_count(name)}
        check_names(weights, {name: name for name in own if name not in counts})
        return take_over(network, weights | counts, {name: name for name in own})


class _Unit(nn.Module):
    """A convolution without bias, batch norm and ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padded: bool = True,
    ) -> None:
        super().__init__()
        padding: int | str = "same" if padded and stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class _Block(nn.Module):
    """Branches of one input."""

    def __init__(self, inputs: int, branches: _Branches) -> None:
        super().__init__()
        self.outputs = 0
        self._steps: list[list[list[str] | str]] = []  # of each branch: names of layers, or a pool
        for branch in branches:
            channels, steps = inputs, list[list[str] | str]()
            for step in branch:
                if isinstance(step, str):
                    steps.append(step)
                    continue
                name, outputs, kernel, *stride = step
                both = {f"{name}{end}": k for end, k in zip("ab", _BOTH, strict=True)}
                layers = both if kernel is _BOTH else {str(name): kernel}
                for own, size in layers.items():
                    self.add_module(own, _Unit(channels, outputs, size, *stride))  # type: ignore[arg-type]
                steps.append(list(layers))
                channels = len(layers) * outputs  # type: ignore[operator]
            self._steps.append(steps)
            self.outputs += channels

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for steps in self._steps:
            y = x
            for step in steps:
                if isinstance(step, str):
                    y = _POOLS[step](y)
                else:
                    y = torch.cat([self.get_submodule(name)(y) for name in step], 1)
            found.append(y)
        return torch.cat(found, 1)


def _wide(pooled: int) -> _Branches:
    return (
        (("branch1x1", 64, 1),),
        (("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)),
        (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)),
        ("mean", ("branch_pool", pooled, 1)),
    )


def _factored(middle: int) -> _Branches:
    return (
        (("branch1x1", 192, 1),),
        (("branch7x7_1", middle, 1), ("branch7x7_2", middle, _ACROSS), ("branch7x7_3", 192, _DOWN)),
        (
            ("branch7x7dbl_1", middle, 1),
            ("branch7x7dbl_2", middle, _DOWN),
            ("branch7x7dbl_3", middle, _ACROSS),
            ("branch7x7dbl_4", middle, _DOWN),
            ("branch7x7dbl_5", 192, _ACROSS),
        ),
        ("mean", ("branch_pool", 192, 1)),
    )


def _split(pool: str) -> _Branches:
    return (
        (("branch1x1", 320, 1),),
        (("branch3x3_1", 384, 1), ("branch3x3_2", 384, _BOTH)),
        (("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3), ("branch3x3dbl_3", 384, _BOTH)),
        (pool, ("branch_pool", 192, 1)),
    )


_BLOCKS: Mapping[str, _Branches] = MappingProxyType(
    {
        "Mixed_5b": _wide(32),
        "Mixed_5c": _wide(64),
        "Mixed_5d": _wide(64),
        "Mixed_6a": (
            (("branch3x3", 384, 3, 2),),
            (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3, 2)),
            ("halve",),
        ),
        "Mixed_6b": _factored(128),
        "Mixed_6c": _factored(160),
        "Mixed_6d": _factored(160),
        "Mixed_6e": _factored(192),
        "Mixed_7a": (
            (("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3, 2)),
            (
                ("branch7x7x3_1", 192, 1),
                ("branch7x7x3_2", 192, _ACROSS),
                ("branch7x7x3_3", 192, _DOWN),
                ("branch7x7x3_4", 192, 3, 2),
            ),
            ("halve",),
        ),
        "Mixed_7b": _split("mean"),
        "Mixed_7c": _split("largest"),
    }
)


def _is_count(name: str) -> bool:
    """Whether it is what only training needs, which some copies leave out."""
    return name.endswith("num_batches_tracked")
