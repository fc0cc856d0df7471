"""Explicitness: can a linear classifier read each factor's value from the codes?"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from axiswise.metrics._inputs import FloatArray, IntArray, as_pair, scaled
from axiswise.metrics._score import Score
from axiswise.metrics.declaration import metric
from axiswise.support.arrays import ArrayLike


@dataclass(frozen=True, eq=False)
class Explicitness(Score):
    """An explicitness; `float()` gives the score.

    Attributes:
        score: The mean of `auc` over factors that have one, from 0 to 1; 0.5 is chance.
        auc: (factor,), area under the ROC curve, mean over the factor's values; NaN if there is
            none.
    """

    auc: FloatArray


@metric("explicitness", usual="always")
def explicitness(codes: ArrayLike, factors: ArrayLike) -> Explicitness:
    """Measures how well linear classifiers read the factors' values from the codes.

    The first half of the samples trains, the second half tests. Codes are standardised by the
    training half; constant axes are left out. One logistic regression for each value of a factor
    against all others (liblinear, C = 1), probabilities normalised over the values; the areas under
    the ROC curves are averaged over values, then over factors. A value counts if some but not all
    samples of each half have it. A factor without such a value is left out. 0.5 where no axis
    varies.

    Source: Ridgeway & Mozer, NeurIPS 2018, arXiv 1802.05312, as in disentanglement_lib, which fails
    where a code is constant. scikit-learn warns where a classifier has not converged.

    Args:
        codes: (samples, latent), two samples or more.
        factors: (samples, factor), integers.

    Raises:
        ValueError: No factor has a value that counts.
    """
    checked_codes, checked_factors = as_pair(codes, factors)
    half = len(checked_codes) // 2
    if half == 0:
        raise ValueError("codes must have at least two rows, one for each half, got one")
    standardised = _standardise(scaled(checked_codes)[0], half)
    auc = np.array([_factor_auc(standardised, column, half) for column in checked_factors.T])
    scored = ~np.isnan(auc)
    if not scored.any():
        raise ValueError(
            "factors must have a value that some but not all samples of each half take, got none"
        )
    return Explicitness(float(auc[scored].mean()), auc)


def _standardise(codes: FloatArray, half: int) -> FloatArray:
    """Standardises axes by the first half; drops those that are constant there."""
    train = codes[:half]
    deviation = train.std(axis=0)
    # Both are needed: a constant's deviation need not round to 0, a tiny one can.
    varies = (train != train[:1]).any(axis=0) & (deviation > 0)
    standardised: FloatArray = (codes[:, varies] - train[:, varies].mean(0)) / deviation[varies]
    return standardised


def _factor_auc(codes: FloatArray, factor: IntArray, half: int) -> float:
    """Returns the area under the curve, mean over the values that can be scored, or NaN."""
    from sklearn.metrics import roc_auc_score

    values = [value for value in np.unique(factor[:half]) if _is_split(factor[:half] == value)]
    scored = [k for k, value in enumerate(values) if _is_split(factor[half:] == value)]
    if not scored:
        return np.nan
    probabilities = _probabilities(codes, factor, values, half)
    return float(
        np.mean([roc_auc_score(factor[half:] == values[k], probabilities[:, k]) for k in scored])
    )


def _is_split(has: npt.NDArray[np.bool_]) -> bool:
    return bool(has.any() and not has.all())


def _probabilities(
    codes: FloatArray, factor: IntArray, values: list[np.int64], half: int
) -> FloatArray:
    """Returns each value's probability (test samples, value) by one-vs-rest classifiers."""
    from sklearn.linear_model import LogisticRegression

    if codes.shape[1] == 0:  # nothing to learn from
        return np.full((len(codes) - half, len(values)), 1 / len(values))
    columns = []
    for value in values:
        classifier = LogisticRegression(C=1.0, solver="liblinear")
        classifier.fit(codes[:half], factor[:half] == value)
        columns.append(classifier.predict_proba(codes[half:])[:, 1])
    probabilities: FloatArray = np.stack(columns, axis=1)
    total = probabilities.sum(axis=1, keepdims=True)
    # All can round to 0 for a sample far from the training half: leave those as they are.
    np.divide(probabilities, total, out=probabilities, where=total > 0)
    return probabilities
