"""What all metrics take and refuse, and what importing them costs."""

import doctest
import importlib

import numpy as np
import pytest
import torch

from axiswise.metrics import (
    dci,
    discretize,
    explicitness,
    factor_entropies,
    irs,
    mig,
    modularity,
    mutual_information,
    sap,
)

RNG = np.random.default_rng(0)
FACTORS = RNG.integers(0, 3, (60, 2))
CODES = FACTORS + RNG.normal(size=(60, 2))


def forest_dci(codes, factors):
    return dci(codes, factors, model="forest", rng=torch.Generator().manual_seed(0))


pairwise = pytest.mark.parametrize(
    "metric", [mutual_information, mig, modularity, explicitness, sap, irs, forest_dci]
)
binned = pytest.mark.parametrize("metric", [mutual_information, mig, modularity])


def score(result):
    return result if isinstance(result, np.ndarray) else float(result)


@pairwise
def test_tensors_lists_and_whole_floats_give_what_arrays_give(metric):
    expected = score(metric(CODES, FACTORS))
    tensors = torch.tensor(CODES, requires_grad=True), torch.tensor(FACTORS, dtype=torch.int16)
    np.testing.assert_array_equal(score(metric(*tensors)), expected)
    np.testing.assert_array_equal(score(metric(CODES.tolist(), FACTORS.tolist())), expected)
    np.testing.assert_array_equal(score(metric(CODES, FACTORS.astype(np.float32))), expected)
    np.testing.assert_array_equal(score(metric(np.asfortranarray(CODES), FACTORS)), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pairwise
def test_tensors_on_a_gpu_give_what_arrays_give(metric):
    on_gpu = metric(torch.tensor(CODES, device="cuda"), torch.tensor(FACTORS, device="cuda"))
    np.testing.assert_array_equal(score(on_gpu), score(metric(CODES, FACTORS)))


@pairwise
def test_arguments_are_left_as_they_are(metric):
    codes, factors = CODES.copy(), FACTORS.copy()
    metric(codes, factors)
    np.testing.assert_array_equal(codes, CODES)
    np.testing.assert_array_equal(factors, FACTORS)


@pairwise
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_codes_that_are_not_finite_are_named_with_their_axis(metric, bad):
    codes = CODES.copy()
    codes[7, 1] = bad
    with pytest.raises(
        ValueError, match=r"codes must be finite, got NaN or infinity on axes \[1\]"
    ):
        metric(codes, FACTORS)


@pairwise
def test_no_axis_and_no_samples_are_errors(metric):
    with pytest.raises(ValueError, match=r"codes must have at least one row.*\(60, 0\)"):
        metric(CODES[:, :0], FACTORS)
    with pytest.raises(ValueError, match=r"factors must have at least one row.*\(60, 0\)"):
        metric(CODES, FACTORS[:, :0])
    with pytest.raises(ValueError, match=r"codes must have at least one row.*\(0, 2\)"):
        metric(CODES[:0], FACTORS[:0])


@pairwise
def test_wrong_dimensions_are_errors(metric):
    with pytest.raises(ValueError, match=r"codes must have shape \(samples, latent\), got \(60,\)"):
        metric(CODES[:, 0], FACTORS)
    with pytest.raises(
        ValueError, match=r"factors must have shape \(samples, factor\), got \(60,\)"
    ):
        metric(CODES, FACTORS[:, 0])


@pairwise
def test_mismatched_lengths_are_an_error(metric):
    with pytest.raises(ValueError, match=r"codes and factors must have one row.*60 and 59 rows"):
        metric(CODES, FACTORS[:-1])


@pairwise
@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf, 1e300])
def test_factors_that_are_not_integers_are_an_error(metric, bad):
    factors = FACTORS.astype(float)
    factors[3, 0] = bad
    with pytest.raises(ValueError, match="factors must be integers"):
        metric(CODES, factors)


@pairwise
def test_numbers_of_another_kind_are_type_errors(metric):
    with pytest.raises(TypeError, match="codes must be real numbers, got complex128"):
        metric(CODES * 1j, FACTORS)
    with pytest.raises(TypeError, match="factors must be integers, got <U1"):
        metric(CODES, FACTORS.astype("<U1"))


@binned
@pytest.mark.parametrize("bins", [1, 0, -5])
def test_fewer_than_two_bins_are_an_error(metric, bins):
    with pytest.raises(ValueError, match=f"bins must be at least 2, got {bins}"):
        metric(CODES, FACTORS, bins=bins)


@binned
@pytest.mark.parametrize("bins", [5.0, "5", None])
def test_bins_that_are_not_an_integer_are_a_type_error(metric, bins):
    with pytest.raises(TypeError, match="bins must be an integer"):
        metric(CODES, FACTORS, bins=bins)


def test_a_range_that_overflows_is_an_error():
    with pytest.raises(ValueError, match="codes span a range that overflows"):
        discretize([[-1e308], [1e308]])


def test_entropies_refuse_fractions():
    with pytest.raises(ValueError, match="factors must be integers"):
        factor_entropies([[0.5]])


@pytest.mark.parametrize(
    "name",
    ["mig", "modularity", "local", "sap", "irs", "dci", "factor_vae_score", "beta_vae_score"],
)
def test_examples_in_docstrings_hold(name):
    result = doctest.testmod(importlib.import_module(f"axiswise.metrics.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
