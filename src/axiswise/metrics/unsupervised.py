"""How much codes tell about each other, with no factors known."""

from dataclasses import dataclass

import numpy as np

from axiswise.metrics._inputs import ArrayLike, FloatArray, as_codes
from axiswise.metrics.mutual_information import discretize, mutual_information


@dataclass(frozen=True, eq=False)
class WassersteinCorrelation:
    """A Gaussian Wasserstein correlation; `float()` gives the score.

    Attributes:
        score: At least 0, in squared units of the codes.
        normalised: The score over the codes' total variance, from 0 to below 2; 0 where all codes
            are constant.
    """

    score: float
    normalised: float

    def __float__(self) -> float:
        return self.score


@dataclass(frozen=True, eq=False)
class MeanMutualInformation:
    """A mean mutual information between codes; `float()` gives the score.

    Attributes:
        score: The mean of `mutual_information` off its diagonal, nats, at least 0.
        mutual_information: (latent, latent), nats; the diagonal holds the entropies.
    """

    score: float
    mutual_information: FloatArray

    def __float__(self) -> float:
        return self.score


def total_correlation(codes: ArrayLike) -> float:
    """Measures how far codes are from independent, as if they were Gaussian.

    The total correlation of a Gaussian with the codes' covariance: −½ log det of the matrix of
    their correlations. It is 0 for codes that do not correlate, and infinite where one code is a
    linear function of others (its variance given them is below what float64 can tell). Constant
    codes are independent of all others and count for nothing.

    Source: the unsupervised scores of disentanglement_lib (Locatello et al., ICML 2019,
    arXiv 1811.12359), 10,000 samples.

    Args:
        codes: (samples, latent), finite, two samples or more; the means of an encoder.

    Returns:
        The total correlation in nats, at least 0.

    Raises:
        TypeError: `codes` are not real numbers.
        ValueError: `codes` have fewer than two rows or no columns, are not a matrix, or not finite.

    Example:
        >>> import numpy as np
        >>> total_correlation(np.array([[0, 0], [0, 1], [1, 0], [1, 1]]))
        0.0
    """
    covariance = _covariance(codes)
    deviations = np.sqrt(np.diag(covariance))
    varies = deviations > 0
    if varies.sum() < 2:
        return 0.0
    scale = deviations[varies]
    correlations = covariance[np.ix_(varies, varies)] / np.outer(scale, scale)
    eigenvalues = np.linalg.eigvalsh(correlations)
    if eigenvalues[0] <= len(scale) * np.finfo(np.float64).eps * eigenvalues[-1]:
        return float("inf")
    return max(0.0, -0.5 * float(np.log(eigenvalues).sum()))


def wasserstein_correlation(codes: ArrayLike) -> WassersteinCorrelation:
    """Measures how far codes are from independent, as the way that a Gaussian has to go.

    The squared 2-Wasserstein distance from a Gaussian with the codes' covariance Σ to the one with
    their variances D alone: 2 tr D − 2 tr (D^½ Σ D^½)^½. Unlike the total correlation it stays
    finite for duplicated codes. It has the units of the codes; `normalised` does not.

    Source: the unsupervised scores of disentanglement_lib (Locatello et al., ICML 2019,
    arXiv 1811.12359), 10,000 samples.

    Args:
        codes: (samples, latent), finite, two samples or more; the means of an encoder.

    Returns:
        The distance, and its share of the total variance.

    Raises:
        TypeError: `codes` are not real numbers.
        ValueError: `codes` have fewer than two rows or no columns, are not a matrix, or not finite.

    Example:
        >>> import numpy as np
        >>> float(wasserstein_correlation(np.array([[0, 0], [0, 1], [1, 0], [1, 1]])))
        0.0
    """
    covariance = _covariance(codes)
    deviations = np.sqrt(np.diag(covariance))
    total = float(np.trace(covariance))
    # Scaled on both sides, the matrix is symmetric: its root's trace is that of disentanglement_lib
    # without a root of a matrix that is not.
    eigenvalues = np.linalg.eigvalsh(covariance * np.outer(deviations, deviations))
    distance = max(0.0, 2 * total - 2 * float(np.sqrt(np.maximum(eigenvalues, 0.0)).sum()))
    return WassersteinCorrelation(distance, distance / total if total > 0 else 0.0)


def mean_mutual_information(codes: ArrayLike, bins: int = 20) -> MeanMutualInformation:
    """Measures the mutual information between discretised codes, mean over pairs.

    It also sees dependence that is not linear. The estimate is biased upwards where samples are few
    for bins² cells, so that independent codes score above 0. A single code has no pairs: 0.

    Source: the unsupervised scores of disentanglement_lib (Locatello et al., ICML 2019,
    arXiv 1811.12359), 10,000 samples, 20 bins.

    Args:
        codes: (samples, latent), finite; the means of an encoder.
        bins: Equal-width bins for each code (see `discretize`), at least 2.

    Returns:
        The score, and the information of each pair.

    Raises:
        TypeError: `codes` are not real numbers, or `bins` is not an integer.
        ValueError: `codes` are empty, not a matrix or not finite, or `bins` is below 2.

    Example:
        >>> import numpy as np
        >>> float(mean_mutual_information(np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), bins=2))
        0.0
    """
    information = mutual_information(codes, discretize(codes, bins), bins)
    pairs = information.size - len(information)
    others = information.sum() - np.trace(information)
    return MeanMutualInformation(float(others / pairs) if pairs else 0.0, information)


def _covariance(codes: ArrayLike) -> FloatArray:
    """Returns the covariance (latent, latent); that of a constant code is exactly 0."""
    checked = as_codes(codes)
    if len(checked) < 2:
        raise ValueError("codes must have at least two rows to have a covariance, got one")
    # What is left of a constant after its rounded mean would be taken for variance.
    centred = np.where((checked == checked[0]).all(axis=0), 0.0, checked - checked.mean(axis=0))
    covariance: FloatArray = centred.T @ centred / (len(checked) - 1)
    return covariance
