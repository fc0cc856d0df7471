"""DCI: disentanglement, completeness and informativeness, by the importance of codes for trees."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from axiswise.metrics._inputs import FloatArray, as_pair, scaled
from axiswise.metrics._parts import check_varies, train_rows
from axiswise.metrics.declaration import metric
from axiswise.support.arrays import ArrayLike, as_numpy
from axiswise.support.progress import Progress, no_progress

_MODELS = ("boosted", "forest")


@dataclass(frozen=True, eq=False)
class DCI:
    """DCI's scores, all from 0 to 1; `float()` gives the disentanglement.

    Attributes:
        disentanglement: Whether each code matters for one factor only.
        completeness: Whether one code only matters for each factor.
        informativeness: The accuracy on the test part, mean over factors.
        informativeness_train: The accuracy on the training part.
        importance: (latent, factor), ≥ 0, columns of sum 1, or 0 where trees found nothing; NaN for
            a factor that does not vary in the training part.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    informativeness_train: float
    importance: FloatArray

    def __float__(self) -> float:
        return self.disentanglement


@metric(
    "dci",
    numbers={
        "dci_disentanglement": "disentanglement",
        "dci_completeness": "completeness",
        "dci_informativeness": "informativeness",
    },
    settings={"model": "dci"},
)
def dci(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    model: Literal["boosted", "forest"] = "boosted",
    train_share: float = 2 / 3,
    rng: torch.Generator | None = None,
    progress: Progress = no_progress,
) -> DCI:
    """Measures which codes matter for which factors, by trees that learn the factors.

    There is one classifier for each factor; the importance of a code is its share of the impurity
    that all splits removed. See `importance_disentanglement` and `importance_completeness`. Factors
    that do not vary in the training part are left out. If no code varies, disentanglement and
    completeness are 0.

    Source: Eastwood & Williams, ICLR 2018 (By-HAE7Z), as in disentanglement_lib, with 10,000
    samples to train and 5,000 to test. "boosted" are its trees, scikit-learn's gradient boosting:
    100 trees of depth 3 for each value of a factor, minutes for tens of values. "forest" is ours:
    ten trees that may split on any code, five samples to a leaf. It ranks codes almost as the
    published one, in a small part of the time.

    Args:
        codes: (samples, latent).
        factors: (samples, factor), integers.
        model: "boosted" or "forest".
        train_share: The share of the samples that train, above 0 and below 1.
        rng: For ties between codes and the samples of a forest.
    """
    checked_codes, checked_factors = as_pair(codes, factors)
    train = train_rows(len(checked_codes), train_share)
    if model not in _MODELS:
        raise ValueError(f"model must be one of {_MODELS}, got {model!r}")
    inputs = np.ascontiguousarray(scaled(checked_codes)[0], dtype=np.float32)  # as trees work in
    varies = check_varies(checked_factors[:train], " in the training part")
    importance = np.full((inputs.shape[1], checked_factors.shape[1]), np.nan)
    accuracy = []
    for index in np.flatnonzero(varies):
        column = checked_factors[:, index]
        trees = _trees(model, rng).fit(inputs[:train], column[:train])
        importance[:, index] = np.abs(trees.feature_importances_)  # rounded, they can be below 0
        right = trees.predict(inputs) == column
        accuracy.append((right[train:].mean(), right[:train].mean()))
        progress(len(accuracy), int(varies.sum()))
    test, training = np.mean(accuracy, axis=0)
    known = importance[:, varies]
    return DCI(
        importance_disentanglement(known),
        importance_completeness(known),
        float(test),
        float(training),
        importance,
    )


def importance_disentanglement(importance: ArrayLike) -> float:
    """Measures whether each code matters for one factor only.

    1 − the normalised entropy of a code's importance over factors, mean over codes, weighted by
    their importance. 0 if nothing matters, 1 for a single factor.

    Source: Eastwood & Williams, ICLR 2018 (By-HAE7Z), section 2; 1e-11 is added to each importance,
    as in disentanglement_lib.

    Args:
        importance: (latent, factor), finite, at least 0.

    Example:
        >>> round(importance_disentanglement([[1.0, 0.0], [0.0, 1.0]]), 6)
        1.0
    """
    return _concentration(_as_importance(importance))


def importance_completeness(importance: ArrayLike) -> float:
    """Measures whether one code only matters for each factor: the same, of the transposed matrix.

    Args:
        importance: (latent, factor), finite, at least 0.

    Example:
        >>> round(importance_completeness([[0.5, 0.0], [0.5, 0.0], [0.0, 1.0], [0.0, 0.0]]), 6)
        0.75
    """
    return _concentration(_as_importance(importance).T)


def _concentration(importance: FloatArray) -> float:
    """Returns how concentrated each row is, mean over rows, weighted by their sums."""
    total = importance.sum()
    if total == 0:
        return 0.0
    places = importance.shape[1]
    if places == 1:
        return 1.0
    shares = importance + 1e-11
    shares /= shares.sum(axis=1, keepdims=True)
    per_row = 1.0 + (shares * np.log(shares)).sum(axis=1) / np.log(places)
    score = float((per_row * importance.sum(axis=1)).sum() / total)
    return min(max(score, 0.0), 1.0)


def _as_importance(importance: ArrayLike) -> FloatArray:
    given = as_numpy(importance, "importance")
    if given.dtype.kind not in "fiub":
        raise TypeError(f"importance must be real numbers, got {given.dtype}")
    matrix = given.astype(np.float64)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"importance must have shape (latent, factor), got {matrix.shape}")
    if not (np.isfinite(matrix).all() and (matrix >= 0).all()):
        raise ValueError("importance must be finite and at least 0, got other values")
    return matrix


def _trees(model: str, rng: torch.Generator | None) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

    device = "cpu" if rng is None else rng.device
    seed = int(torch.randint(2**31, (), generator=rng, device=device))
    if model == "boosted":
        return GradientBoostingClassifier(random_state=seed)
    return RandomForestClassifier(10, max_features=None, min_samples_leaf=5, random_state=seed)
