"""IRS of the reference, of codes in closed form, and of degenerate input."""

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from axiswise.metrics import irs, local_scores

REFERENCE = Path(__file__).parents[1] / "reference"
GRID = np.array(list(product(range(4), range(5), range(2))))  # all factors exactly independent


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("code", ["entangled", "partly", "perfect"])
def test_agrees_with_the_published_code_and_is_defined_where_that_is_not(name, code):
    data = np.load(REFERENCE / f"metrics_{name}.npz")
    published = data[f"{code}/irs"].item()
    codes, factors = data[f"{code}/mus"].T, data["ys"].T
    score = irs(codes, factors)
    if math.isnan(published):
        varying = codes[:, codes.min(axis=0) < codes.max(axis=0)]
        assert varying.shape != codes.shape
        published = float(irs(varying, factors))
    assert float(score) == pytest.approx(published, abs=1e-12)


@pytest.mark.parametrize("axes", [[0, 1, 2], [2, 0, 1], [0, 0, 1, 1, 2, 2], [1]])
def test_identity_permuted_and_duplicated_codes_score_one(axes):
    score = irs(GRID[:, axes] * -3.0, GRID)
    assert float(score) == pytest.approx(1.0, abs=1e-15)
    np.testing.assert_allclose(score.per_code, 1.0, atol=1e-15)
    assert score.robustness.argmax(axis=1).tolist() == axes


def test_the_share_of_the_range_that_is_left_while_the_factor_is_held():
    """Of a + b, a to 3 and b to 1: from its mean 2, 1/2 of 2 with a held, 3/2 with b held."""
    factors = np.array(list(product(range(4), range(2))))
    score = irs(factors.sum(axis=1, keepdims=True), factors, quantile=1.0)
    np.testing.assert_allclose(score.robustness, [[0.75, 0.25]], atol=1e-15)
    assert float(score) == pytest.approx(0.75, abs=1e-15)
    assert score.deviations.tolist() == [2.0]


def test_codes_count_by_their_largest_deviation():
    factors = np.array(list(product(range(4), range(2))))
    codes = np.stack([factors.sum(axis=1), 3 * factors[:, 1]], axis=1)
    score = irs(codes, factors, quantile=1.0)
    np.testing.assert_allclose(score.per_code, [0.75, 1.0])
    assert float(score) == pytest.approx((2 * 0.75 + 1.5 * 1.0) / 3.5)


def test_the_quantile_lets_rare_moves_pass():
    """With the factor held the code leaves 0 in one sample of a hundred."""
    factors = np.repeat([0, 1], 100)[:, None]
    codes = np.repeat([0.0, 1.0], 100)[:, None]
    codes[[0, 100]] += 0.5
    assert float(irs(codes, factors, quantile=0.9)) > 0.98
    assert float(irs(codes, factors, quantile=1.0)) < 0.6


def test_noise_scores_low_and_a_rotation_between():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 5, (4000, 2))
    noise = float(irs(rng.uniform(size=(4000, 3)), factors))
    turned = float(irs(factors @ np.array([[1.0, 1.0], [1.0, -1.0]]), factors))
    assert noise < 0.05
    assert turned == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9])
def test_constant_codes_change_nothing(value):
    codes = GRID + 0.5 * GRID[:, [1, 2, 0]]
    score = irs(np.insert(codes, 1, value, axis=1), GRID)
    assert float(score) == float(irs(codes, GRID))
    assert math.isnan(score.per_code[1])
    assert np.isnan(score.robustness[1]).all()
    assert score.deviations[1] == 0.0


def test_only_constant_codes_score_zero():
    assert float(irs(np.full((len(GRID), 3), 0.1), GRID)) == 0.0


def test_a_factor_of_one_value_is_left_out():
    score = irs(GRID, np.insert(GRID, 1, 7, axis=1))
    assert np.isnan(score.robustness[:, 1]).all()
    assert float(score) == float(irs(GRID, GRID))


def test_can_be_taken_locally_where_factors_stand_still():
    scores = local_scores(
        lambda factors: factors.flip(1), (20, 20, 3), 0.2, {"irs": irs}, samples=300, centres=2
    )
    assert scores["irs"].values.tolist() == [1.0, 1.0]


def test_wrong_arguments_are_errors():
    with pytest.raises(ValueError, match="factors must have one factor that varies"):
        irs(GRID, np.ones_like(GRID))
    with pytest.raises(ValueError, match="quantile must be from 0 to 1, got 99"):
        irs(GRID, GRID, quantile=99)
