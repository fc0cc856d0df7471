"""The FactorVAE score: does the steadiest code show which factor was held still?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
import numpy.typing as npt
import torch

from axiswise.metrics._factor_space import (
    Encode,
    FactorDraws,
    Points,
    batch_means,
    codes_of,
    draw_points,
    encode_factors,
)
from axiswise.metrics._inputs import ArrayLike, FloatArray, IntArray, as_count
from axiswise.metrics._score import Score
from axiswise.metrics.declaration import metric
from axiswise.support.progress import Progress, no_progress


@dataclass(frozen=True, eq=False)
class FactorVAEScore(Score):
    """A FactorVAE score; `float()` gives the score.

    Attributes:
        score: The share of the test points whose factor is recognised, from 0 to 1.
        train_score: The same of the training points.
        votes: (latent, factor), how many training points that hold the factor still have this as
            their steadiest axis.
        active: (latent,), boolean: the axes that were looked at.
    """

    train_score: float
    votes: IntArray
    active: npt.NDArray[np.bool_]


def factor_vae_draws(
    factor_sizes: Sequence[int],
    *,
    train: int = 10_000,
    test: int = 5_000,
    batch_size: int = 64,
    variance_samples: int = 10_000,
    rng: torch.Generator | None = None,
) -> FactorDraws:
    """Draws all factors whose codes the FactorVAE score needs.

    Args:
        factor_sizes: (factor,), the number of values of each factor. Those of a single value are
            never the one that is held still; two must have more.
        train: Points that the votes are counted on.
        test: Points that are scored.
        batch_size: Rows of a point, 2 or more.
        variance_samples: Rows for the variances of the codes, 2 or more.
        rng: The source of randomness; None is torch's global one.

    Returns:
        The factors, on the device of `rng` (the CPU if None): 970,000 rows as published.

    Raises:
        TypeError: An argument but `rng` is not an integer.
        ValueError: One of them is too small, or fewer than two factors vary.
    """
    points = Points(train=train, test=test, batch_size=batch_size)
    extra = as_count(variance_samples, "variance_samples", 2)
    draws, (batches,), index = draw_points(
        factor_sizes, points, rng, copies=1, least=2, variance_samples=extra
    )
    batches.scatter_(2, index, batches[:, :1].gather(2, index[:, :1]).expand_as(index))
    return draws


@metric("factor_vae", draws=factor_vae_draws, needs=["two factors"])
def factor_vae_of_codes(
    codes: ArrayLike, draws: FactorDraws, *, threshold: float = 0.0
) -> FactorVAEScore:
    """Measures whether the code that varies least shows which factor was held still.

    `factor_vae_score` says how; this is for those who encode for several scores in one pass.

    Args:
        codes: (row, latent), finite, of the rows of `draws.factors`.
        draws: What `factor_vae_draws` drew.
        threshold: Axes whose standard deviation is below this are not looked at, at least 0.

    Returns:
        The score with what it was made of.

    Raises:
        TypeError: `codes` are not real numbers.
        ValueError: `codes` are not a matrix, not finite, so large that their variance overflows, or
            have another number of rows; or `threshold` is negative.
    """
    if not threshold >= 0:
        raise ValueError(f"threshold must be at least 0, got {threshold}")
    rows = codes_of(draws, codes)
    sample = rows[: draws.variance_samples]
    fixed = draws.fixed.cpu().numpy()
    batches = rows[draws.variance_samples :].reshape(len(fixed), -1, rows.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        overall = sample.var(axis=0, ddof=1)
        within = batch_means(batches, _squared_deviations)
    if not (np.isfinite(overall).all() and np.isfinite(within).all()):
        raise ValueError("codes must be finite, with variances that do not overflow float64")
    # Both are needed: a constant's variance need not round to 0, a tiny one can.
    active = (sample != sample[:1]).any(axis=0) & (overall > 0) & (np.sqrt(overall) >= threshold)
    votes = np.zeros((rows.shape[1], draws.factors.shape[1]), dtype=np.int64)
    if not active.any():
        return FactorVAEScore(0.0, 0.0, votes, active)
    steadiest = np.flatnonzero(active)[(within[:, active] / overall[active]).argmin(axis=1)]
    train = slice(draws.train)
    np.add.at(votes, (steadiest[train], fixed[train]), 1)
    right = votes.argmax(axis=1)[steadiest] == fixed
    test_score, train_score = float(right[draws.train :].mean()), float(right[train].mean())
    return FactorVAEScore(test_score, train_score, votes, active)


def factor_vae_score(
    encode: Encode,
    factor_sizes: Sequence[int],
    *,
    variance_samples: int = 10_000,
    threshold: float = 0.0,
    encode_at_once: int = 1_000,
    rng: torch.Generator | None = None,
    progress: Progress = no_progress,
    **points: Unpack[Points],
) -> FactorVAEScore:
    """Measures whether the code that varies least shows which factor was held still.

    A point is a batch of random factors, one of which, chosen at random, is the same in all. Its
    axis is the one of the least variance in the batch, over the variance of all. On the training
    points each axis votes for the factor that it stood for most often (of several alike, the
    first); the score is the share of the test points where the vote is right. 1: each factor has an
    axis of its own. Axes below `threshold` and constant ones are not looked at; if none is left,
    the score is 0. An axis too many does no harm if it only varies, whatever for: so duplicated
    codes and codes with noise beside them can score 1.

    Factors of a single value are never chosen, as nothing could show that they were held still;
    disentanglement_lib, which chooses them too, scores lower there by chance.

    To score a part of factor space, call it a space of its own: of each factor, the values that
    are left, the others' place added before encoding, as in the example.

    Source: Kim & Mnih, ICML 2018, arXiv 1802.05983, section 4, with the protocol of
    disentanglement_lib (Locatello et al., ICML 2019, arXiv 1811.12359).

    Args:
        encode: Takes factors (n, factor), int64, on the device of `rng`, and gives codes
            (n, latent), a tensor on any device or an array: render, then encode, with the mean and
            not a draw. Called without gradients.
        factor_sizes: (factor,), the number of values of each factor; two must have more than one.
        variance_samples: Rows for the variances of the codes, 2 or more.
        threshold: Axes whose standard deviation is below this are not looked at, at least 0.
        encode_at_once: The most rows given to `encode` at once.
        rng: The source of randomness; None is torch's global one.
        progress: Called after each call of `encode` with the number of rows done and their total.
        points: `train`, `test` and `batch_size` of `factor_vae_draws`.

    Returns:
        The score with what it was made of.

    Raises:
        TypeError: `factor_sizes` or a number of points or rows is not an integer, or codes are not
            real numbers.
        ValueError: One of them is too small, fewer than two factors vary, or `encode` gives codes
            that are not finite or of another number of rows.

    Example:
        >>> import torch
        >>> rng = torch.Generator().manual_seed(0)
        >>> sizes = (4, 8, 1)
        >>> float(factor_vae_score(lambda f: f.flip(1), sizes, train=500, test=100, rng=rng))
        1.0
        >>> low = torch.tensor([0, 4, 0])  # the upper half of the second factor alone
        >>> local = factor_vae_score(
        ...     lambda f: (f + low).flip(1), (4, 4, 1), train=500, test=100, rng=rng
        ... )
        >>> float(local)
        1.0
    """
    encode_at_once = as_count(encode_at_once, "encode_at_once", 1)
    draws = factor_vae_draws(factor_sizes, variance_samples=variance_samples, rng=rng, **points)
    return factor_vae_of_codes(
        encode_factors(encode, draws.factors, encode_at_once, progress), draws, threshold=threshold
    )


def _squared_deviations(batches: FloatArray) -> FloatArray:
    """Turns (batch, row, latent) into what has the unbiased variance for its mean over rows."""
    rows = batches.shape[1]
    deviations: FloatArray = batches - (np.full(rows, 1 / rows) @ batches)[:, None]
    deviations *= deviations
    deviations *= rows / (rows - 1)
    return deviations
