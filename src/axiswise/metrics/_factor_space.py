"""What metrics with draws of their own share: drawing factors with one of them fixed, encoding."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypedDict

import numpy as np
import torch
from torch import Tensor

from axiswise.data.factors import uniform_factors
from axiswise.metrics._inputs import FloatArray, as_codes, as_real_codes
from axiswise.support.arrays import ArrayLike
from axiswise.support.checks import check_count
from axiswise.support.progress import Progress, no_progress

Encode: TypeAlias = Callable[[Tensor], ArrayLike]

_AT_ONCE = 64  # examples: what stays in a processor's cache


class Counts(TypedDict, total=False):
    """How many examples a metric draws: see `factor_vae_draws` and `beta_vae_draws`."""

    train: int
    test: int
    batch_size: int


@dataclass(frozen=True, eq=False)
class FactorDraws:
    """Factors whose codes a metric with draws of its own needs.

    Attributes:
        factors: (row, factor), int64: `variance_samples` rows, then a batch of rows for each
            example, training examples first; for the BetaVAE score then the second images of all
            pairs.
        fixed: (example,), int64: the factor that is the same in all rows, or in both of each pair.
        train: The number of training examples.
        variance_samples: The number of rows for the variances of codes.
    """

    factors: Tensor
    fixed: Tensor
    train: int
    variance_samples: int = 0


def draw_examples(
    factor_sizes: Sequence[int],
    counts: Counts,
    rng: torch.Generator | None,
    *,
    copies: int,
    least: int,
    variance_samples: int = 0,
) -> tuple[FactorDraws, Tensor, Tensor]:
    """Draws uniform factors, and which one each example fixes; the caller copies its values.

    Returns:
        The draws; a view of their batches, (copy, example, row, factor); and the index of the fixed
        factor, (example, row, 1), for `gather` and `scatter_`.
    """
    sizes = check_sizes(factor_sizes)
    train, test = (check_count(name, counts[name], 1) for name in ("train", "test"))
    batch_size = check_count("batch_size", counts["batch_size"], least)
    fixed = draw_fixed(sizes, train + test, rng)
    rows = copies * (train + test) * batch_size
    factors = uniform_factors(sizes, variance_samples + rows, rng)
    batches = factors[variance_samples:].view(copies, train + test, batch_size, len(sizes))
    index = fixed[:, None, None].expand(-1, batch_size, 1)
    return FactorDraws(factors, fixed, train, variance_samples), batches, index


def check_sizes(factor_sizes: Sequence[int]) -> list[int]:
    """Returns the number of values of each factor, checked."""
    sizes = [check_count("factor_sizes", size, 1) for size in factor_sizes]
    if not sizes:
        raise ValueError("factor_sizes must name at least one factor, got none")
    return sizes


def draw_fixed(sizes: Sequence[int], examples: int, rng: torch.Generator | None) -> Tensor:
    """Draws which factor each example fixes, (example,), among those that vary."""
    varying = [index for index, size in enumerate(sizes) if size > 1]
    if len(varying) < 2:
        raise ValueError(
            f"factor_sizes must have two factors of more than one value, got {list(sizes)}"
        )
    device = torch.device("cpu") if rng is None else rng.device
    chosen = torch.randint(len(varying), (examples,), generator=rng, device=device)
    return torch.tensor(varying, device=device)[chosen]


def encode_factors(
    encode: Encode, factors: Tensor, batch_size: int, progress: Progress = no_progress
) -> FloatArray:
    """Returns the codes (row, latent) of factors (row, factor), encoded batch by batch."""
    parts = []
    done = 0
    batch_size = check_count("batch_size", batch_size, 1)
    with torch.no_grad():
        for batch in torch.split(factors, batch_size):
            parts.append(as_codes(encode(batch)))
            done += len(batch)
            progress(done, len(factors))
    codes = np.concatenate(parts)
    if len(codes) != len(factors):
        raise ValueError(
            f"encode must give one row of codes for each of {len(factors)} rows of factors, "
            f"got {len(codes)}"
        )
    return codes


def codes_of(draws: FactorDraws, codes: ArrayLike) -> FloatArray:
    """Returns codes (row, latent), finite or not, one row for each row of factors."""
    rows = as_real_codes(codes)
    if len(rows) != len(draws.factors):
        raise ValueError(
            f"codes must have one row for each of {len(draws.factors)} rows of factors, "
            f"got {len(rows)}"
        )
    return rows


def batch_means(
    batches: FloatArray, value: Callable[..., FloatArray], *others: FloatArray
) -> FloatArray:
    """Returns the mean over rows, (example, latent), of a value of (example, row, latent)."""
    examples, rows, latents = batches.shape
    means = np.empty((examples, latents))
    share = np.full(rows, 1 / rows)
    for start in range(0, examples, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        # A product with shares sums over rows twice as fast as a sum.
        means[part] = share @ value(batches[part], *(other[part] for other in others))
    return means
