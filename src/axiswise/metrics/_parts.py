"""What scores that train on a part of the samples share."""

import numpy as np
import numpy.typing as npt

from axiswise.metrics._inputs import IntArray


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
