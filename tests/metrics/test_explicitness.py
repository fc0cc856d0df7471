"""Explicitness of the reference, of codes with a known answer, and of degenerate input."""

import math
from pathlib import Path

import numpy as np
import pytest

from axiswise.metrics import explicitness

REFERENCE = Path(__file__).parents[1] / "reference"
RNG = np.random.default_rng(0)
FACTORS = RNG.integers(0, [2, 3], (600, 2))
ONE_HOT = np.hstack([np.eye(size)[column] for size, column in zip([2, 3], FACTORS.T, strict=True)])


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("code", ["entangled", "partly", "perfect"])
def test_agrees_with_the_published_code_and_is_defined_where_that_is_not(name, code):
    data = np.load(REFERENCE / f"metrics_{name}.npz")
    published = data[f"{code}/explicitness_test"].item()
    codes, factors = data[f"{code}/mus"].T, data["ys"].T
    score = explicitness(codes, factors)
    if math.isnan(published):
        varying = codes[:, codes.min(axis=0) < codes.max(axis=0)]
        assert varying.shape != codes.shape
        published = float(explicitness(varying, factors))
    assert float(score) == pytest.approx(published, abs=1e-12)


def test_linearly_separable_values_score_one():
    score = explicitness(ONE_HOT, FACTORS)
    assert score.auc.tolist() == [1.0, 1.0]
    assert float(score) == 1.0


def test_probabilities_are_normalised_over_the_values():
    """Of 0, 1, 2 on one axis no single line tells the 1; that the others are unlikely does."""
    assert explicitness(FACTORS[:, 1:], FACTORS[:, 1:]).auc.tolist() == [1.0]


def test_noise_scores_near_a_half():
    codes = np.random.default_rng(1).normal(size=(4000, 3))
    factors = np.random.default_rng(2).integers(0, 4, (4000, 2))
    assert float(explicitness(codes, factors)) == pytest.approx(0.5, abs=0.03)


def test_constant_codes_score_exactly_a_half():
    assert float(explicitness(np.full((600, 2), 0.1), FACTORS)) == 0.5


@pytest.mark.parametrize("value", [0.1, 0.0, 1e9])
def test_a_constant_axis_changes_nothing(value):
    codes = ONE_HOT + np.random.default_rng(1).normal(size=ONE_HOT.shape)
    with_constant = np.insert(codes, 2, value, axis=1)
    assert float(explicitness(with_constant, FACTORS)) == float(explicitness(codes, FACTORS))


def test_an_axis_constant_in_the_training_half_changes_nothing():
    codes = ONE_HOT + np.random.default_rng(1).normal(size=ONE_HOT.shape)
    late = np.insert(codes, 2, np.arange(600) // 300 * np.arange(600), axis=1)
    assert float(explicitness(late, FACTORS)) == float(explicitness(codes, FACTORS))


def test_an_axis_whose_variance_underflows_counts_as_any_other():
    codes = ONE_HOT + np.random.default_rng(1).normal(size=ONE_HOT.shape)
    scores = [
        float(explicitness(np.insert(codes, 0, FACTORS[:, 0] * scale, axis=1), FACTORS))
        for scale in (1.0, 2.0**-900)
    ]
    assert scores[0] == scores[1]


def test_scale_and_place_of_the_codes_do_not_matter():
    codes = ONE_HOT + np.random.default_rng(1).normal(size=ONE_HOT.shape)
    moved = codes * [1e-3, 1.0, 50.0, 1e4, 2.0] + [5.0, -1.0, 0.0, 1e5, 0.0]
    assert float(explicitness(moved, FACTORS)) == pytest.approx(
        float(explicitness(codes, FACTORS)), abs=1e-6
    )


def test_a_constant_factor_is_left_out():
    score = explicitness(ONE_HOT, np.insert(FACTORS, 1, 3, axis=1))
    assert math.isnan(score.auc[1])
    assert float(score) == 1.0


def test_values_absent_from_one_half_are_not_scored_but_their_samples_count():
    """Value 9 is in the training half only, 8 in the test half only; 8 is a negative of 0 and 1."""
    factor = np.tile([0, 1], 20)
    factor[4], factor[24] = 9, 8
    codes = (factor == 0).astype(float)[:, None]
    codes[24] = 1.0  # the sample of value 8 looks like value 0
    auc = explicitness(codes, factor[:, None]).auc.item()
    # Value 0: 9 positives, 11 negatives of which one ties with all positives. Value 1: the same
    # tie is among its negatives, which it ranks above as it should.
    assert auc == pytest.approx(((9 * 10 + 9 * 0.5) / (9 * 11) + 1.0) / 2)


def test_a_factor_with_one_value_in_the_training_half_is_left_out():
    late = np.arange(600) // 300
    score = explicitness(ONE_HOT, np.column_stack([FACTORS[:, 0], late]))
    assert math.isnan(score.auc[1])
    assert float(score) == 1.0


@pytest.mark.parametrize("factors", [np.zeros((10, 2), dtype=int), np.arange(10)[:, None]])
def test_nothing_to_score_is_an_error(factors):
    with pytest.raises(ValueError, match="factors must have a value that some but not all"):
        explicitness(np.arange(20.0).reshape(10, 2), factors)


def test_one_sample_is_an_error():
    with pytest.raises(ValueError, match="codes must have at least two rows"):
        explicitness([[1.0]], [[1]])
