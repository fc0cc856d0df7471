"""What several scores of codes share."""

import numpy as np
import numpy.typing as npt

from axiswise.metrics._inputs import ArrayLike, FloatArray, IntArray, as_codes


def train_rows(samples: int, train_share: float) -> int:
    """Returns how many of the samples, the first ones, train; both parts have some."""
    if not 0 < train_share < 1:
        raise ValueError(f"train_share must be above 0 and below 1, got {train_share}")
    train = round(samples * train_share)
    if not 0 < train < samples:
        raise ValueError(
            f"train_share must leave samples to train and to test, got {train_share} of {samples}"
        )
    return train


def check_varies(factors: IntArray) -> npt.NDArray[np.bool_]:
    """Returns which factors vary in the training part, at least one."""
    varies: npt.NDArray[np.bool_] = (factors != factors[:1]).any(axis=0)
    if not varies.any():
        raise ValueError(
            "factors must have one factor that varies in the training part, got a single value for "
            "each"
        )
    return varies


def covariance(codes: ArrayLike) -> FloatArray:
    """Returns the covariance (latent, latent); that of a constant code is exactly 0."""
    checked = as_codes(codes)
    if len(checked) < 2:
        raise ValueError("codes must have at least two rows to have a covariance, got one")
    # What is left of a constant after its rounded mean would be taken for variance.
    centred = np.where((checked == checked[0]).all(axis=0), 0.0, checked - checked.mean(axis=0))
    matrix: FloatArray = centred.T @ centred / (len(checked) - 1)
    return matrix
