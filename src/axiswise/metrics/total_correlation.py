"""Total correlation: how far codes are from independent, with no factors known."""

import numpy as np

from axiswise.metrics._parts import covariance
from axiswise.metrics.declaration import metric
from axiswise.support.arrays import ArrayLike


@metric("total_correlation")
def total_correlation(codes: ArrayLike) -> float:
    """Measures the dependence of codes, as if they were Gaussian.

    −½ log det of the matrix of their correlations, nats: 0 for codes that do not correlate,
    infinite where one code is a linear function of others. Constant codes count for nothing.

    Source: the unsupervised scores of disentanglement_lib, with 10,000 samples.

    Args:
        codes: (samples, latent), two samples or more.

    Example:
        >>> import numpy as np
        >>> total_correlation(np.array([[0, 0], [0, 1], [1, 0], [1, 1]]))
        0.0
    """
    matrix, _ = covariance(codes)
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
