"""Scores of codes among themselves: closed forms of Gaussians, oracle codes, invariances."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.metrics import mutual_info_score

from axiswise.metrics import (
    mean_mutual_information,
    total_correlation,
    wasserstein_correlation,
)

COVARIANCE = np.array([[2.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 0.5]])


def _with_covariance(covariance, samples=200, seed=0):
    """Codes that have this covariance exactly, up to rounding."""
    codes = np.random.default_rng(seed).standard_normal((samples, len(covariance)))
    codes -= codes.mean(axis=0)
    white = codes @ np.linalg.inv(np.linalg.cholesky(np.cov(codes.T))).T
    return white @ np.linalg.cholesky(covariance).T + [3.0, -1.0, 100.0][: len(covariance)]


def _grid(*sizes):
    """Codes that are exactly independent."""
    return np.stack([axis.ravel() for axis in np.meshgrid(*map(np.arange, sizes))], axis=1)


@pytest.mark.parametrize("correlation", [0.0, 0.3, -0.9, 0.999])
def test_total_correlation_of_two_gaussians_is_their_mutual_information(correlation):
    covariance = np.array([[4.0, 2 * correlation], [2 * correlation, 1.0]])
    expected = -0.5 * np.log(1 - correlation**2)
    assert total_correlation(_with_covariance(covariance)) == pytest.approx(expected, abs=1e-12)


def test_total_correlation_by_the_determinant():
    expected = 0.5 * (np.log(np.diag(COVARIANCE)).sum() - np.log(np.linalg.det(COVARIANCE)))
    assert total_correlation(_with_covariance(COVARIANCE)) == pytest.approx(expected, abs=1e-12)


def test_total_correlation_does_not_depend_on_units_and_order():
    codes = _with_covariance(COVARIANCE)
    changed = codes[:, [2, 0, 1]] * [-1e-6, 1e6, 3.0] + 5
    assert total_correlation(changed) == pytest.approx(total_correlation(codes), rel=1e-9)


def test_duplicated_and_summed_codes_have_infinite_total_correlation():
    codes = _with_covariance(COVARIANCE)
    assert total_correlation(codes[:, [0, 1, 0]]) == np.inf
    summed = np.column_stack([codes, codes.sum(axis=1)])
    assert total_correlation(summed) == np.inf


@pytest.mark.parametrize("correlation", [0.0, 0.3, -0.9, 1.0])
def test_wasserstein_correlation_of_two_gaussians_in_closed_form(correlation):
    """Of unit variances: the roots of the eigenvalues 1 ± ρ, so 4 − 2 √(1+ρ) − 2 √(1−ρ)."""
    first = _with_covariance(np.eye(2))
    other = correlation * first[:, 0] + np.sqrt(1 - correlation**2) * first[:, 1]
    found = wasserstein_correlation(np.column_stack([first[:, 0], other]))
    expected = 4 - 2 * np.sqrt(1 + correlation) - 2 * np.sqrt(1 - correlation)
    assert float(found) == pytest.approx(expected, abs=1e-7)
    assert found.normalised == pytest.approx(expected / 2, abs=1e-7)


def test_wasserstein_correlation_by_the_published_root_of_a_matrix():
    variances = np.diag(COVARIANCE)
    root = sqrtm(COVARIANCE * variances[:, None])
    expected = 2 * variances.sum() - 2 * np.trace(root).real
    found = wasserstein_correlation(_with_covariance(COVARIANCE))
    assert found.score == pytest.approx(expected, rel=1e-9)
    assert found.normalised == pytest.approx(expected / 3.5, rel=1e-9)


def test_wasserstein_correlation_grows_with_the_square_of_the_codes():
    codes = _with_covariance(COVARIANCE)
    once, thrice = wasserstein_correlation(codes), wasserstein_correlation(-3 * codes)
    assert thrice.score == pytest.approx(9 * once.score)
    assert thrice.normalised == pytest.approx(once.normalised)


def test_mean_mutual_information_pair_by_pair_with_scikit_learn():
    codes = np.random.default_rng(0).standard_normal((500, 4)) @ np.triu(np.ones((4, 4)))
    binned = [np.digitize(code, np.histogram(code, 6)[1][1:-1]) for code in codes.T]
    pairs = [[mutual_info_score(one, other) for other in binned] for one in binned]
    found = mean_mutual_information(codes, bins=6)
    np.testing.assert_allclose(found.mutual_information, pairs, rtol=0, atol=1e-12)
    expected = np.mean([pairs[i][j] for i in range(4) for j in range(4) if i != j])
    assert float(found) == pytest.approx(expected, abs=1e-12)


def test_a_copy_shares_all_of_its_information():
    """Of three codes, two are the same with four values: log 4 nats in one pair of three."""
    codes = _grid(4, 5)[:, [0, 1, 0]]
    assert float(mean_mutual_information(codes)) == pytest.approx(np.log(4) / 3, abs=1e-12)


def test_mean_mutual_information_sees_what_correlation_does_not():
    x = np.arange(-50, 51)
    codes = np.column_stack([x, x**2])
    assert total_correlation(codes) == pytest.approx(0, abs=1e-12)
    assert float(mean_mutual_information(codes)) > 1.5


def test_independent_codes_score_zero():
    codes = _grid(4, 3, 5)
    assert total_correlation(codes) == pytest.approx(0, abs=1e-12)
    assert float(wasserstein_correlation(codes)) == pytest.approx(0, abs=1e-12)
    assert float(mean_mutual_information(codes)) == 0.0


def test_rotated_codes_of_unequal_variances_score_above_straight_ones():
    codes = _grid(9, 3)
    turned = codes @ np.array([[0.6, 0.8], [-0.8, 0.6]])
    assert total_correlation(turned) > 0.1
    assert float(wasserstein_correlation(turned)) > 0.1
    assert float(mean_mutual_information(turned)) > 0.5


def test_constant_codes_count_for_nothing():
    codes = _with_covariance(COVARIANCE)
    more = np.column_stack([codes, np.full(len(codes), 0.1)])
    assert total_correlation(more) == pytest.approx(total_correlation(codes), rel=1e-12)
    assert float(wasserstein_correlation(more)) == pytest.approx(
        float(wasserstein_correlation(codes)), rel=1e-9
    )
    constant = np.full((50, 3), 0.1)
    assert total_correlation(constant) == 0.0
    found = wasserstein_correlation(constant)
    assert (found.score, found.normalised) == (0.0, 0.0)
    assert float(mean_mutual_information(constant)) == 0.0
    assert float(mean_mutual_information(codes[:, :1])) == 0.0


def test_tensors_of_any_precision_are_taken():
    codes = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    expected = total_correlation(codes.double().numpy())
    assert total_correlation(codes) == pytest.approx(expected, rel=1e-12)
    assert total_correlation(codes.bfloat16()) == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("score", [total_correlation, wasserstein_correlation])
def test_one_sample_has_no_covariance(score):
    with pytest.raises(ValueError, match="codes must have at least two rows"):
        score(np.zeros((1, 3)))


@pytest.mark.parametrize(
    "score", [total_correlation, wasserstein_correlation, mean_mutual_information]
)
def test_codes_that_are_no_numbers_are_refused(score):
    with pytest.raises(ValueError, match=r"codes must be finite.*axes \[1\]"):
        score(np.array([[0.0, np.nan], [1.0, 2.0]]))
    with pytest.raises(TypeError, match="codes must be real numbers"):
        score(np.array([["a"], ["b"]]))
