"""Softmax regression to its optimum, by Newton's method.

scikit-learn's default solver stops after 100 iterations, often before the optimum, and takes
several times as long on many samples of few features and classes.
"""

import numpy as np

from axiswise.metrics._inputs import FloatArray, IntArray

_STEPS, _HALVINGS = 100, 30
_CLOSE = 1e-9  # how close to the least loss, for each sample
_LOOSE = 1e-9  # penalty on intercepts, for each sample: only their differences are determined


def fit_softmax(samples: FloatArray, labels: IntArray, classes: int, c: float) -> FloatArray:
    """Fits weights (class, feature + 1); the last one of each class is its intercept.

    They minimise c · Σ cross-entropy + ½ Σ weight², intercepts not penalised, as scikit-learn's
    LogisticRegression does.
    """
    weights = np.zeros((classes, samples.shape[1] + 1))
    centre = samples.mean(axis=0)
    centred = samples - centre
    # A tenth of the samples comes close at a tenth of the price.
    for count in (len(samples) // 10, len(samples)):
        if count > 0:
            weights = _descend(weights, centred[:count], labels[:count], 1 / c)
    weights[:, -1] -= weights[:, :-1] @ centre
    return weights


def predict_softmax(weights: FloatArray, samples: FloatArray) -> IntArray:
    """Returns the most likely class of each sample; the first of several equal ones."""
    likeliest: IntArray = (weights[:, :-1] @ samples.T + weights[:, -1:]).argmax(axis=0)
    return likeliest


def _descend(
    weights: FloatArray, samples: FloatArray, labels: IntArray, ridge: float
) -> FloatArray:
    """Takes Newton's steps, halved until they do not go up."""
    design = np.vstack([samples.T, np.ones(len(samples))])
    target = (labels == np.arange(len(weights))[:, None]).astype(np.float64)
    penalty = np.full_like(weights, ridge)
    penalty[:, -1] = _LOOSE * len(samples)
    first, second = np.triu_indices(len(design))
    products = design[first] * design[second]
    loss, probabilities = _loss(weights, design, target, penalty)
    for _ in range(_STEPS):
        gradient = (probabilities - target) @ design.T + penalty * weights
        hessian = _hessian(probabilities, products, len(design))
        hessian[np.diag_indices_from(hessian)] += penalty.ravel()
        step = np.linalg.solve(hessian, gradient.ravel()).reshape(weights.shape)
        if (gradient * step).sum() <= _CLOSE * len(samples):
            return weights - step
        for _ in range(_HALVINGS):
            lowered, probabilities = _loss(weights - step, design, target, penalty)
            if lowered <= loss:
                break
            step /= 2
        weights, loss = weights - step, lowered
    return weights


def _loss(
    weights: FloatArray, design: FloatArray, target: FloatArray, penalty: FloatArray
) -> tuple[float, FloatArray]:
    """Returns the loss, and the probability of each class for each sample (class, sample)."""
    logits = weights @ design
    logits -= logits.max(axis=0)
    probabilities = np.exp(logits)
    total = probabilities.sum(axis=0)
    probabilities /= total
    misses = np.log(total).sum() - np.vdot(target, logits)
    return float(misses + (penalty * weights**2).sum() / 2), probabilities


def _hessian(probabilities: FloatArray, products: FloatArray, size: int) -> FloatArray:
    """Returns the second derivatives; both sides are (class, feature), flattened.

    `products` are (pair of features, sample), the upper triangle of each sample's outer product.
    """
    classes = len(probabilities)
    one, other = np.triu_indices(classes)
    curvature = -probabilities[one] * probabilities[other]
    curvature[one == other] += probabilities
    blocks = np.empty((len(one), size, size))
    first, second = np.triu_indices(size)
    blocks[:, first, second] = blocks[:, second, first] = curvature @ products.T
    hessian = np.empty((classes, size, classes, size))
    hessian[one, :, other] = hessian[other, :, one] = blocks
    return hessian.reshape(classes * size, classes * size)
