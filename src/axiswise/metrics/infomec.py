"""InfoMEC: modularity, compactness and explicitness, each in terms of information."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from axiswise.metrics._inputs import ArrayLike, FloatArray, IntArray, as_count, as_pair
from axiswise.metrics.declaration import metric
from axiswise.metrics.mutual_information import factor_entropies

_NOISE = 1e-10  # breaks ties, in deviations of a code
_ITERATIONS = 100  # of the classifier, as published


@dataclass(frozen=True, eq=False)
class InfoMEC:
    """Three scores of information, each from 0 to 1; `float()` gives InfoM.

    Attributes:
        infom: Modularity: does each active code inform about one factor only?
        infoc: Compactness: is each factor known from one active code only?
        infoe: Explicitness: does a linear classifier learn each factor from all codes? It can be a
            little below 0 where codes know nothing and values are not equally frequent.
        normalised_information: (latent, factor), each code's mutual information with each factor
            over the factor's entropy; NaN for a factor with a single value. Those of inactive codes
            are there too.
        active: (latent,), boolean: the codes that InfoM and InfoC are about.
    """

    infom: float
    infoc: float
    infoe: float
    normalised_information: FloatArray
    active: npt.NDArray[np.bool_]

    def __float__(self) -> float:
        return self.infom


@metric(
    "infomec",
    needs=["two factors"],
    numbers={"infom": "infom", "infoc": "infoc", "infoe": "infoe"},
    chooses_axes=True,
)
def infomec(
    codes: ArrayLike,
    factors: ArrayLike,
    neighbours: int = 10,
    least_range: float = 1 / 20,
    rng: torch.Generator | None = None,
) -> InfoMEC:
    """Measures modularity, compactness and explicitness by the information that codes hold.

    From each code's mutual information with each factor, over the factor's entropy:
    InfoM is the mean over active codes of how large a share the largest has in the sum over
    factors, InfoC the mean over factors of the largest's share in the sum over active codes; both
    scaled so that 0 means shared out equally. InfoE is the mean over factors of
    1 − (cross-entropy of a logistic regression on all codes) / (the same on no codes): the
    predictive information of linear classifiers.

    Mutual information is estimated from the distances to nearest neighbours (Ross 2014,
    PLoS ONE 9(2) e87357), as scikit-learn's `mutual_info_classif` does: no bins, little bias. A
    code counts as active if its range is above a share of the widest code's. The classifier is
    scikit-learn's multinomial one without a penalty, values weighted by how rare they are, on
    standardised codes, stopped after 100 iterations, fitted and scored on the same samples: so
    codes that are a linear map of the factors, or one-hot, score close to 1.

    A code that informs about no factor adds 0 to InfoM, a factor that no code knows 0 to InfoC.
    With one active code InfoC is 1 if it informs about a factor. Where all codes are constant all
    three are 0. Factors of a single value are left out, also where the score is taken locally.

    Source: Hsu et al., NeurIPS 2023, arXiv 2305.18378, section 4, for continuous codes; number of
    neighbours, least range and classifier are those of the authors' program.

    Args:
        codes: (samples, latent), finite.
        factors: (samples, factor), integers, two or more of which vary.
        neighbours: Which neighbour's distance is taken, at least 1.
        least_range: Share of the widest code's range below or at which a code is not active, in
            [0, 1).
        rng: The source of the noise that breaks ties between equal values of a code, 1e-10 of its
            deviation; None is torch's global one.

    Returns:
        The three scores with what they were made of.

    Raises:
        TypeError: `codes` are not real numbers, `factors` or `neighbours` not integers.
        ValueError: `codes` or `factors` are no matrices of as many samples, `codes` are not finite,
            `factors` hold fractions or fewer than two that vary, `neighbours` is below 1, or
            `least_range` is out of range.

    Example:
        >>> import numpy as np
        >>> factors = np.random.default_rng(0).integers(0, 4, size=(1000, 2))
        >>> scores = infomec(codes=factors, factors=factors)
        >>> round(scores.infom, 1), round(scores.infoc, 1), scores.infoe > 0.9
        (1.0, 1.0, True)
    """
    checked_codes, checked_factors = as_pair(codes, factors)
    neighbours = as_count(neighbours, "neighbours", 1)
    if not 0 <= least_range < 1:
        raise ValueError(f"least_range must be at least 0 and below 1, got {least_range}")
    entropies = factor_entropies(checked_factors)
    varies = entropies > 0
    if varies.sum() < 2:
        raise ValueError(f"factors must have two columns that vary, got {varies.sum()}")
    ranges = np.ptp(checked_codes, axis=0)
    active = ranges > least_range * ranges.max()
    spread = _spread(checked_codes, rng)
    information = np.full((len(ranges), len(entropies)), np.nan)
    for j in np.flatnonzero(varies):
        values = np.unique(checked_factors[:, j], return_inverse=True)[1]
        row = [_neighbour_information(code, values, neighbours) for code in spread.T]
        information[:, j] = np.where(ranges > 0, row, 0.0) / entropies[j]
    known = information[np.ix_(active, varies)]
    return InfoMEC(
        infom=_largest_share(known),
        infoc=_largest_share(known.T),
        infoe=_explicitness(checked_codes, checked_factors[:, varies]),
        normalised_information=information,
        active=active,
    )


def _largest_share(known: FloatArray) -> float:
    """The largest entry's share in its row, 0 where all are alike and 1 where it is alone."""
    rows, columns = known.shape
    total = known.sum(axis=1)
    informs = total > 0
    if not informs.any():
        return 0.0
    share = np.zeros(rows)
    share[informs] = known[informs].max(axis=1) / total[informs]
    if columns > 1:
        share[informs] = (share[informs] - 1 / columns) / (1 - 1 / columns)
    return float(np.clip(share, 0.0, 1.0).mean())


def _spread(codes: FloatArray, rng: torch.Generator | None) -> FloatArray:
    """Returns the codes in units of their deviations, with no two values of a code equal."""
    device = "cpu" if rng is None else rng.device
    noise = torch.randn(codes.shape, generator=rng, device=device, dtype=torch.float64)
    deviations = codes.std(axis=0)
    scaled = codes / np.where(deviations > 0, deviations, 1.0)
    # As far above the codes' rounding as needed, however far they lie from 0.
    size = _NOISE * np.maximum(1.0, np.abs(scaled).mean(axis=0))
    spread: FloatArray = scaled + size * noise.cpu().numpy()
    return spread


def _neighbour_information(code: FloatArray, values: IntArray, neighbours: int) -> float:
    """Mutual information of a code and a factor's numbered values in nats, at least 0."""
    from scipy.special import digamma

    counts = np.bincount(values)
    kept = counts[values] > 1  # a value seen once has no neighbours
    if not kept.any():
        return 0.0
    code, values = code[kept], values[kept]
    everything = np.sort(code)
    terms = 0.0
    for value in np.unique(values):
        own = np.sort(code[values == value])
        k = min(neighbours, len(own) - 1)
        within = _count_within(everything, own, np.nextafter(_distances(own, k), 0))
        terms += len(own) * (digamma(k) - digamma(len(own))) - digamma(within).sum()
    return max(0.0, float(digamma(len(code)) + terms / len(code)))


def _distances(ordered: FloatArray, k: int) -> FloatArray:
    """The distance of each of the ordered values to its k-th nearest neighbour."""
    padded = np.concatenate([np.full(k, -np.inf), ordered, np.full(k, np.inf)])
    nearest = np.full(len(ordered), np.inf)
    for below in range(k + 1):  # so many of the k neighbours lie below
        lowest = padded[k - below : k - below + len(ordered)]
        highest = padded[2 * k - below : 2 * k - below + len(ordered)]
        np.minimum(nearest, np.maximum(ordered - lowest, highest - ordered), out=nearest)
    return nearest


def _count_within(everything: FloatArray, points: FloatArray, radius: FloatArray) -> IntArray:
    """How many of all ordered values lie within the radius around each point, itself included."""
    last = len(everything) - 1
    low = np.searchsorted(everything, points - radius, "left")
    high = np.searchsorted(everything, points + radius, "right") - 1
    # The sums above are rounded, differences of neighbours are not: they have the last word.
    low -= (low > 0) & (points - everything[np.maximum(low - 1, 0)] <= radius)
    low += points - everything[low] > radius
    high += (high < last) & (everything[np.minimum(high + 1, last)] - points <= radius)
    high -= everything[high] - points > radius
    return (high - low + 1).astype(np.int64)


def _explicitness(codes: FloatArray, factors: IntArray) -> float:
    """The mean over factors of the share of its entropy that a linear classifier takes away."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    varies = (codes != codes[:1]).any(axis=0) & (codes.std(axis=0) > 0)
    if not varies.any():
        return 0.0
    standardised = (codes[:, varies] - codes[:, varies].mean(axis=0)) / codes[:, varies].std(axis=0)
    shares = []
    for factor in factors.T:
        # No penalty. Classes that can be separated have no optimum: to stop is the protocol.
        classifier = LogisticRegression(C=np.inf, class_weight="balanced", max_iter=_ITERATIONS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            classifier.fit(standardised, factor)
        loss = log_loss(factor, classifier.predict_proba(standardised))
        # Without codes, balanced classes leave all values equally likely.
        shares.append(1 - float(loss) / math.log(len(classifier.classes_)))
    return float(np.mean(shares))
