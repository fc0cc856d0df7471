"""VGG16's layout and layers."""

import pytest
import torch

from axiswise.nets.vgg import VGG16


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """With torchvision's names; its last fully connected layer alone, for speed."""
    convolutions = {f"features.{name}": value for name, value in VGG16().state_dict().items()}
    return {**convolutions, "classifier.6.bias": torch.zeros(1000)}


def test_names_and_sizes_are_torchvision_s(weights: dict[str, torch.Tensor]) -> None:
    numbers = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    names = [f"features.{i}.{part}" for i in numbers for part in ("weight", "bias")]
    assert list(weights)[:-1] == names
    assert sum(value.numel() for value in VGG16().parameters()) == 14_714_688
    network = VGG16.from_published(weights)
    x = torch.rand(1, 3, 32, 32)
    layers = list(network)
    with torch.no_grad():
        for last, features in zip((4, 9, 16, 23, 30), network.maps(x), strict=True):
            assert torch.equal(torch.nn.Sequential(*layers[:last])(x), features)


def test_other_networks_of_its_kind_are_refused_by_name(weights: dict[str, torch.Tensor]) -> None:
    smaller = {name: value for name, value in weights.items() if "28" not in name}
    with pytest.raises(ValueError, match=r"missing \['features\.28\.bias', 'features\.28\.weight'"):
        VGG16.from_published(smaller)
    with pytest.raises(ValueError, match=r"unknown \['features\.1\.running_mean'\]"):
        VGG16.from_published(weights | {"features.1.running_mean": torch.zeros(64)})
