"""Networks made from settings of unknown origin: the sizes are looked at before memory is taken."""

import json
import resource
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from axiswise import nets
from axiswise.nets import BigGAN, ConvVAE, SimpleCritic, SimpleGenerator
from axiswise.nets.making import check_memory, made, skeleton
from axiswise.runs.protocol import read_settings
from axiswise.support.files import UnreadableFileError
from axiswise.training.trainer import start

SMALL = {"size": 16, "hidden": [4, 4], "features": 8, "latent_dim": 3}


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    """What takes gigabytes fails at once, and does not fill the computer."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    ConvVAE(**SMALL).save_pretrained(tmp_path)  # type: ignore[arg-type]
    return tmp_path


@pytest.mark.parametrize(
    "make",
    [
        partial(ConvVAE, **SMALL),  # type: ignore[arg-type]
        partial(SimpleGenerator, size=16, width=0.1),
        partial(SimpleCritic, size=16, width=0.1),
    ],
    ids=["ConvVAE", "SimpleGenerator", "SimpleCritic"],
)
def test_a_skeleton_has_all_shapes_and_takes_neither_memory_nor_random_numbers(make: Any) -> None:
    torch.manual_seed(3)
    plain = make().state_dict()
    torch.manual_seed(3)
    shapes, network = skeleton(make), made(make)
    assert shapes is not None
    for name, value in shapes.state_dict().items():
        assert value.is_meta
        assert value.shape == plain[name].shape
        assert torch.equal(network.state_dict()[name], plain[name])


def test_biggan_has_a_skeleton_too() -> None:
    assert skeleton(BigGAN) is not None


def test_a_network_that_does_not_fit_is_refused_by_its_size() -> None:
    with pytest.raises(ValueError, match=r"weights of a ConvVAE must fit into the \d+ GiB of mem"):
        made(partial(ConvVAE, latent_dim=10**9))
    with pytest.raises(ValueError, match="the network cannot be made"):
        made(partial(ConvVAE, latent_dim=2**62))
    with pytest.raises(ValueError, match=r"images must fit .* they take 1,048,576 GiB"):
        check_memory("the images", 2**50)


def test_a_network_that_needs_its_numbers_is_made_all_the_same() -> None:
    def make() -> torch.nn.Module:
        network = torch.nn.Linear(2, 2)
        assert float(network.weight.sum().item()) != 7
        return network

    assert skeleton(make) is None
    assert made(make).weight.shape == (2, 2)


ARGUMENTS: dict[str, dict[str, Any]] = {
    "huge": {"latent_dim": 10**9},
    "larger than a number": {"latent_dim": 2**62},
    "other": {"latent_dim": 4},
    "negative": {"latent_dim": -1},
    "zero": {"features": 0},
    "a fraction": {"latent_dim": 3.0},
    "a text": {"latent_dim": "3"},
    "a list": {"latent_dim": [3]},
    "null": {"latent_dim": None},
    "many layers": {"hidden": [4] * 100_000},
    "no list": {"hidden": 4},
    "an argument that it does not have": {"depth": 3},
    "a huge size": {"size": 2**40},
}


@pytest.mark.parametrize("change", ARGUMENTS)
def test_arguments_that_do_not_fit_the_file_are_refused(saved: Path, change: str) -> None:
    about = json.loads((saved / "config.json").read_text())
    about["arguments"] |= ARGUMENTS[change]
    (saved / "config.json").write_text(json.dumps(about))
    for load in (ConvVAE.from_pretrained, nets.load):
        with pytest.raises(UnreadableFileError, match=r"config\.json|model\.safetensors"):
            load(saved)


def test_other_weights_are_named_with_both_shapes(saved: Path) -> None:
    weights = load_file(saved / "model.safetensors")
    name = "decoder.0.weight"
    for value, said in (
        (torch.zeros(2, 2), r"must be \(8, 3\), got F32 of \(2, 2\)"),
        (torch.zeros(8, 3, dtype=torch.int32), r"must be \(8, 3\), got I32 of \(8, 3\)"),
    ):
        save_file({**weights, name: value}, saved / "model.safetensors")
        with pytest.raises(UnreadableFileError, match=f"ConvVAE: {name} {said}"):
            ConvVAE.from_pretrained(saved)
    save_file({**weights, "more": torch.zeros(1)}, saved / "model.safetensors")
    with pytest.raises(UnreadableFileError, match=r"more must be nothing, got F32 of \(1,\)"):
        ConvVAE.from_pretrained(saved)
    weights.pop(name)
    save_file(weights, saved / "model.safetensors")
    with pytest.raises(UnreadableFileError, match=rf"{name} must be \(8, 3\), got nothing"):
        ConvVAE.from_pretrained(saved)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--model.latent_dim 1000000000", "weights of a ConvVAE must fit"),
        ("--model.latent_dim 4611686018427387904", "Storage size calculation overflowed"),
        ("--batch_size 1000000000000", "images of batch_size = 1000000000000 must fit"),
        ("--terms.factor_vae.features 100000000", "weights of a CodeDiscriminator must fit"),
        ("--seed 9223372036854775807 --steps 0", "steps must be at least 1"),
        ("--seed -1", "seed must be between 0 and"),
        ("--devices 5000", "devices must be between 1 and 1024"),
        ("--evaluation.samples 1000000000000", "samples must be at most 10,000,000"),
        ("--data.dots 100000000", "dots must be between 1 and 1000"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused_before_anything_is_made(
    tiny_recipe: Path, words: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        start(read_settings(tiny_recipe, words.split()).build())
