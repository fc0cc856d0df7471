"""InfoMEC: modularity, compactness and explicitness, each in terms of information."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from axiswise.metrics._inputs import FloatArray, IntArray, as_pair, scaled
from axiswise.metrics.declaration import metric
from axiswise.metrics.mutual_information import factor_entropies
from axiswise.support.arrays import ArrayLike
from axiswise.support.checks import check_count

_NOISE = 1e-10  # breaks ties, in deviations of a code
_ITERATIONS = 100  # of the classifier, as published


@dataclass(frozen=True, eq=False)
class InfoMEC:
    """Three scores of information, each from 0 to 1; `float()` gives InfoM.

    Attributes:
        infom: Modularity: does each active code inform about one factor only?
        infoc: Compactness: is each factor known from one active code only?
        infoe: Explicitness: does a linear classifier learn each factor from all codes? It can be a
            little below 0 for codes without information.
        normalised_information: (latent, factor), mutual information over the factor's entropy, of
            all codes; NaN for a factor with a single value.
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
    """Measures modularity, compactness and explicitness by the information in the codes.

    From each code's mutual information with each factor, over the factor's entropy: InfoM is the
    mean over active codes of the largest's share in the sum over factors; InfoC is the mean over
    factors of the largest's share in the sum over active codes; both are scaled so that 0 means
    equal shares. InfoE is the mean over factors of 1 − (cross-entropy of a logistic regression on
    all codes) / (the same without codes). A code without information adds 0 to InfoM, a factor that
    no code knows adds 0 to InfoC. With one informative active code InfoC is 1. All three are 0
    where all codes are constant. Factors of a single value are left out.

    Mutual information is estimated from distances to nearest neighbours (Ross 2014, PLoS ONE 9(2)
    e87357), as by scikit-learn's `mutual_info_classif`. A code is active if its range is above a
    share of the widest code's. The classifier is scikit-learn's multinomial one, without a penalty,
    with balanced classes, on standardised codes, stopped after 100 iterations, scored on the
    samples that it learned from.

    Source: Hsu et al., NeurIPS 2023, arXiv 2305.18378, section 4, for continuous codes, with the
    settings of the authors' program.

    Args:
        codes: (samples, latent).
        factors: (samples, factor), integers, two or more of which vary.
        neighbours: Which neighbour's distance is taken, at least 1.
        least_range: Share of the widest code's range above which a code is active, in [0, 1).
        rng: Of the noise that breaks ties between values of a code, 1e-10 of its deviation.

    Example:
        >>> import numpy as np
        >>> factors = np.random.default_rng(0).integers(0, 4, size=(1000, 2))
        >>> scores = infomec(codes=factors, factors=factors)
        >>> round(scores.infom, 1), round(scores.infoc, 1), scores.infoe > 0.9
        (1.0, 1.0, True)
    """
    checked_codes, checked_factors = as_pair(codes, factors)
    neighbours = check_count("neighbours", neighbours, 1)
    if not 0 <= least_range < 1:
        raise ValueError(f"least_range must be at least 0 and below 1, got {least_range}")
    entropies = factor_entropies(checked_factors)
    varies = entropies > 0
    if varies.sum() < 2:
        raise ValueError(f"factors must have two columns that vary, got {varies.sum()}")
    checked_codes, exponents = scaled(checked_codes)
    ranges = np.ptp(checked_codes, axis=0)
    # In one unit for all codes.
    widths = np.ldexp(ranges, exponents - np.where(ranges > 0, exponents, exponents.min()).max())
    active = widths > least_range * widths.max()
    untied = _without_ties(checked_codes, rng)
    information = np.full((len(ranges), len(entropies)), np.nan)
    for j in np.flatnonzero(varies):
        values = np.unique(checked_factors[:, j], return_inverse=True)[1]
        row = [_neighbour_information(code, values, neighbours) for code in untied.T]
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
    """The largest entry's share in its row, scaled to 0 for equal shares, mean over rows."""
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


def _without_ties(codes: FloatArray, rng: torch.Generator | None) -> FloatArray:
    """Returns the codes in units of their deviations, with no two values of a code equal."""
    device = "cpu" if rng is None else rng.device
    noise = torch.randn(codes.shape, generator=rng, device=device, dtype=torch.float64)
    deviations = codes.std(axis=0)
    standard = codes / np.where(deviations > 0, deviations, 1.0)
    # As far above the codes' rounding as needed, however far they lie from 0.
    size = _NOISE * np.maximum(1.0, np.abs(standard).mean(axis=0))
    untied: FloatArray = standard + size * noise.cpu().numpy()
    return untied


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


def _count_within(everything: FloatArray, own: FloatArray, radius: FloatArray) -> IntArray:
    """How many of all ordered values lie within the radius around each of some, itself included."""
    last = len(everything) - 1
    low = np.searchsorted(everything, own - radius, "left")
    high = np.searchsorted(everything, own + radius, "right") - 1
    # The sums above are rounded, differences of neighbours are not.
    low -= (low > 0) & (own - everything[np.maximum(low - 1, 0)] <= radius)
    low += own - everything[low] > radius
    high += (high < last) & (everything[np.minimum(high + 1, last)] - own <= radius)
    high -= everything[high] - own > radius
    return (high - low + 1).astype(np.int64)


def _explicitness(codes: FloatArray, factors: IntArray) -> float:
    """The share of a factor's entropy that a linear classifier explains, mean over factors."""
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
