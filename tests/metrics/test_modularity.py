"""Modularity of oracle codes in closed form, of the reference, and what must not change it."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axiswise.metrics import modularity

REFERENCE = Path(__file__).parents[1] / "reference"
GRID = np.array(list(product(range(4), range(5), range(2))))  # all factors exactly independent


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("code", ["entangled", "partly", "perfect"])
def test_agrees_with_the_published_code(name, code):
    data = np.load(REFERENCE / f"metrics_{name}.npz")
    score = modularity(data[f"{code}/mus"].T, data["ys"].T, bins=5)
    assert float(score) == pytest.approx(data[f"{code}/modularity"].item(), abs=1e-12)


@pytest.mark.parametrize("axes", [[0, 1, 2], [2, 0, 1], [0, 0, 1, 1, 2, 2], [1]])
def test_identity_permuted_and_duplicated_codes_score_one(axes):
    score = modularity(GRID[:, axes], GRID)
    assert float(score) == 1.0
    np.testing.assert_array_equal(score.per_code, np.ones(len(axes)))


def test_a_code_that_tells_two_factors_by_unequal_parts():
    """Information log 2 and log 4: 1 − (log 2 / log 4)² = 3/4."""
    factors = np.array(list(product(range(2), range(4))))
    code = factors[:, :1] * 4 + factors[:, 1:]
    assert float(modularity(code, factors)) == pytest.approx(0.75, abs=1e-15)


def test_a_code_that_tells_all_factors_alike_scores_zero():
    factors = np.array(list(product(range(3), repeat=2)))
    code = factors[:, :1] * 3 + factors[:, 1:]
    assert float(modularity(code, factors)) == pytest.approx(0.0, abs=1e-12)


def test_a_factor_of_one_value_counts_in_the_divisor():
    """Two factors told alike, a third that cannot be told: 1 − 1/(3 − 1)."""
    factors = np.array(list(product(range(3), repeat=2)))
    code = factors[:, :1] * 3 + factors[:, 1:]
    assert float(modularity(code, np.insert(factors, 0, 5, axis=1))) == pytest.approx(0.5)


def test_codes_that_tell_nothing_score_zero_and_count_in_the_mean():
    constant = np.full(len(GRID), 0.1)
    independent = np.tile([0, 1], len(GRID))
    codes = np.column_stack([np.repeat(GRID, 2, axis=0), np.repeat(constant, 2), independent])
    score = modularity(codes, np.repeat(GRID, 2, axis=0))
    np.testing.assert_array_equal(score.per_code, [1, 1, 1, 0, 0])
    assert float(score) == pytest.approx(3 / 5)


def test_only_factors_of_one_value_are_an_error():
    with pytest.raises(ValueError, match="factors must have one factor that varies"):
        modularity(GRID, np.ones((len(GRID), 2), dtype=int))
    with pytest.raises(ValueError, match="factors must have one factor that varies"):
        modularity(GRID[:1], GRID[:1])


def test_one_factor_is_an_error():
    with pytest.raises(ValueError, match="factors must have at least two columns"):
        modularity(GRID, GRID[:, :1])


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(2, 4))
def test_does_not_change_with_order_sign_scale_or_place_and_stays_in_range(seed, latents, count):
    rng = np.random.default_rng(seed)
    factors = rng.integers(0, 4, (60, count))
    codes = rng.integers(0, 8, (60, latents)) + 2 * factors[:, :1]
    codes[:2] = [[0], [13]]  # whole numbers from 0 to 13: with 5 bins none is on an inner edge
    expected = modularity(codes, factors, bins=5)
    axes, rows = rng.permutation(latents), rng.permutation(60)
    moved = codes * rng.choice([-1, 1], latents) * rng.uniform(0.01, 100, latents)
    moved = (moved + rng.normal(size=latents))[:, axes]
    score = modularity(moved[rows], factors[rows], bins=5)
    np.testing.assert_allclose(score.per_code, expected.per_code[axes], rtol=0, atol=1e-9)
    assert 0.0 <= float(score) <= 1.0
