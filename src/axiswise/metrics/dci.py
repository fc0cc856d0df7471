"""DCI: disentanglement, completeness and informativeness, by which codes trees look at."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from axiswise.metrics._inputs import ArrayLike, FloatArray, as_numpy, as_pair
from axiswise.metrics._parts import check_varies, train_rows
from axiswise.metrics.declaration import metric
from axiswise.support.progress import Progress, no_progress

_MODELS = ("boosted", "forest")


@dataclass(frozen=True, eq=False)
class DCI:
    """DCI's scores; `float()` gives the disentanglement.

    Attributes:
        disentanglement: Whether each code matters for one factor only, from 0 to 1.
        completeness: Whether one code alone matters for each factor, from 0 to 1.
        informativeness: The accuracy on the test part, mean over factors, from 0 to 1.
        informativeness_train: The same on the training part.
        importance: (latent, factor), at least 0, each column's sum 1, or 0 where the trees found
            nothing; NaN for a factor with a single value in the training part.
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

    One classifier for each factor; the importance of a code for it is its share of all the
    impurity that splits took away. See `importance_disentanglement` and `importance_completeness`.

    "boosted" are gradient-boosted trees as published: scikit-learn's, with its defaults: for each
    value of a factor 100 trees of depth 3, which takes minutes for factors of tens of values.
    "forest" is a random forest of ours: ten trees that may split on any code, with five samples to
    a leaf at least. It ranks codes almost as the published one does, in a small part of the time.

    The first samples train and the last ones test; so samples have to come in random order. Factors
    with a single value in the training part are left out. If no code varies, disentanglement and
    completeness are 0.

    Source: Eastwood & Williams, ICLR 2018 (By-HAE7Z), as in disentanglement_lib (Locatello et al.,
    ICML 2019, arXiv 1811.12359), which takes 10,000 samples to train and 5,000 to test.

    Args:
        codes: (samples, latent), finite.
        factors: (samples, factor), integers.
        model: "boosted", or "forest", the faster choice.
        train_share: The share of the samples that train, above 0 and below 1.
        rng: The source of randomness; None is torch's global one. Trees use it where codes tie, and
            forests to choose their samples.
        progress: Called after each factor with the number done and that of the factors that vary.

    Returns:
        The scores with the importance they were made of.

    Raises:
        TypeError: `codes` are not real numbers, or `factors` not integers.
        ValueError: `codes` or `factors` are no matrices of as many samples, `codes` are not finite
            or overflow float32, in which trees work, `factors` hold fractions, no factor varies in
            the training part, `model` is unknown, or `train_share` leaves a part with no samples.
    """
    checked_codes, checked_factors = as_pair(codes, factors)
    train = train_rows(len(checked_codes), train_share)
    if model not in _MODELS:
        raise ValueError(f"model must be one of {_MODELS}, got {model!r}")
    with np.errstate(over="ignore"):
        inputs = np.ascontiguousarray(checked_codes, dtype=np.float32)
    if not np.isfinite(inputs).all():
        raise ValueError("codes must not overflow float32, in which trees work")
    varies = check_varies(checked_factors[:train])
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

    A code scores 1 less the entropy, in units of that of equal shares, of its importance shared out
    among the factors; it counts by its share of all importance.

    Source: Eastwood & Williams, ICLR 2018 (By-HAE7Z), section 2, as in disentanglement_lib, with
    the 1e-11 that is added there to each importance. Where there is one factor only, its code
    matters for no other: 1 (undefined there).

    Args:
        importance: (latent, factor), finite, at least 0.

    Returns:
        The disentanglement, from 0 to 1; 0 if nothing matters.

    Raises:
        TypeError: `importance` is not real numbers.
        ValueError: `importance` is not a matrix, empty, negative or not finite.

    Example:
        >>> round(importance_disentanglement([[1.0, 0.0], [0.0, 1.0]]), 6)
        1.0
    """
    return _concentration(_as_importance(importance))


def importance_completeness(importance: ArrayLike) -> float:
    """Measures whether one code alone matters for each factor.

    A factor scores 1 less the entropy, in units of that of equal shares, of its importance shared
    out among the codes; it counts by its share of all importance.

    Source: Eastwood & Williams, ICLR 2018 (By-HAE7Z), section 2, as in disentanglement_lib, with
    the 1e-11 that is added there to each importance. Where there is one code only, no other
    matters: 1 (undefined there).

    Args:
        importance: (latent, factor), finite, at least 0.

    Returns:
        The completeness, from 0 to 1; 0 if nothing matters.

    Raises:
        TypeError: `importance` is not real numbers.
        ValueError: `importance` is not a matrix, empty, negative or not finite.

    Example:
        >>> round(importance_completeness([[0.5, 0.0], [0.5, 0.0], [0.0, 1.0], [0.0, 0.0]]), 6)
        0.75
    """
    return _concentration(_as_importance(importance).T)


def _concentration(importance: FloatArray) -> float:
    """Returns how much of each row lies in one place, mean over rows, weighted by their sums."""
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
    given: npt.NDArray[Any] = as_numpy(importance)
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
