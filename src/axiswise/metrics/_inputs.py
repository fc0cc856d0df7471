"""What every metric does first: arrays or tensors in, checked NumPy arrays out."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from axiswise.support.arrays import ArrayLike, as_numpy

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]

# Codes whose largest magnitude is within these powers of two have squares, squares of squares and
# float32 copies that neither overflow nor vanish.
_ORDINARY = 60


def as_codes(codes: ArrayLike) -> FloatArray:
    """Returns codes (samples, latent) as finite float64."""
    checked = as_real_codes(codes)
    finite = np.isfinite(checked)
    if not finite.all():
        axes = np.flatnonzero(~finite.all(axis=0)).tolist()
        raise ValueError(f"codes must be finite, got NaN or infinity on axes {axes}")
    return checked


def as_real_codes(codes: ArrayLike) -> FloatArray:
    """Returns codes (samples, latent) as float64, finite or not."""
    given = _as_matrix(codes, "codes", "(samples, latent)")
    if given.dtype.kind not in "fiub":
        raise TypeError(f"codes must be real numbers, got {given.dtype}")
    return given.astype(np.float64, copy=False)


def as_factors(factors: ArrayLike) -> IntArray:
    """Returns factors (samples, factor) as int64; floating ones must be whole numbers."""
    array = _as_matrix(factors, "factors", "(samples, factor)")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"factors must be integers, got {array.dtype}")
    if array.dtype.kind == "f":
        array = array.astype(np.float64)
        if not ((array == np.floor(array)) & (np.abs(array) < 2.0**63)).all():
            raise ValueError("factors must be integers (ground-truth values), got others or NaN")
    if array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"factors must fit into int64, got {array.max()}")
    return array.astype(np.int64, copy=False)


def as_pair(codes: ArrayLike, factors: ArrayLike) -> tuple[FloatArray, IntArray]:
    """Returns codes and factors, checked, of the same samples."""
    checked = as_codes(codes), as_factors(factors)
    if len(checked[0]) != len(checked[1]):
        raise ValueError(
            "codes and factors must have one row for each sample, "
            f"got {len(checked[0])} and {len(checked[1])} rows"
        )
    return checked


def scaled(codes: FloatArray, sample: FloatArray | None = None) -> tuple[FloatArray, IntArray]:
    """Returns codes of an ordinary scale, and the power of two that each was divided by.

    For scores that do not depend on a code's scale: the bits of ordinary codes stay, and those of
    extreme ones but for their exponents. `sample`, if given, is the part whose scale is looked at.
    """
    largest = np.abs(codes if sample is None else sample).max(axis=0)
    exponents = np.frexp(largest)[1].astype(np.int64)
    extreme = np.isfinite(largest) & (np.abs(exponents) > _ORDINARY)
    if not extreme.any():
        return codes, np.zeros_like(exponents)
    exponents = np.where(extreme, exponents, 0)
    return np.ldexp(codes, -exponents), exponents


def _as_matrix(values: ArrayLike, name: str, shape: str) -> npt.NDArray[Any]:
    array = as_numpy(values, name)
    if array.ndim != 2:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} must have at least one row and one column, got {array.shape}")
    return array
