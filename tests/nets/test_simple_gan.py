"""OroJaR's generator against what the authors' code returned, and its own rules."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import axiswise as aw
from axiswise.nets import PublishedSimpleCritic, SimpleCritic, SimpleGenerator

REFERENCE = Path(__file__).parents[1] / "reference"


@pytest.fixture
def published(fill: Callable[..., dict[str, Tensor]]) -> Callable[[str], dict[str, Tensor]]:
    """The weights that the authors' code was run with."""
    return lambda name: fill(json.loads((REFERENCE / f"gan_{name}_keys.json").read_text()))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("g64", {"size": 64, "latent_dim": 6, "channels": 1, "width": 1.0}),
        ("g128", {"size": 128, "latent_dim": 30, "channels": 3, "width": 1.0}),
    ],
)
def test_published_weights_give_the_published_images(
    name: str, arguments: dict[str, Any], published: Callable[[str], dict[str, Tensor]]
) -> None:
    """The convolutions' outputs, before their norms, are those that the paper penalises."""
    reference = np.load(REFERENCE / f"gan_{name}.npz")
    generator = SimpleGenerator.from_published(published(name))
    assert generator.arguments == arguments
    outputs: list[Tensor] = []
    for layer in generator.modules():
        if isinstance(layer, torch.nn.ConvTranspose2d):
            layer.register_forward_hook(lambda *given: outputs.append(given[2]))

    images = generator(torch.from_numpy(reference["z"]))
    expected_images = torch.from_numpy(reference["images"]).double()  # kept in float32
    torch.testing.assert_close(images, expected_images, rtol=0, atol=1e-8)
    regularised = [key for key in reference.files if key.startswith("feature_shape")]
    assert len(regularised) == {"g64": 4, "g128": 5}[name]
    for index in range(len(regularised)):
        assert list(outputs[index].shape) == reference[f"feature_shape_{index}"].tolist()
        expected = float(reference[f"feature_mean_abs_{index}"])
        assert outputs[index].abs().mean().item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("change", ["missing", "unknown", "misshapen", "flat", "empty"])
def test_other_weights_are_refused_by_name(
    change: str, published: Callable[[str], dict[str, Tensor]]
) -> None:
    weights = published("g64")
    norm = "layers.2.layers.instancenorm.weight"
    if change == "missing":
        del weights[norm]
    if change == "unknown":
        weights["layers.2.layers.extra"] = torch.zeros(1)
    if change == "misshapen":
        weights[norm] = torch.zeros(127)
    if change == "flat":
        weights["layers.0.layers.conv.weight"] = torch.zeros(6)
    if change == "empty":
        weights = {}
    named = {
        "unknown": r"unknown \['layers\.2\.layers\.extra'\]",
        "flat": r"layers\.0\.layers\.conv\.weight'\] must have 4 dimensions, got \(6,\)",
        "empty": "missing",
    }
    with pytest.raises(ValueError, match=named.get(change, norm.replace(".", r"\."))):
        SimpleGenerator.from_published(weights)


@pytest.mark.parametrize(
    ("size", "width", "hidden"),
    [
        (8, 1, [64, 64]),
        (32, 0.5, [128, 64, 32, 32]),
        (64, 1, [512, 256, 128, 64, 64]),
        (128, 1, [1024, 1024, 512, 256, 128, 64]),
        (256, 0.25, [256, 256, 256, 128, 64, 32, 16]),
    ],
)
def test_any_power_of_two_and_any_width(size: int, width: float, hidden: list[int]) -> None:
    generator = SimpleGenerator(size, latent_dim=3, channels=2, width=width)
    assert generator.hidden == hidden
    images = generator(torch.randn(1, 3))
    assert images.shape == (1, 2, size, size)
    assert images.abs().max() <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 48}, "size must be a power of 2, at least 8, got 48"),
        ({"size": 4}, "size must be a power of 2, at least 8, got 4"),
        ({"width": 0.0}, r"width must be > 0, got 0\.0"),
        ({"latent_dim": 0}, "latent_dim must be at least 1, got 0"),
        ({"channels": 0}, "channels must be at least 1, got 0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SimpleGenerator(**arguments)


def test_it_is_saved_and_loaded_like_any_network(tmp_path: Path) -> None:
    generator = SimpleGenerator(size=16, latent_dim=3, width=0.1)
    generator.save_pretrained(tmp_path)
    z = torch.randn(2, 3)
    assert torch.equal(SimpleGenerator.from_pretrained(tmp_path)(z), generator.eval()(z))


def test_its_jacobian_is_exact() -> None:
    """Instance norm over few pixels is where forward-mode derivatives go wrong unnoticed."""
    torch.manual_seed(0)
    generator = SimpleGenerator(size=8, latent_dim=3, width=0.1).double()
    z = torch.randn(2, 3, dtype=torch.float64)
    oracle = torch.func.vmap(torch.func.jacrev(lambda z: generator(z[None])[0]))(z)
    torch.testing.assert_close(aw.jacobian_columns(generator, z), oracle.movedim(-1, 1))


@pytest.mark.parametrize("size", [8, 32, 128])
def test_the_critic_halves_the_size_until_4_pixels_are_left(size: int) -> None:
    critic = SimpleCritic(size, channels=2, width=0.1, outputs=3)
    assert critic(torch.rand(5, 2, size, size)).shape == (5, 3)
    grids = [
        layer(torch.rand(1, layer.in_channels, side, side)).shape[2:]
        for layer, side in zip(
            (layer for layer in critic if isinstance(layer, torch.nn.Conv2d)),
            [size // 2**i for i in range(10)],
            strict=False,
        )
    ]
    assert grids[-1] == (4, 4)


def test_the_critic_judges_each_image_alone() -> None:
    """The gradient penalty of WGAN-GP is of each image's own score."""
    critic = SimpleCritic(size=16, width=0.2).double()
    images = torch.randn(3, 1, 16, 16, dtype=torch.float64)
    alone = torch.cat([critic(image[None]) for image in images])
    torch.testing.assert_close(critic(images), alone)


@pytest.mark.parametrize("argument", ["channels", "outputs"])
def test_a_critic_of_nothing_is_refused(argument: str) -> None:
    with pytest.raises(ValueError, match=f"{argument} must be at least 1, got 0"):
        SimpleCritic(**{argument: 0})


@pytest.mark.parametrize(
    ("size", "wanted"),
    [(64, [(512, 8192), "ReLU", (1, 512)]), (128, [(1024, 16384), (1, 1024)])],
)
def test_the_published_critic_ends_as_published(size: int, wanted: list[Any]) -> None:
    critic = PublishedSimpleCritic(size)
    after = list(critic)[list(critic).index(next(x for x in critic if "Flatten" in str(x))) + 1 :]
    kinds = [tuple(x.weight.shape) if hasattr(x, "weight") else type(x).__name__ for x in after]
    assert kinds == wanted
    ours = [tuple(x.weight.shape) for x in SimpleCritic(size) if isinstance(x, torch.nn.Conv2d)]
    assert [tuple(x.weight.shape) for x in critic if isinstance(x, torch.nn.Conv2d)] == ours


def test_the_published_critic_guesses_latents_from_the_features_of_its_scores() -> None:
    critic = PublishedSimpleCritic(16, width=0.1, codes=3)
    images = torch.randn(4, 1, 16, 16)
    scores, codes = critic.with_codes(images)
    assert torch.equal(critic(images), scores)
    features, last = torch.nn.Sequential(*list(critic)[:-1])(images), critic[-1]
    torch.testing.assert_close(scores, features @ last.weight[:1].T + last.bias[:1])
    torch.testing.assert_close(codes, features @ last.weight[1:].T + last.bias[1:])
    assert PublishedSimpleCritic(16, width=0.1).with_codes(images)[1].shape == (4, 0)


def test_the_published_critic_is_saved_with_its_codes(tmp_path: Path) -> None:
    critic = PublishedSimpleCritic(16, width=0.1, codes=2).eval()
    critic.save_pretrained(tmp_path)
    images = torch.randn(4, 1, 16, 16)
    found = aw.nets.load(str(tmp_path))
    assert isinstance(found, PublishedSimpleCritic)
    assert torch.equal(found.with_codes(images)[1], critic.with_codes(images)[1])
    with pytest.raises(ValueError, match="codes must be at least 0, got -1"):
        PublishedSimpleCritic(codes=-1)
