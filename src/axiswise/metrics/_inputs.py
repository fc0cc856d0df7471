"""What every metric does first: arrays or tensors in, checked NumPy arrays out."""

import operator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

ArrayLike: TypeAlias = npt.ArrayLike | torch.Tensor
FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]


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


def as_count(value: int, name: str, minimum: int) -> int:
    """Returns an integer argument that is at least `minimum`."""
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if count < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {count}")
    return count


def as_numpy(values: ArrayLike) -> npt.NDArray[np.generic]:
    """Returns an array; a tensor comes from any device, bfloat16 included."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.double() if values.is_floating_point() else values).numpy()
    return np.asarray(values)


def _as_matrix(values: ArrayLike, name: str, shape: str) -> npt.NDArray[np.generic]:
    array = as_numpy(values)
    if array.ndim != 2:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} must have at least one row and one column, got {array.shape}")
    return array
