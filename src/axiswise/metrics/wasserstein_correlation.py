"""Wasserstein correlation: the dependence of codes; finite for duplicated ones."""

from dataclasses import dataclass

import numpy as np

from axiswise.metrics._parts import covariance
from axiswise.metrics._score import Score
from axiswise.metrics.declaration import metric
from axiswise.support.arrays import ArrayLike


@dataclass(frozen=True, eq=False)
class WassersteinCorrelation(Score):
    """A Gaussian Wasserstein correlation; `float()` gives the score.

    Attributes:
        score: At least 0, in squared units of the codes.
        normalised: The score over the codes' total variance, from 0 to below 2; 0 where all codes
            are constant.
    """

    normalised: float


@metric("wasserstein_correlation")
def wasserstein_correlation(codes: ArrayLike) -> WassersteinCorrelation:
    """Measures the distance of codes from independent ones, as if they were Gaussian.

    The squared 2-Wasserstein distance between Gaussians with the codes' covariance Σ and with their
    variances D alone: 2 tr D − 2 tr (D^½ Σ D^½)^½. Unlike the total correlation it is finite for
    duplicated codes.

    Source: the unsupervised scores of disentanglement_lib, with 10,000 samples.

    Args:
        codes: (samples, latent), two samples or more.

    Example:
        >>> import numpy as np
        >>> float(wasserstein_correlation(np.array([[0, 0], [0, 1], [1, 0], [1, 1]])))
        0.0
    """
    matrix, exponents = covariance(codes)
    largest = int(exponents.max())  # a unit for all: the score is in squared units of the codes
    matrix = np.ldexp(matrix, exponents[:, None] + exponents - 2 * largest)
    deviations = np.sqrt(np.diag(matrix))
    total = float(np.trace(matrix))
    # Scaled on both sides, the matrix is symmetric: its root's trace is that of disentanglement_lib
    # without a root of a matrix that is not.
    eigenvalues = np.linalg.eigvalsh(matrix * np.outer(deviations, deviations))
    distance = max(0.0, 2 * total - 2 * float(np.sqrt(np.maximum(eigenvalues, 0.0)).sum()))
    with np.errstate(over="ignore", under="ignore"):
        score = float(np.ldexp(distance, 2 * largest))
    if not np.isfinite(score) or (score == 0) != (distance == 0):
        raise ValueError(
            f"codes must have squares that float64 can represent, got codes of 2^{largest}"
        )
    return WassersteinCorrelation(score, distance / total if total > 0 else 0.0)
