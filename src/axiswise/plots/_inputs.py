"""Checks that turn what a caller gives into arrays a picture can be drawn from."""

from collections.abc import Sequence, Sized
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from axiswise.support.arrays import as_numpy

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
ArrayLike: TypeAlias = npt.NDArray[Any] | torch.Tensor | Sequence[Any]

# Images that went through a sigmoid in low precision may leave [0, 1] by a rounding error.
_RANGE_TOLERANCE = 1e-3
_ROUNDING = 1e-6


def as_floats(value: ArrayLike, name: str, dims: Sequence[str], *, finite: bool = True) -> Floats:
    """`value` as a floating array with an axis for each of `dims`, not empty."""
    array = as_numpy(value, f"`{name}`")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"`{name}` must be real numbers, got type {array.dtype}")
    if array.ndim != len(dims) or array.size == 0:
        expected = f"({', '.join(dims)}{',' if len(dims) == 1 else ''})"
        raise ValueError(f"`{name}` must have shape {expected}, none empty, got {array.shape}")
    floats = array.astype(np.promote_types(array.dtype, np.float32))
    if finite and not np.isfinite(floats).all():
        count = int((~np.isfinite(floats)).sum())
        raise ValueError(f"`{name}` must be finite, got {count} values that are NaN or infinite")
    return floats


def as_images(value: ArrayLike, name: str, dims: Sequence[str]) -> Floats:
    """`value` as finite images in [0, 1] whose last axes are channel (1 or 3), height, width."""
    images = as_floats(value, name, dims)
    check_channels(images, name)
    low, high = float(images.min()), float(images.max())
    if low < -_RANGE_TOLERANCE or high > 1 + _RANGE_TOLERANCE:
        raise ValueError(f"`{name}` must lie in [0, 1], got values from {low:.4g} to {high:.4g}")
    return images.clip(0, 1)


def check_lengths(count: int, of: str, **given: Sized) -> None:
    """Refuse arguments that do not have one entry for each of `count` things."""
    for name, values in given.items():
        if len(values) != count:
            raise ValueError(
                f"`{name}` must have one entry for each of the {count} {of}, got {len(values)}"
            )


def shares(values: Floats, low: ArrayLike, high: ArrayLike) -> Floats:
    """Where values are on the way from `low`, 0, to `high`, 1; NaN where they are beyond."""
    low, high = np.asarray(low), np.asarray(high)
    found = (values - low) / np.where(high != low, high - low, np.nan)
    return np.where((found < -_ROUNDING) | (found > 1 + _ROUNDING), np.nan, found)


def as_cosines(value: ArrayLike, name: str, dim: str, *, finite: bool = True) -> Floats:
    """`value` as a square matrix in [0, 1]."""
    matrix = as_floats(value, name, [dim, dim], finite=finite)
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"`{name}` must be square, got shape {matrix.shape}")
    low, high = float(np.nanmin(matrix, initial=1)), float(np.nanmax(matrix, initial=0))
    if low < -_RANGE_TOLERANCE or high > 1 + _RANGE_TOLERANCE:
        raise ValueError(f"`{name}` must lie in [0, 1], got values from {low:.4g} to {high:.4g}")
    return matrix


def check_channels(images: Floats, name: str) -> None:
    """Refuse arrays (..., channel, height, width) without 1 or 3 channels."""
    if images.shape[-3] not in (1, 3):
        raise ValueError(f"`{name}` must have 1 or 3 channels, got shape {images.shape}")
