"""Softmax regression by Newton's method against scikit-learn's, and where it is hard."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from axiswise.metrics._softmax import fit_softmax, predict_softmax


def drawn(points=600, classes=4, features=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, points)
    centres = rng.normal(size=(classes, features))
    return centres[labels] + rng.normal(size=(points, features)), labels


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_reaches_the_optimum_of_scikit_learn(classes, c, scale):
    points, labels = drawn(classes=classes)
    weights = fit_softmax(points * scale, labels, classes, c)
    reference = LogisticRegression(C=c, max_iter=100_000, tol=1e-10).fit(points * scale, labels)
    expected = reference.coef_
    if classes == 2:  # there one class has all the weight, which costs twice as much as shared
        assert weights[0, :-1] == pytest.approx(-weights[1, :-1], abs=1e-9)
        halved = LogisticRegression(C=2 * c, max_iter=100_000, tol=1e-10)
        expected = np.vstack([-1, 1]) * halved.fit(points * scale, labels).coef_ / 2
    np.testing.assert_allclose(weights[:, :-1], expected, rtol=1e-3, atol=1e-4 / scale)
    chances = reference.predict(points * scale) if classes > 2 else None
    if chances is not None:
        assert (predict_softmax(weights, points * scale) == chances).mean() > 0.995


def test_the_gradient_is_zero_at_what_it_returns():
    points, labels = drawn(points=97, classes=5, features=2)
    weights = fit_softmax(points, labels, 5, 3.0)
    logits = points @ weights[:, :-1].T + weights[:, -1]
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    misses = chances - np.eye(5)[labels]
    np.testing.assert_allclose(misses.T @ points + weights[:, :-1] / 3.0, 0.0, atol=1e-3)
    np.testing.assert_allclose(misses.sum(axis=0), 0.0, atol=1e-3)


def test_separable_classes_and_features_far_from_zero_are_told():
    labels = np.repeat([0, 1, 2], 50)
    for points in (np.eye(3)[labels], 1e4 * np.eye(3)[labels], np.eye(3)[labels] + 1e5):
        weights = fit_softmax(points, labels, 3, 1.0)
        assert np.isfinite(weights).all()
        assert (predict_softmax(weights, points) == labels).all()


def test_constant_features_leave_the_shares_of_the_classes():
    labels = np.repeat([0, 1, 2], [10, 20, 70])
    weights = fit_softmax(np.full((100, 2), 0.1), labels, 3, 1.0)
    chances = np.exp(weights @ [0.1, 0.1, 1.0])
    assert chances / chances.sum() == pytest.approx([0.1, 0.2, 0.7], abs=1e-4)
