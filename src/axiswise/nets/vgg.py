"""The convolutions of VGG16 (Simonyan & Zisserman, ICLR 2015, arXiv 1409.1556)."""

from collections.abc import Mapping
from typing import Self

from torch import Tensor, nn

from axiswise.nets.published import check_names, take_over

# Channels of the convolutions of each resolution; a pool that halves it comes between.
_STAGES = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)
_CLASSIFIER = tuple(f"classifier.{i}.{part}" for i in (0, 3, 6) for part in ("weight", "bias"))


class VGG16(nn.Sequential):
    """Thirteen 3 × 3 convolutions with ReLU.

    Example:
        >>> import torch
        >>> from axiswise.nets.vgg import VGG16
        >>> [tuple(features.shape[1:]) for features in VGG16().maps(torch.zeros(1, 3, 32, 32))]
        [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]
    """

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        channels = 3
        for stage in _STAGES:
            layers += [nn.MaxPool2d(2)] if layers else []
            for outputs in stage:
                layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.ReLU()]
                channels = outputs
        super().__init__(*layers)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Outputs of the last convolution of each resolution, (batch, channel, height, width).

        Args:
            x: Images, (batch, 3, height, width), normalised as in training.
        """
        maps = []
        for layer in self:
            if isinstance(layer, nn.MaxPool2d):
                maps.append(x)
            x = layer(x)
        return [*maps, x]

    @classmethod
    def from_published(cls, state_dict: Mapping[str, Tensor]) -> Self:
        """Load weights with torchvision's names.

        Args:
            state_dict: As in torchvision's vgg16-397923af.pth, with or without the classifier.

        Returns:
            The network, in the type of the weights, in eval mode.

        Raises:
            ValueError: On a missing, unknown or misshapen key, by name.
        """
        network = cls()
        weights = {name: value for name, value in state_dict.items() if name not in _CLASSIFIER}
        names = {f"features.{name}": name for name in network.state_dict()}
        check_names(weights, names)
        return take_over(network, weights, names)
