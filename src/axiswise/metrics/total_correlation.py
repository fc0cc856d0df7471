"""Total correlation: how far codes are from independent, with no factors known."""

import numpy as np

from axiswise.metrics._inputs import ArrayLike
from axiswise.metrics._parts import covariance
from axiswise.metrics.declaration import metric


@metric("total_correlation")
def total_correlation(codes: ArrayLike) -> float:
    """Measures how far codes are from independent, as if they were Gaussian.

    The total correlation of a Gaussian with the codes' covariance: −½ log det of the matrix of
    their correlations. It is 0 for codes that do not correlate, and infinite where one code is a
    linear function of others (its variance given them is too small for float64). Constant codes are
    independent of all others and count for nothing.

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
    matrix = covariance(codes)
    deviations = np.sqrt(np.diag(matrix))
    varies = deviations > 0
    if varies.sum() < 2:
        return 0.0
    scale = deviations[varies]
    correlations = matrix[np.ix_(varies, varies)] / np.outer(scale, scale)
    eigenvalues = np.linalg.eigvalsh(correlations)
    if eigenvalues[0] <= len(scale) * np.finfo(np.float64).eps * eigenvalues[-1]:
        return float("inf")
    return max(0.0, -0.5 * float(np.log(eigenvalues).sum()))
