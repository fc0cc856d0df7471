"""MIG of oracle codes in closed form, of the reference, and what must not change it."""

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axiswise.metrics import mig

REFERENCE = Path(__file__).parents[1] / "reference"
GRID = np.array(list(product(range(4), range(5), range(2))))  # all factors exactly independent


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("code", ["entangled", "partly", "perfect"])
def test_agrees_with_the_published_code(name, code):
    data = np.load(REFERENCE / f"metrics_{name}.npz")
    score = mig(data[f"{code}/mus"].T, data["ys"].T, bins=5)
    assert float(score) == pytest.approx(data[f"{code}/mig"].item(), abs=1e-12)
    np.testing.assert_allclose(
        score.mutual_information, data[f"{code}/mutual_info"], rtol=0, atol=1e-12
    )


def test_identity_codes_score_one():
    score = mig(GRID, GRID)
    assert float(score) == pytest.approx(1.0, abs=1e-15)
    np.testing.assert_allclose(score.entropies, np.log([4, 5, 2]))
    np.testing.assert_allclose(score.mutual_information, np.diag(np.log([4, 5, 2])), atol=1e-15)


def test_permuted_scaled_and_flipped_codes_score_one():
    assert float(mig(GRID[:, [2, 0, 1]] * [-3.0, 0.1, 1e6], GRID)) == pytest.approx(1.0, abs=1e-15)


def test_duplicated_codes_score_exactly_zero():
    assert float(mig(np.hstack([GRID, GRID]), GRID)) == 0.0


def test_one_duplicate_takes_away_its_factors_share():
    score = mig(np.hstack([GRID, GRID[:, :1]]), GRID)
    np.testing.assert_allclose(score.gaps, [0, 1, 1], atol=1e-15)
    assert float(score) == pytest.approx(2 / 3)


def test_codes_independent_of_the_factors_score_exactly_zero():
    assert float(mig(GRID[:, 1:], GRID[:, :1])) == 0.0


def test_fewer_bins_than_values_lose_the_share_they_cannot_tell():
    """Four values in two bins: log 2 of log 4 nats."""
    factors = np.arange(4)[:, None]
    assert float(mig(factors, factors, bins=2)) == pytest.approx(0.5, abs=1e-15)


def test_the_gap_is_to_the_runner_up():
    """A second axis that tells factor 0 (log 4) by halves (log 2) leaves half of the entropy."""
    codes = np.stack([GRID[:, 0], GRID[:, 0] // 2], axis=1)
    assert mig(codes, GRID[:, :1]).gaps.tolist() == pytest.approx([0.5], abs=1e-15)


def test_one_axis_has_its_gap_to_nothing():
    assert float(mig(GRID[:, :1], GRID[:, :1])) == pytest.approx(1.0, abs=1e-15)


def test_constant_axes_change_nothing_however_few_others_there_are():
    constant = np.full((len(GRID), 2), 0.3)
    for axes in (1, 2, 3):
        codes = GRID[:, :axes] + 0.5 * GRID[:, -1:]
        assert float(mig(np.hstack([codes, constant]), GRID)) == float(mig(codes, GRID))


def test_only_constant_codes_score_zero():
    assert float(mig(np.full((len(GRID), 3), 0.1), GRID)) == 0.0


def test_a_factor_of_one_value_is_left_out():
    factors = np.insert(GRID, 1, 7, axis=1)
    score = mig(GRID, factors)
    assert math.isnan(score.gaps[1])
    assert score.entropies[1] == 0.0
    assert float(score) == float(mig(GRID, GRID))


def test_only_factors_of_one_value_is_an_error():
    with pytest.raises(ValueError, match="factors must have one factor that varies"):
        mig(GRID, np.ones((len(GRID), 2), dtype=int))


def test_fewer_samples_than_bins_has_a_score():
    factors = np.array([[0], [1], [2]])
    assert float(mig(factors, factors, bins=20)) == pytest.approx(1.0)


def test_noise_scores_near_zero():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 10, (10_000, 3))
    assert float(mig(rng.normal(size=(10_000, 5)), factors)) < 0.01


@st.composite
def samples(draw):
    """Codes of whole numbers from 0 to 13, both taken: with 5 bins none is on an inner edge."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, latents, factors = (draw(st.integers(*ends)) for ends in ((20, 80), (1, 5), (1, 4)))
    values = rng.integers(0, 4, (count, factors))
    values[:2] = [[0], [1]]
    codes = rng.integers(0, 8, (count, latents)) + 2 * values[:, :1]
    codes[:2] = [[0], [13]]
    return codes, values, rng


@settings(deadline=None, max_examples=50)
@given(samples())
def test_does_not_change_with_order_sign_scale_or_place_of_the_codes(drawn):
    codes, factors, rng = drawn
    expected = mig(codes, factors, bins=5)
    latents = codes.shape[1]
    axes, rows = rng.permutation(latents), rng.permutation(len(codes))
    moved = codes * rng.choice([-1, 1], latents) * rng.uniform(0.01, 100, latents)
    moved = (moved + rng.normal(size=latents))[:, axes]
    score = mig(moved[rows], factors[rows], bins=5)
    assert float(score) == pytest.approx(float(expected), abs=1e-12)
    np.testing.assert_allclose(
        score.mutual_information, expected.mutual_information[axes], rtol=0, atol=1e-12
    )


@settings(deadline=None, max_examples=50)
@given(samples())
def test_lies_between_zero_and_one_and_information_below_entropy(drawn):
    codes, factors, _ = drawn
    score = mig(codes, factors, bins=5)
    assert 0.0 <= float(score) <= 1.0
    assert (score.mutual_information >= 0).all()
    assert (score.mutual_information <= score.entropies + 1e-12).all()
    assert (score.mutual_information <= math.log(5) + 1e-12).all()
