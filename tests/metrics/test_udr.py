"""UDR: models whose axes are known, each side by hand, and what must not change it."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import Lasso

from axiswise.metrics import udr

SAMPLES = 1000
ALL = np.ones(3, dtype=bool)


@pytest.fixture(scope="module")
def codes():
    """Exactly uncorrelated, standardised, in no order."""
    drawn = np.random.default_rng(0).standard_normal((SAMPLES, 3))
    drawn -= drawn.mean(axis=0)
    return np.linalg.qr(drawn)[0] * np.sqrt(SAMPLES)


def _turned(codes, seed=1):
    return codes @ np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]


def test_models_with_the_same_axes_score_what_the_lasso_leaves(codes):
    """Uncorrelated and standardised, each weight shrinks from 1 to 1 − α: (1 − α)² / (1 − α)."""
    others = [codes, -5 * codes[:, [2, 0, 1]], codes[:, [1, 0, 2]] + 3]
    found = udr(others, [ALL] * 3)
    np.testing.assert_allclose(found.per_model, 0.9, atol=1e-6)
    assert float(found) == pytest.approx(0.9, abs=1e-6)
    np.testing.assert_allclose(udr(others, [ALL] * 3, alpha=0.25).per_model, 0.75, atol=1e-6)
    np.testing.assert_array_equal(np.isnan(found.pairs), np.eye(3, dtype=bool))


def test_pairs_by_hand_with_scikit_learn(codes):
    """Three axes against two: the mean over the one's axes and over the other's."""
    mixed = np.column_stack([codes[:, 0] + codes[:, 1] ** 2, codes[:, 2] - 0.5 * codes[:, 0]])
    standardised = (mixed - mixed.mean(axis=0)) / mixed.std(axis=0)
    weights = np.abs(Lasso(alpha=0.1).fit(codes, standardised).coef_)
    by_axis = [row.max() ** 2 / row.sum() for row in weights]
    by_column = [column.max() ** 2 / column.sum() if column.sum() else 0 for column in weights.T]
    expected = (np.mean(by_axis) + np.mean(by_column)) / 2
    found = udr([codes, mixed], [ALL, ALL[:2]])
    assert found.pairs[0, 1] == pytest.approx(expected, rel=1e-6)
    assert found.per_model[1] == found.pairs[0, 1]
    assert found.per_model[0] == found.pairs[1, 0]


def test_rank_correlations_are_those_of_scipy(codes):
    mixed = np.exp(_turned(codes))
    alike = np.abs(spearmanr(codes, mixed).statistic[:3, 3:])
    sides = [np.mean(m.max(axis=1) ** 2 / m.sum(axis=1)) for m in (alike, alike.T)]
    found = udr([codes, mixed], [ALL, ALL], "spearman")
    assert found.pairs[0, 1] == pytest.approx(np.mean(sides), rel=1e-9)
    assert found.pairs[1, 0] == pytest.approx(np.mean(sides), rel=1e-9)


def test_rank_correlation_does_not_see_monotone_changes(codes):
    other = _turned(codes)
    plain = udr([codes, other], [ALL, ALL], "spearman")
    bent = udr([codes**3, np.exp(other)], [ALL, ALL], "spearman")
    np.testing.assert_allclose(bent.pairs, plain.pairs, atol=1e-12)


def test_a_model_with_other_axes_scores_lowest(codes):
    models = [codes, codes[:, [1, 2, 0]], -codes, _turned(codes)]
    found = udr(models, [ALL] * 4)
    assert found.per_model.argmin() == 3
    assert found.per_model[3] < 0.6
    assert found.per_model[:3].min() > 0.89  # the median does not mind the one that differs


def test_a_model_s_score_is_the_median_of_its_pairs_as_the_one_explained(codes):
    models = [codes, _turned(codes, 1), _turned(codes, 2), _turned(codes, 3)]
    found = udr(models, [ALL] * 4)
    for model in range(4):
        assert found.per_model[model] == np.median(np.delete(found.pairs[:, model], model))


def test_only_informative_axes_count(codes):
    noise = np.random.default_rng(2).standard_normal((SAMPLES, 2))
    more = np.column_stack([codes, noise])
    by_mask = udr([more, -more], [np.array([True] * 3 + [False] * 2)] * 2)
    by_divergence = udr([more, -more], [np.array([3.0, 0.2, 0.011, 0.01, 0.0])] * 2)
    np.testing.assert_array_equal(by_mask.pairs, by_divergence.pairs)
    assert float(by_mask) == pytest.approx(0.9, abs=0.02)


def test_axes_that_are_not_informative_explain_nothing(codes):
    """Tiny, but straight where the informative ones are turned: the Lasso would take them."""
    more = np.column_stack([_turned(codes), 1e-3 * codes])
    divergences = [np.repeat([2.0, 1e-6], 3), np.full(3, 2.0)]
    expected = udr([_turned(codes), codes], [ALL, ALL])
    np.testing.assert_allclose(udr([more, codes], divergences).pairs, expected.pairs, atol=1e-9)
    assert 0.2 < expected.per_model[1] < 0.8


def test_a_collapsed_model_scores_zero(codes):
    found = udr([codes, codes, np.full((SAMPLES, 3), 0.3)], [ALL, ALL, np.zeros(3)])
    assert found.per_model[2] == 0
    assert found.pairs[0, 2] == found.pairs[2, 1] == 0
    constant = udr([codes, np.full((SAMPLES, 3), 0.3)], [ALL, ALL], "spearman")
    assert float(constant) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": [np.zeros((5, 3))]}, "codes must be those of at least two models, got 1"),
        ({"codes": [np.zeros((5, 3)), np.zeros((4, 3))]}, "the same images.*got 5, 4 rows"),
        ({"informative": [ALL]}, "informative must have one entry for each of 2 models, got 1"),
        ({"informative": [ALL, ALL[:2]]}, r"informative must have shape \(latent,\) = \(3,\)"),
        ({"similarity": "pearson"}, "similarity must be 'lasso' or 'spearman', got 'pearson'"),
        ({"alpha": 0.0}, "alpha must be above 0, got 0.0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(codes, change, message):
    given = {"codes": [codes, codes], "informative": [ALL, ALL]} | change
    with pytest.raises(ValueError, match=message):
        udr(**given)
