"""What several scores of codes share."""

import numpy as np
import numpy.typing as npt

from axiswise.metrics._inputs import FloatArray, IntArray, as_codes, scaled
from axiswise.support.arrays import ArrayLike


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


def check_varies(factors: IntArray, where: str = "") -> npt.NDArray[np.bool_]:
    """Returns which factors vary, at least one."""
    varies: npt.NDArray[np.bool_] = (factors != factors[:1]).any(axis=0)
    if not varies.any():
        raise ValueError(
            f"factors must have one factor that varies{where}, got a single value for each"
        )
    return varies


def check_not_tiny(codes: FloatArray) -> None:
    """Refuse codes so small that a classifier's penalty leaves nothing of them."""
    largest = float(np.abs(codes).max())
    if 0 < largest < 1e-30:
        raise ValueError(
            "codes must be larger, as the penalty of this score's classifier depends on their "
            f"scale: got {largest:.2g} at most; standardise them"
        )


def check_samples(codes: ArrayLike) -> FloatArray:
    """Returns codes of two samples or more."""
    checked = as_codes(codes)
    if len(checked) < 2:
        raise ValueError("codes must have at least two rows, got one")
    return checked


def covariance(codes: ArrayLike) -> tuple[FloatArray, IntArray]:
    """Returns the covariance (latent, latent) of `scaled` codes, and their powers of two.

    That of a constant code is exactly 0.
    """
    checked, exponents = scaled(check_samples(codes))
    # What is left of a constant after its rounded mean would be taken for variance.
    centred = np.where((checked == checked[0]).all(axis=0), 0.0, checked - checked.mean(axis=0))
    matrix: FloatArray = centred.T @ centred / (len(checked) - 1)
    return matrix, exponents
