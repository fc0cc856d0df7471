"""Discretisation and mutual information against NumPy, scikit-learn, the reference and algebra."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from axiswise.metrics import discretize, factor_entropies, mutual_information

REFERENCE = Path(__file__).parents[1] / "reference"
finite = st.floats(-1e12, 1e12, allow_subnormal=False)


def published_bins(code, bins):
    return np.digitize(code, np.histogram(code, bins)[1][:-1])


@settings(deadline=None)
@given(low=finite, high=finite, bins=st.integers(2, 40), seed=st.integers(0, 2**32 - 1))
def test_bins_are_those_of_numpy_on_edges_and_within_an_ulp_of_them(low, high, bins, seed):
    low, high = min(low, high), max(low, high)
    assume(high - low > 1e-9 * max(abs(low), abs(high), 1e-300))
    edges = np.linspace(low, high, bins + 1)
    inside = np.random.default_rng(seed).uniform(low, high, 50)
    code = np.concatenate(
        [edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf), inside]
    )
    code = np.clip(code, low, high)
    ours = discretize(np.stack([code, code[::-1]], axis=1), bins)
    np.testing.assert_array_equal(ours[:, 0], published_bins(code, bins) - 1)
    np.testing.assert_array_equal(ours[:, 1], ours[::-1, 0])


def test_a_value_on_an_edge_goes_up_and_the_maximum_stays_in_the_last_bin():
    code = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]])
    np.testing.assert_array_equal(discretize(code, 2)[:, 0], [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(discretize(code, 4)[:, 0], [0, 1, 2, 3, 3])


def test_each_code_has_its_own_range():
    codes = np.array([[0.0, -50.0], [0.4, 0.0], [1.0, 50.0]])
    np.testing.assert_array_equal(discretize(codes, 2), [[0, 0], [0, 1], [1, 1]])


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0, 1e17, 1e-300])
def test_a_constant_code_falls_into_a_single_bin_and_leaves_others_alone(value):
    other = np.linspace(0.0, 1.0, 11)
    binned = discretize(np.stack([np.full(11, value), other], axis=1), 5)
    assert len(np.unique(binned[:, 0])) == 1
    np.testing.assert_array_equal(binned[:, 1], published_bins(other, 5) - 1)


def test_the_smallest_and_the_largest_range_are_split():
    for values in ([0.0, 5e-324, 0.0], [-1.7e308, 1.7e308, -1.7e308]):
        assert discretize(np.array(values)[:, None], 5).ravel().tolist() == [0, 4, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_narrow_codes_are_binned_in_float64(dtype):
    codes = torch.linspace(-0.7, 0.3, 501, dtype=torch.float64)[:, None].to(dtype)
    np.testing.assert_array_equal(discretize(codes, 20), discretize(codes.double(), 20))


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("code", ["entangled", "partly", "perfect"])
def test_agrees_with_the_published_code(name, code):
    data = np.load(REFERENCE / f"metrics_{name}.npz")
    ours = mutual_information(data[f"{code}/mus"].T, data["ys"].T, bins=5)
    np.testing.assert_allclose(ours, data[f"{code}/mutual_info"], rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(
    samples=st.integers(1, 200),
    latents=st.integers(1, 4),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    bins=st.integers(2, 25),
    spread=st.sampled_from([1, 7, 10**15]),
    seed=st.integers(0, 2**32 - 1),
)
def test_agrees_with_scikit_learn_pair_by_pair(samples, latents, sizes, bins, spread, seed):
    """`spread` puts the factors' values apart, so that both ways of numbering them are taken."""
    rng = np.random.default_rng(seed)
    factors = rng.integers(0, sizes, (samples, len(sizes)))
    codes = rng.normal(size=(samples, latents)) + factors[:, :1]
    ours = mutual_information(codes, (factors - 3) * spread, bins)
    expected = [
        [mutual_info_score(factor, published_bins(code, bins)) for factor in factors.T]
        for code in codes.T
    ]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


def test_a_code_that_is_the_factor_tells_its_entropy():
    factor = np.repeat([0, 1, 2], [1, 2, 3])[:, None]
    entropy = -sum(p * math.log(p) for p in (1 / 6, 2 / 6, 3 / 6))
    assert mutual_information(factor, factor).item() == pytest.approx(entropy, abs=1e-15)
    assert factor_entropies(factor).item() == pytest.approx(entropy, abs=1e-15)


def test_exactly_independent_codes_and_factors_tell_exactly_nothing():
    codes, factors = np.divmod(np.arange(7 * 11 * 3), 7)
    assert mutual_information(codes[:, None], factors[:, None], bins=33).item() == 0.0


def test_constants_tell_exactly_nothing_and_have_no_entropy():
    rng = np.random.default_rng(0)
    varying = rng.integers(0, 9, 1000)
    pair = np.stack([varying, np.full(1000, 4)], axis=1)
    information = mutual_information(pair, pair)
    assert information[0, 0] > 1.0
    assert information[0, 1] == information[1, 0] == information[1, 1] == 0.0
    assert factor_entropies(pair)[1] == 0.0


def test_what_integers_stand_for_the_factor_values_does_not_matter():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 6, (500, 2))
    codes = factors + rng.normal(size=(500, 2))
    names = np.array([2**62, -(2**62), 0, 17, -1, 10**9])
    np.testing.assert_allclose(
        mutual_information(codes, names[factors]), mutual_information(codes, factors), atol=1e-13
    )
    np.testing.assert_allclose(factor_entropies(names[factors]), factor_entropies(factors))


def test_fewer_samples_than_bins_is_the_same_estimate():
    factors = np.array([[0], [1], [2]])
    assert mutual_information(factors * 0.5, factors, bins=20).item() == pytest.approx(math.log(3))


def test_one_sample_tells_nothing():
    assert mutual_information([[0.3, 0.1]], [[1]]).tolist() == [[0.0], [0.0]]
