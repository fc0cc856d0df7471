"""Local scores: what codes know about factors in a small part of factor space."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import SupportsFloat, TypeAlias

import numpy as np
import torch
from torch import Tensor

from axiswise.metrics._factor_space import Encode, check_sizes, encode_factors
from axiswise.metrics._inputs import FloatArray, IntArray
from axiswise.metrics._score import RepeatedScore
from axiswise.metrics.mig import mig
from axiswise.metrics.modularity import modularity
from axiswise.support.checks import check_count
from axiswise.support.progress import Progress, no_progress

Found: TypeAlias = SupportsFloat | Mapping[str, SupportsFloat]
Metric: TypeAlias = Callable[[FloatArray, IntArray], Found]


_PUBLISHED: Mapping[str, Metric] = {
    "mig": partial(mig, bins=5),
    "modularity": partial(modularity, bins=5),
}


@dataclass(frozen=True, eq=False)
class LocalScore(RepeatedScore):
    """A metric's values around several centres, (centre,), in order; `float()` gives their mean."""


def local_factors(
    factor_sizes: Sequence[int],
    radius: float,
    samples: int,
    centre: Tensor | Sequence[int],
    continuity_cutoff: int = 10,
    rng: torch.Generator | None = None,
    held: Sequence[int] = (),
) -> Tensor:
    """Draws factors around a centre.

    A factor with at least `continuity_cutoff` values is drawn uniformly from its values within
    ±floor(radius · values) of the centre that exist; all others, and those of `held`, stay at the
    centre.

    Source: Rhodes & Lee, NeurIPS 2021, arXiv 2106.02923.

    Args:
        factor_sizes: (factor,).
        radius: Share of a factor's number of values, at least 0; from 1 up, all values are within
            reach.
        samples: How many to draw, at least 1.
        centre: (factor,), integers, 0 ≤ centre < factor_sizes.
        continuity_cutoff: The least number of values of a factor that is drawn.
        held: Indices of factors that are not drawn however many values they have, because these
            have no order.

    Returns:
        The factors (samples, factor), int64, on the device of `rng` (the CPU if None).
    """
    sizes = check_sizes(factor_sizes)
    reaches = _reaches(sizes, radius, continuity_cutoff, held)
    samples = check_count("samples", samples, 1)
    middle = _check_centre(centre, sizes)
    ranges = [
        (max(0, value - reach), min(size - 1, value + reach))
        for value, size, reach in zip(middle, sizes, reaches, strict=True)
    ]
    return torch.stack([_uniform(low, high, samples, rng) for low, high in ranges], dim=1)


def varies_locally(
    factor_sizes: Sequence[int],
    radius: float,
    continuity_cutoff: int = 10,
    held: Sequence[int] = (),
) -> bool:
    """Whether `local_factors` would draw any factor from more than the centre's value."""
    return max(_reaches(check_sizes(factor_sizes), radius, continuity_cutoff, held)) > 0


def local_scores(
    encode: Encode,
    factor_sizes: Sequence[int],
    radius: float,
    metrics: Mapping[str, Metric] | None = None,
    *,
    samples: int = 10_000,
    centres: int = 20,
    continuity_cutoff: int = 10,
    batch_size: int = 1_000,
    held: Sequence[int] = (),
    rng: torch.Generator | None = None,
    progress: Progress = no_progress,
) -> dict[str, LocalScore]:
    """Scores codes within small parts of factor space, by several metrics in one pass of encoding.

    Centres are drawn uniformly from factor space before the first sample: the same seed gives the
    same centres at every radius. Around each, `local_factors` are drawn and encoded once, and all
    metrics score those codes. At radius 1 all values of factors with at least `continuity_cutoff`
    are drawn.

    Source: Rhodes & Lee, NeurIPS 2021, arXiv 2106.02923: 10,000 samples, 20 centres, 5 bins, radius
    0.1, 0.2, 0.3, 0.6 and 1.0.

    Args:
        factor_sizes: (factor,).
        radius: Share of a factor's number of values, above 0.
        metrics: By name, functions of codes (samples, latent), float64, and factors (samples,
            factor), int64, both NumPy, that return a number, or several by names of their own.
            None: MIG and modularity with 5 bins.
        samples: Samples around each centre.
        centres: The number of centres.
        continuity_cutoff: The least number of values of a factor that is drawn around the centre.
        batch_size: The most rows for `encode` at once.
        held: Indices of factors that stay at the centre however many values they have: the authors
            hold the model of Cars3D.

    Returns:
        For each metric, its value around each centre, with mean and standard deviation.

    Raises:
        ValueError: `radius` is so small that no factor varies, `metrics` is empty, or a metric's
            own.

    Example:
        >>> scores = local_scores(lambda factors: factors, (64, 64), 0.1, samples=500, centres=3)
        >>> sorted(scores), float(scores["modularity"]) > 0.95
        (['mig', 'modularity'], True)
    """
    sizes = check_sizes(factor_sizes)
    if not varies_locally(sizes, radius, continuity_cutoff, held):
        raise ValueError(
            f"radius {radius} varies no factor: factor_sizes {sizes}, of which those of at least "
            f"{continuity_cutoff} values (continuity_cutoff) vary by floor(radius · values), but "
            f"for held {list(held)}"
        )
    metrics = _PUBLISHED if metrics is None else metrics
    if not metrics:
        raise ValueError("metrics must name at least one metric, got none")
    centres = check_count("centres", centres, 1)
    middles = torch.stack([_uniform(0, size - 1, centres, rng) for size in sizes], dim=1)
    values: dict[str, list[float]] = {}
    for done, middle in enumerate(middles):
        factors = local_factors(sizes, radius, samples, middle, continuity_cutoff, rng, held)
        codes = encode_factors(encode, factors, batch_size)
        truth = factors.cpu().numpy()
        for name, metric in metrics.items():
            for own_name, value in _by_name(name, metric(codes, truth)):
                values.setdefault(own_name, []).append(float(value))
        progress(done + 1, centres)
    return {name: LocalScore(np.array(row)) for name, row in values.items()}


def _by_name(name: str, found: Found) -> Iterable[tuple[str, SupportsFloat]]:
    return found.items() if isinstance(found, Mapping) else [(name, found)]


def _uniform(low: int, high: int, samples: int, rng: torch.Generator | None) -> Tensor:
    """Draws integers from low to high, both included, on the device of `rng`."""
    device = "cpu" if rng is None else rng.device
    return torch.randint(low, high + 1, (samples,), generator=rng, device=device)


def _reaches(
    sizes: Sequence[int], radius: float, continuity_cutoff: int, held: Sequence[int]
) -> list[int]:
    """Returns the largest distance of each factor from the centre, in values."""
    if not (math.isfinite(radius) and radius >= 0):
        raise ValueError(f"radius must be finite and at least 0, got {radius}")
    if not set(held) <= set(range(len(sizes))):
        raise ValueError(
            f"held must be indices of factors in 0 ... {len(sizes) - 1}, got {list(held)}"
        )
    return [
        # The margin makes 0.29 · 100, which rounds to 28.999…, reach 29.
        math.floor(radius * size + 1e-9) if size >= continuity_cutoff and i not in held else 0
        for i, size in enumerate(sizes)
    ]


def _check_centre(centre: Tensor | Sequence[int], sizes: Sequence[int]) -> list[int]:
    values = centre.tolist() if isinstance(centre, Tensor) else list(centre)
    if len(values) != len(sizes):
        raise ValueError(
            f"centre must have one value for each of {len(sizes)} factors, got {values}"
        )
    values = [check_count("centre", value, 0) for value in values]
    if any(value >= size for value, size in zip(values, sizes, strict=True)):
        raise ValueError(f"centre must be below factor_sizes {list(sizes)}, got {values}")
    return values
