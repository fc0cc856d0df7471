"""What a caller gives, as a NumPy array, with nothing lost on the way."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

ArrayLike: TypeAlias = npt.ArrayLike | torch.Tensor


def as_numpy(values: ArrayLike, name: str) -> npt.NDArray[Any]:
    """Returns an array; a tensor comes from any device, with or without gradients.

    Raises:
        TypeError: It is a sparse tensor or matrix, or `values` have masked entries.
    """
    if isinstance(values, torch.Tensor):
        if values.layout != torch.strided:
            raise TypeError(f"{name} must be dense, got a tensor of layout {values.layout}")
        values = values.detach().cpu().resolve_conj().resolve_neg()
        # NumPy has no bfloat16.
        return np.asarray(values.float() if values.dtype == torch.bfloat16 else values)
    if _is_masked(values):
        raise TypeError(f"{name} must not be masked, got masked entries: leave them out")
    if hasattr(values, "toarray"):
        raise TypeError(f"{name} must be dense, got {type(values).__name__}")
    return np.asarray(values)


def _is_masked(values: object) -> bool:
    """Whether an array, or one in a list, has masked entries, which NumPy would forget."""
    if isinstance(values, list | tuple):
        return any(map(_is_masked, values)) if _holds_arrays(values) else False
    return isinstance(values, np.ma.MaskedArray) and bool(np.ma.getmaskarray(values).any())


def _holds_arrays(values: list[Any] | tuple[Any, ...]) -> bool:
    """Whether a list is worth going through: plain numbers have no mask."""
    return any(isinstance(value, np.ndarray | list | tuple) for value in values)
