"""The statistics of codes, and that a VAE keeps them."""

import json
import math
from pathlib import Path

import pytest
import torch

from axiswise.generators import load_generator
from axiswise.generators.protocol import draw
from axiswise.nets import CodeStatistics, ConvVAE
from axiswise.support.files import UnreadableFileError


def test_they_are_mean_and_deviation_of_sampled_codes() -> None:
    """Two images at −3 and 5 with noise of deviation 2; an axis that is the prior itself."""
    means, spread = torch.tensor([[-3.0, 0.0], [5.0, 0.0]]), torch.tensor([[4.0, 1.0]] * 2)
    found = CodeStatistics.of([(means[:1], spread[:1].log()), (means[1:], spread[1:].log())])
    assert found is not None
    assert found.mean == [1.0, 0.0]
    assert found.deviation == pytest.approx([math.sqrt(16 + 4), 1.0], rel=1e-4)


def test_codes_that_are_not_finite_have_none() -> None:
    ones = torch.ones(2, 1)
    assert CodeStatistics.of([(ones / 0, ones)]) is None
    assert CodeStatistics.of([(ones, 1e9 * ones)]) is None


def test_samples_have_them() -> None:
    codes = CodeStatistics([1.0, -2.0], [0.5, 3.0])
    z = codes.sample(50_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(z.mean(0), torch.tensor(codes.mean), atol=0.05, rtol=0)
    torch.testing.assert_close(z.std(0), torch.tensor(codes.deviation), rtol=0.02, atol=0)
    torch.testing.assert_close(z, codes.sample(50_000, torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("direction", [[1.0, 0.0], [3.0, 4.0], [-0.2, 0.1]])
def test_along_a_direction_they_are_those_of_the_samples_component(direction: list[float]) -> None:
    codes, row = CodeStatistics([1.0, -2.0], [0.5, 3.0]), torch.tensor(direction)
    component = codes.sample(50_000, torch.Generator().manual_seed(0)) @ (row / row.norm())
    mean, deviation = codes.along(row)
    assert float(component.mean()) == pytest.approx(mean, abs=0.05)
    assert float(component.std()) == pytest.approx(deviation, rel=0.02)


@pytest.mark.parametrize(
    ("mean", "deviation", "message"),
    [
        ([0.0], [1.0, 1.0], "one of each for each latent"),
        ([math.nan], [1.0], "must be finite"),
        ([0.0], [math.inf], "must be finite"),
        ([0.0], [0.0], "deviation must be above 0, got 0.0"),
    ],
)
def test_impossible_ones_are_refused(
    mean: list[float], deviation: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        CodeStatistics(mean, deviation)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    vae = ConvVAE(size=16, latent_dim=2, hidden=[4, 8], features=12)
    vae.code_statistics = CodeStatistics([1.0, -2.0], [0.5, 3.0])
    vae.save_pretrained(tmp_path)
    return tmp_path


def test_a_vae_is_saved_with_them_and_draws_by_them_as_a_generator(saved: Path) -> None:
    vae = ConvVAE.from_pretrained(saved)
    assert vae.code_statistics == CodeStatistics([1.0, -2.0], [0.5, 3.0])
    rng = torch.Generator().manual_seed(0)
    z, _ = draw(load_generator(str(saved)), 2, 1000, rng)
    torch.testing.assert_close(z.std(0), torch.tensor([0.5, 3.0]), rtol=0.1, atol=0)
    prior, _ = draw(load_generator(str(saved), latents="prior"), 2, 1000, rng)
    torch.testing.assert_close(prior.std(0), torch.ones(2), rtol=0.1, atol=0)


def test_they_are_forgotten_once_the_weights_change(saved: Path) -> None:
    vae = ConvVAE.from_pretrained(saved)
    with torch.no_grad():
        next(vae.parameters()).mul_(2)
    assert vae.code_statistics is None
    vae.save_pretrained(saved)
    assert "codes" not in json.loads((saved / "config.json").read_text())
    assert not hasattr(load_generator(str(saved)), "code_statistics")


def test_latents_as_codes_need_the_statistics(saved: Path) -> None:
    vae = ConvVAE.from_pretrained(saved)
    vae.code_statistics = None
    vae.save_pretrained(saved)
    with pytest.raises(ValueError, match="--latents is for VAEs that were saved with the stat"):
        load_generator(str(saved), latents="codes")


@pytest.mark.parametrize(
    "codes",
    [3, {"mean": [0.0, 0.0]}, {"mean": [0.0], "deviation": [1.0]}, {"mean": "ab", "deviation": 2}],
)
def test_damaged_ones_are_refused_by_name(saved: Path, codes: object) -> None:
    path = saved / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "codes": codes}))
    with pytest.raises(
        UnreadableFileError, match=r"config\.json has arguments that ConvVAE refuses"
    ):
        ConvVAE.from_pretrained(saved)
