"""DCI of the reference, of oracle codes, of importances in closed form, and of degenerate input."""

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import entropy, spearmanr
from sklearn.ensemble import GradientBoostingClassifier

from axiswise.metrics import (
    dci,
    importance_completeness,
    importance_disentanglement,
    local_scores,
)

REFERENCE = Path(__file__).parents[1] / "reference"
GRID = np.array(list(product(range(4), range(5), range(2))))  # all factors exactly independent
SHUFFLED = np.random.default_rng(0).permutation(np.tile(GRID, (6, 1)))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# From a given importance.


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("code", ["entangled", "partly", "perfect"])
def test_agrees_with_the_published_code(name, code):
    data = np.load(REFERENCE / f"metrics_{name}.npz")
    importance = data[f"{code}/dci_importance_first3_600"]
    assert importance_disentanglement(importance) == pytest.approx(
        data[f"{code}/dci_disentanglement_from_importance"].item(), abs=1e-12
    )
    assert importance_completeness(importance) == pytest.approx(
        data[f"{code}/dci_completeness_from_importance"].item(), abs=1e-12
    )


def test_shared_codes_score_by_their_entropies_and_shares():
    importance = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    halves, alone = 1 - math.log(2, 3), 1.0
    assert importance_disentanglement(importance) == pytest.approx((2 * halves + alone) / 3)
    assert importance_completeness(importance) == pytest.approx((2 * 0.5 + 1) / 3)


def test_equal_shares_and_no_importance_score_zero():
    for importance in (np.ones((4, 3)), np.zeros((4, 3))):
        assert importance_disentanglement(importance) == pytest.approx(0.0, abs=1e-12)
        assert importance_completeness(importance) == pytest.approx(0.0, abs=1e-12)


def test_one_factor_or_one_code_shares_with_none():
    assert importance_disentanglement([[0.3], [0.7]]) == 1.0
    assert importance_completeness([[0.3, 0.7]]) == 1.0


@pytest.mark.parametrize("score", [importance_disentanglement, importance_completeness])
def test_wrong_importances_are_errors(score):
    with pytest.raises(ValueError, match=r"importance must have shape \(latent, factor\)"):
        score([1.0, 2.0])
    with pytest.raises(ValueError, match="importance must be finite and at least 0"):
        score([[-1.0, 2.0]])
    with pytest.raises(ValueError, match="importance must be finite and at least 0"):
        score([[math.nan, 2.0]])
    with pytest.raises(TypeError, match="importance must be real numbers"):
        score([["much", "little"]])


# From codes.


def test_boosted_trees_are_those_of_the_published_protocol():
    """Two thirds train; importances, entropies and accuracies as published, with our seeds."""
    rng = np.random.default_rng(0)
    factors = rng.integers(0, [3, 4], (240, 2))
    codes = factors @ rng.normal(size=(2, 3)) + 0.5 * rng.normal(size=(240, 3))
    importance, test, train, seeds = np.zeros((3, 2)), [], [], seeded()
    for j, column in enumerate(factors.T):
        seed = int(torch.randint(2**31, (), generator=seeds))
        trees = GradientBoostingClassifier(random_state=seed).fit(codes[:160], column[:160])
        importance[:, j] = np.abs(trees.feature_importances_)
        train.append(np.mean(trees.predict(codes[:160]) == column[:160]))
        test.append(np.mean(trees.predict(codes[160:]) == column[160:]))
    per_code = 1 - entropy(importance.T + 1e-11, base=2)
    per_factor = 1 - entropy(importance + 1e-11, base=3)
    score = dci(codes, factors, rng=seeded())
    np.testing.assert_allclose(score.importance, importance, rtol=0, atol=1e-12)
    assert float(score) == score.disentanglement
    assert score.disentanglement == pytest.approx(per_code @ importance.sum(1) / 2, abs=1e-12)
    assert score.completeness == pytest.approx(per_factor @ importance.sum(0) / 2, abs=1e-12)
    assert score.informativeness == pytest.approx(np.mean(test))
    assert score.informativeness_train == pytest.approx(np.mean(train))
    assert np.mean(train) - np.mean(test) > 0.05


@pytest.mark.parametrize("model", ["boosted", "forest"])
@pytest.mark.parametrize("axes", [[0, 1, 2], [2, 0, 1]])
def test_identity_and_permuted_codes_score_one(model, axes):
    score = dci(SHUFFLED[:, axes] * [-3.0, 0.1, 1e3], SHUFFLED, model=model, rng=seeded())
    np.testing.assert_allclose(score.importance, np.eye(3)[axes], atol=0.02)
    assert score.disentanglement == pytest.approx(1.0, abs=0.05)
    assert score.completeness == pytest.approx(1.0, abs=0.05)
    assert score.informativeness == 1.0
    assert score.informativeness_train == 1.0


def test_duplicated_codes_are_disentangled_but_not_complete():
    """Each factor's importance is shared by two of six codes: at best 1 − log 2 / log 6."""
    score = dci(np.hstack([SHUFFLED, SHUFFLED]), SHUFFLED, rng=seeded())
    assert score.disentanglement == pytest.approx(1.0, abs=1e-6)
    assert 1 - math.log(2, 6) - 1e-9 < score.completeness < 0.9


@pytest.mark.parametrize("model", ["boosted", "forest"])
def test_constant_codes_score_zero_and_tell_the_commonest_value(model):
    factors = np.tile([[0], [1], [0]], (60, 1))
    score = dci(np.full((180, 2), 0.1), factors, model=model, rng=seeded())
    assert (score.disentanglement, score.completeness) == (0.0, 0.0)
    assert score.importance.tolist() == [[0.0], [0.0]]
    assert score.informativeness == pytest.approx(2 / 3)


def test_noise_scores_near_zero():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 3, (600, 3))
    score = dci(rng.normal(size=(600, 4)), factors, model="forest", rng=seeded())
    assert max(score.disentanglement, score.completeness) < 0.05
    assert score.informativeness == pytest.approx(1 / 3, abs=0.06)


def test_the_forest_ranks_codes_as_boosted_trees_do():
    """From axes of their own to random mixtures."""
    rng = np.random.default_rng(1)
    factors = rng.integers(0, 3, (240, 2))
    found = {"boosted": [], "forest": []}
    for share in np.linspace(0, 1, 6):
        mixing = (1 - share) * np.eye(2, 3) + share * rng.normal(size=(2, 3))
        codes = factors @ mixing + 0.2 * rng.normal(size=(240, 3))
        for model, scores in found.items():
            scores.append(float(dci(codes, factors, model=model, rng=seeded())))
    assert spearmanr(found["boosted"], found["forest"])[0] > 0.9


def test_a_factor_of_one_value_in_the_training_part_is_left_out():
    late = np.repeat([3, 4], [160, 80])
    with_late = dci(SHUFFLED, np.insert(SHUFFLED, 3, late, axis=1), model="forest", rng=seeded())
    without = dci(SHUFFLED, SHUFFLED, model="forest", rng=seeded())
    assert np.isnan(with_late.importance[:, 3]).all()
    assert float(with_late) == float(without)
    assert with_late.informativeness == without.informativeness


def test_the_seed_fixes_the_forest():
    codes = SHUFFLED + np.random.default_rng(0).normal(size=SHUFFLED.shape)
    first, again, other = (
        dci(codes, SHUFFLED, model="forest", rng=seeded(seed)).importance for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_progress_is_called_after_each_factor():
    calls = []
    dci(SHUFFLED, SHUFFLED, model="forest", progress=lambda *done: calls.append(done))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_can_be_taken_locally_where_factors_stand_still():
    scores = local_scores(
        lambda factors: factors.flip(1),
        (20, 20, 3),
        0.2,
        {"dci": lambda codes, factors: dci(codes, factors, model="forest")},
        samples=300,
        centres=2,
    )
    assert (scores["dci"].values > 0.9).all()


def test_wrong_arguments_are_errors():
    with pytest.raises(ValueError, match="model must be one of"):
        dci(GRID, GRID, model="fast")
    with pytest.raises(ValueError, match="train_share must leave samples"):
        dci(GRID[:2], GRID[:2], train_share=0.9)
    with pytest.raises(ValueError, match="factors must have one factor that varies in the train"):
        dci(GRID, np.ones_like(GRID))
