"""InfoMEC: oracle codes, scikit-learn's estimator and classifier, what must not change it."""

import numpy as np
import pytest
import torch
from sklearn.feature_selection import mutual_info_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, mutual_info_score
from sklearn.preprocessing import StandardScaler

from axiswise.metrics import infomec, local_scores

SAMPLES = 2000


@pytest.fixture(scope="module")
def factors():
    return np.random.default_rng(0).integers(0, (4, 5, 3), size=(SAMPLES, 3))


def _rng(seed=0):
    return torch.Generator().manual_seed(seed)


def _noise(shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def test_information_is_that_of_scikit_learn(factors):
    """Up to one neighbour at a rounded distance; values seen once, or seldom, are among them."""
    factors = factors.copy()
    factors[:2, 0] = 7, 8
    factors[2:6, 0] = 9
    codes = factors @ _noise((3, 4)) + _noise((SAMPLES, 4))
    found = infomec(codes, factors, neighbours=7, rng=_rng()).normalised_information
    for j, factor in enumerate(factors.T):
        expected = mutual_info_classif(codes, factor, n_neighbors=7, random_state=0)
        entropy = mutual_info_score(factor, factor)
        np.testing.assert_allclose(found[:, j] * entropy, expected, rtol=0, atol=2e-4)


def test_information_of_codes_with_equal_values_is_that_of_the_factor(factors):
    found = infomec(factors, factors, rng=_rng()).normalised_information
    np.testing.assert_allclose(np.diag(found), 1, atol=0.01)
    assert np.abs(found - np.diag(np.diag(found))).max() < 0.02


def test_modularity_and_compactness_by_hand(factors):
    """From the information that was reported; the third code's range is too small to count."""
    codes = factors @ _noise((3, 4)) + _noise((SAMPLES, 4))
    codes[:, 2] *= 0.1 / np.ptp(codes[:, 2])
    found = infomec(codes, factors, rng=_rng())
    assert found.active.tolist() == [True, True, False, True]
    told = found.normalised_information[found.active]
    modularity = [(max(row) / sum(row) - 1 / 3) / (1 - 1 / 3) for row in told]
    compactness = [(max(column) / sum(column) - 1 / 3) / (1 - 1 / 3) for column in told.T]
    assert found.infom == pytest.approx(np.mean(modularity), rel=1e-12)
    assert found.infoc == pytest.approx(np.mean(compactness), rel=1e-12)
    assert float(found) == found.infom


def test_explicitness_is_that_of_the_published_classifier(factors):
    """With no penalty and balanced values, against the same classifier of codes that are all 0."""
    factors = np.column_stack([factors[:, :2], factors[:, 2] ** 2 // 4])  # 0 twice as often as 1
    codes = factors @ _noise((3, 4)) + _noise((SAMPLES, 4))
    standardised = StandardScaler().fit_transform(codes)
    shares = []
    for factor in factors.T:
        losses = []
        for inputs in (standardised, np.zeros_like(codes)):
            classifier = LogisticRegression(C=np.inf, class_weight="balanced").fit(inputs, factor)
            losses.append(log_loss(factor, classifier.predict_proba(inputs)))
        shares.append((losses[1] - losses[0]) / losses[1])
    assert infomec(codes, factors, rng=_rng()).infoe == pytest.approx(np.mean(shares), rel=1e-9)


def test_explicitness_of_gaussians_is_what_their_densities_leave():
    """Of one variance, so that the chances of the values are a linear classifier's."""
    factors = np.random.default_rng(0).integers(0, (6, 2), size=(20_000, 2))
    codes = 2.0 * factors + _noise((20_000, 2))
    expected = []
    for code, factor, size in zip(codes.T, factors.T, (6, 2), strict=True):
        densities = np.exp(-((code[:, None] - 2.0 * np.arange(size)) ** 2) / 2)
        chances = densities[np.arange(len(factor)), factor] / densities.sum(axis=1)
        expected.append(1 + np.log(chances).mean() / np.log(size))
    assert infomec(codes, factors, rng=_rng()).infoe == pytest.approx(np.mean(expected), abs=3e-3)


@pytest.mark.parametrize("turned", [False, True])
def test_codes_that_say_all_of_many_values_are_explicit(turned):
    """A penalty would leave half: to tell so many values the weights have to be large."""
    factors = np.random.default_rng(0).integers(0, (16, 12), size=(SAMPLES, 2))
    codes = factors @ np.array([[1.0, 1.0], [-1.0, 1.0]]) if turned else factors
    assert infomec(codes, factors, rng=_rng()).infoe > 0.99


def _one_hot(factors):
    columns = [factors == value for value in range(5)]
    return np.concatenate(columns, axis=1)[:, [i for i in range(15) if i not in (11, 12, 14)]]


ORACLES = {
    # codes of factors, then bounds of InfoM, InfoC and InfoE
    "identity": (lambda f: f, (0.97, 1), (0.97, 1), (0.99, 1)),
    "permuted": (lambda f: f[:, [2, 0, 1]] * [-2, 1, 0.5], (0.97, 1), (0.97, 1), (0.99, 1)),
    # each factor is told twice: (1/2 − 1/6) / (1 − 1/6)
    "duplicated": (lambda f: np.hstack([f, f]), (0.97, 1), (0.38, 0.42), (0.99, 1)),
    "noise": (lambda f: _noise(f.shape), (0, 1), (0, 1), (0, 0.01)),
    "constant": (lambda f: np.full(f.shape, 0.1), (0, 0), (0, 0), (0, 0)),
    # one code tells of one factor, of the three
    "one code": (lambda f: f[:, :1], (0.97, 1), (1 / 3, 1), (0.33, 0.335)),
    # a classifier has it easy; each factor is told by several codes
    "one hot": (_one_hot, (0.9, 1), (0.1, 0.5), (0.99, 1)),
}


@pytest.mark.parametrize("name", ORACLES)
def test_oracle_codes_score_what_is_known(factors, name):
    make, *bounds = ORACLES[name]
    found = infomec(make(factors), factors, rng=_rng())
    scores = found.infom, found.infoc, found.infoe
    for score, (low, high) in zip(scores, bounds, strict=True):
        assert low <= score <= high + 1e-12


def test_codes_that_are_mixtures_are_less_modular_and_as_explicit():
    factors = np.random.default_rng(0).integers(0, 8, size=(SAMPLES, 2))
    turned = factors @ np.array([[1.0, 1.0], [-1.0, 1.0]])
    straight, mixed = (infomec(codes, factors, rng=_rng()) for codes in (factors, turned))
    assert straight.infom > 0.97
    assert mixed.infom < 0.1
    assert mixed.infoc < 0.1
    assert mixed.infoe == pytest.approx(straight.infoe, abs=0.05)


def test_the_seed_fixes_the_scores(factors):
    first, same = (infomec(factors, factors, rng=_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.normalised_information, same.normalised_information)
    other = infomec(factors, factors, rng=_rng(6))
    assert (first.normalised_information != other.normalised_information).any()


def test_a_code_is_active_from_a_twentieth_of_the_widest_one_s_range(factors):
    """The bound of the authors' program for continuous codes."""
    codes = np.column_stack([factors[:, 0], 0.051 * factors[:, 0], 0.049 * factors[:, 0]])
    assert infomec(codes, factors, rng=_rng()).active.tolist() == [True, True, False]


def test_inactive_codes_are_left_out_but_reported(factors):
    codes = np.column_stack([factors, 0.01 * factors[:, 0]])
    found = infomec(codes, factors, rng=_rng())
    assert found.active.tolist() == [True] * 3 + [False]
    assert found.infoc > 0.97
    assert found.normalised_information[3, 0] == pytest.approx(1, abs=0.02)
    everything = infomec(codes, factors, least_range=0, rng=_rng())
    assert everything.infoc < 0.9


def test_factors_of_a_single_value_are_left_out(factors):
    more = np.column_stack([factors[:, :2], np.full(SAMPLES, 3), factors[:, 2]])
    found, expected = infomec(factors, more, rng=_rng()), infomec(factors, factors, rng=_rng())
    assert np.isnan(found.normalised_information[:, 2]).all()
    scores = (found.infom, found.infoc, found.infoe)
    assert scores == pytest.approx((expected.infom, expected.infoc, expected.infoe))


def test_it_can_be_taken_locally():
    """The third factor has too few values to be drawn around a centre."""
    metrics = {"infom": lambda codes, factors: infomec(codes, factors, rng=_rng())}
    scores = local_scores(
        lambda factors: factors[:, [1, 0]], (40, 40, 3), 0.1, metrics, samples=400, centres=2
    )
    assert scores["infom"].mean > 0.9


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"neighbours": 0}, ValueError, "neighbours must be at least 1, got 0"),
        ({"neighbours": 2.5}, TypeError, "neighbours must be an integer"),
        ({"least_range": 1.0}, ValueError, "least_range must be at least 0 and below 1, got 1.0"),
        ({"codes": np.zeros((3, 2))}, ValueError, "one row for each sample, got 3 and 2000"),
    ],
)
def test_what_cannot_be_is_refused_by_name(factors, change, error, message):
    with pytest.raises(error, match=message):
        infomec(**{"codes": factors, "factors": factors} | change)


def test_one_factor_alone_is_refused(factors):
    with pytest.raises(ValueError, match="factors must have two columns that vary, got 1"):
        infomec(factors, factors[:, :1])
