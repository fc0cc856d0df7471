"""SAP of the reference, of oracle codes, against one pair at a time, and of degenerate input."""

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.svm import LinearSVC

from axiswise.metrics import local_scores, sap

REFERENCE = Path(__file__).parents[1] / "reference"
GRID = np.array(list(product(range(4), range(5), range(2))))  # all factors exactly independent
# Each half and each third of these is the grid again.
REPEATED = np.tile(GRID, (6, 1))


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("code", ["entangled", "partly", "perfect"])
def test_agrees_with_the_published_code(name, code):
    """In b one factor has a single value, and one perfect code is constant."""
    data = np.load(REFERENCE / f"metrics_{name}.npz")
    score = sap(data[f"{code}/mus"].T, data["ys"].T, continuous=True, train_share=0.5)
    assert float(score) == pytest.approx(data[f"{code}/sap_continuous"].item(), abs=1e-12)


def test_r_squared_is_that_of_a_fitted_line_on_the_training_part():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 9, (300, 2))
    codes = factors @ rng.normal(size=(2, 3)) + rng.normal(size=(300, 3))
    score = sap(codes, factors, continuous=True, train_share=0.4)
    for i, j in product(range(3), range(2)):
        line = LinearRegression().fit(codes[:120, [i]], factors[:120, j])
        expected = line.score(codes[:120, [i]], factors[:120, j])
        assert score.predictability[i, j] == pytest.approx(expected, abs=1e-12)
    ranked = np.sort(score.predictability, axis=0)
    assert score.gaps.tolist() == (ranked[-1] - ranked[-2]).tolist()


def test_accuracy_is_that_of_a_balanced_linear_machine_on_the_test_part():
    """With the dual problem solved, as in the published code: the same machine."""
    rng = np.random.default_rng(0)
    factors = rng.integers(0, [3, 2], (300, 2)) * (rng.random((300, 1)) < 0.7)
    codes = factors @ rng.normal(size=(2, 3)) + rng.normal(size=(300, 3))
    score = sap(codes, factors)
    for i, j in product(range(3), range(2)):
        machine = LinearSVC(C=0.01, class_weight="balanced", dual=True, max_iter=100_000)
        machine.fit(codes[:200, [i]], factors[:200, j])
        expected = machine.score(codes[200:, [i]], factors[200:, j])
        assert score.predictability[i, j] == pytest.approx(expected, abs=0.011)


@pytest.mark.parametrize("axes", [[0, 1, 2], [2, 0, 1]])
def test_identity_and_permuted_codes_score_one_by_lines(axes):
    scale = [-3.0, 0.1, 1e3]
    score = sap(REPEATED[:, axes] * scale + 7.0, REPEATED, continuous=True)
    assert float(score) == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(score.predictability, np.eye(3)[axes], atol=1e-12)


def test_one_code_tells_two_values_and_another_tells_none():
    """The machine without knowledge guesses one of two values: a gap of a half."""
    factors = REPEATED[:, 2:]
    codes = np.hstack([factors * 20.0 - 10.0, REPEATED[:, :1] - 1.5])
    assert float(sap(codes, factors)) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("continuous", [True, False])
def test_duplicated_codes_score_exactly_zero(continuous):
    codes = np.hstack([REPEATED, REPEATED])
    assert float(sap(codes, REPEATED, continuous=continuous)) == 0.0


@pytest.mark.parametrize("continuous", [True, False])
def test_only_constant_codes_score_zero(continuous):
    assert float(sap(np.full((240, 2), 0.1), REPEATED, continuous=continuous)) == 0.0


def test_noise_scores_near_zero_and_a_rotation_below_identity():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 10, (3000, 2))
    turned = factors @ np.array([[1.0, 1.0], [1.0, -1.0]])
    assert float(sap(rng.normal(size=(3000, 5)), factors, continuous=True)) < 0.01
    score = sap(turned, factors, continuous=True)
    np.testing.assert_allclose(score.predictability, 0.5, atol=0.05)
    assert float(score) < 0.05


def test_factors_may_differ_in_kind():
    kinds = [True, False, True]
    mixed = sap(REPEATED, REPEATED, continuous=kinds)
    lines, machines = (sap(REPEATED, REPEATED, continuous=kind) for kind in (True, False))
    np.testing.assert_array_equal(mixed.gaps, np.where(kinds, lines.gaps, machines.gaps))
    assert lines.gaps[1] != machines.gaps[1]


def test_one_axis_has_its_gap_to_nothing():
    assert float(sap(REPEATED[:, :1], REPEATED[:, :1], continuous=True)) == pytest.approx(1.0)


@pytest.mark.parametrize("continuous", [True, False])
def test_a_factor_of_one_value_in_the_training_part_is_left_out(continuous):
    late = np.repeat([3, 4], [160, 80])
    score = sap(REPEATED, np.insert(REPEATED, 1, late, axis=1), continuous=continuous)
    assert math.isnan(score.gaps[1])
    assert np.isnan(score.predictability[:, 1]).all()
    assert float(score) == float(sap(REPEATED, REPEATED, continuous=continuous))


def test_progress_is_told_after_each_factor_of_machines():
    told = []
    factors = np.insert(REPEATED, 1, 7, axis=1)
    kinds = [True, True, False, False]
    sap(REPEATED, factors, continuous=kinds, progress=lambda *done: told.append(done))
    assert told == [(2, 3), (3, 3)]


def test_can_be_taken_locally_where_factors_stand_still():
    """The third factor has too few values to move, and is left out."""
    scores = local_scores(
        lambda factors: factors.flip(1),
        (20, 20, 3),
        0.2,
        {"sap": lambda codes, factors: sap(codes, factors, continuous=True)},
        samples=300,
        centres=2,
    )
    assert (scores["sap"].values > 0.9).all()


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, math.nan])
def test_train_share_out_of_range_is_an_error(share):
    with pytest.raises(ValueError, match="train_share must be above 0 and below 1"):
        sap(GRID, GRID, train_share=share)


def test_wrong_arguments_are_errors():
    with pytest.raises(ValueError, match="train_share must leave samples"):
        sap(GRID[:2], GRID[:2], train_share=0.9)
    with pytest.raises(ValueError, match="factors must have one factor that varies in the train"):
        sap(GRID, np.ones_like(GRID))
    with pytest.raises(ValueError, match="c must be above 0, got 0"):
        sap(GRID, GRID, c=0.0)
    with pytest.raises(TypeError, match="continuous must be boolean, got int64"):
        sap(GRID, GRID, continuous=1)
    with pytest.raises(ValueError, match="continuous must be one value or one for each of 3"):
        sap(GRID, GRID, continuous=[True, False])
