"""What scores that draw their own factors share: checked sizes, factors held still, codes."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from axiswise.metrics._inputs import ArrayLike, FloatArray, as_codes, as_count, as_real_codes

Encode: TypeAlias = Callable[[Tensor], ArrayLike]
Progress: TypeAlias = Callable[[int, int], object]

_AT_ONCE = 64  # points of a batch each: what stays in a processor's cache


def check_sizes(factor_sizes: Sequence[int]) -> list[int]:
    """Returns the number of values of each factor, or says what is wrong with them."""
    sizes = [as_count(size, "factor_sizes", 1) for size in factor_sizes]
    if not sizes:
        raise ValueError("factor_sizes must name at least one factor, got none")
    return sizes


def draw_fixed(sizes: Sequence[int], points: int, rng: torch.Generator | None) -> Tensor:
    """Draws which factor each point holds still, (point,), among those that vary."""
    varying = [index for index, size in enumerate(sizes) if size > 1]
    if len(varying) < 2:
        raise ValueError(
            f"factor_sizes must have two factors of more than one value, got {list(sizes)}"
        )
    device = torch.device("cpu") if rng is None else rng.device
    chosen = torch.randint(len(varying), (points,), generator=rng, device=device)
    return torch.tensor(varying, device=device)[chosen]


def encode_factors(
    encode: Encode, factors: Tensor, batch_size: int, progress: Progress | None = None
) -> FloatArray:
    """Returns the codes (row, latent) of factors (row, factor), encoded batch by batch."""
    parts = []
    done = 0
    with torch.no_grad():
        for batch in torch.split(factors, batch_size):
            parts.append(as_codes(encode(batch)))
            done += len(batch)
            if progress is not None:
                progress(done, len(factors))
    codes = np.concatenate(parts)
    if len(codes) != len(factors):
        raise ValueError(
            f"encode must give one row of codes for each of {len(factors)} rows of factors, "
            f"got {len(codes)}"
        )
    return codes


def as_codes_of(factors: Tensor, codes: ArrayLike) -> FloatArray:
    """Returns codes (row, latent), not yet known to be finite, of as many rows as the factors."""
    rows = as_real_codes(codes)
    if len(rows) != len(factors):
        raise ValueError(
            f"codes must have one row for each of {len(factors)} rows of factors, got {len(rows)}"
        )
    return rows


def batch_means(
    batches: FloatArray, value: Callable[..., FloatArray], *others: FloatArray
) -> FloatArray:
    """Returns the mean over rows (point, latent) of a value of batches (point, row, latent)."""
    points, rows, latents = batches.shape
    means = np.empty((points, latents))
    share = np.full(rows, 1 / rows)
    for start in range(0, points, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        # A product with shares sums over rows twice as fast as a sum.
        means[part] = share @ value(batches[part], *(other[part] for other in others))
    return means
