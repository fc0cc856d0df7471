"""The FactorVAE score: does the code that varies least show which factor was fixed?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
import numpy.typing as npt
import torch

from axiswise.metrics._factor_space import (
    Counts,
    Encode,
    FactorDraws,
    batch_means,
    codes_of,
    draw_examples,
    encode_factors,
)
from axiswise.metrics._inputs import FloatArray, IntArray, scaled
from axiswise.metrics._score import Score
from axiswise.metrics.declaration import metric
from axiswise.support.arrays import ArrayLike
from axiswise.support.checks import check_count
from axiswise.support.progress import Progress, no_progress


@dataclass(frozen=True, eq=False)
class FactorVAEScore(Score):
    """A FactorVAE score; `float()` gives the score.

    Attributes:
        score: The share of the test examples whose factor is recognised, from 0 to 1.
        train_score: The share of the training examples.
        votes: (latent, factor), on how many training examples of this fixed factor this axis varies
            least.
        active: (latent,), boolean: the axes that take part.
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
        factor_sizes: Two or more above 1; a factor of a single value is never the fixed one.
        train: Examples that the votes are counted on.
        test: Examples that are scored.
        batch_size: Rows of an example, 2 or more.
        variance_samples: Rows for the variances of the codes, 2 or more.

    Returns:
        The factors, on the device of `rng` (the CPU if None): 970,000 rows as published.
    """
    counts = Counts(train=train, test=test, batch_size=batch_size)
    extra = check_count("variance_samples", variance_samples, 2)
    draws, (batches,), index = draw_examples(
        factor_sizes, counts, rng, copies=1, least=2, variance_samples=extra
    )
    batches.scatter_(2, index, batches[:, :1].gather(2, index[:, :1]).expand_as(index))
    return draws


@metric("factor_vae", draws=factor_vae_draws, needs=["two factors"])
def factor_vae_of_codes(
    codes: ArrayLike, draws: FactorDraws, *, threshold: float = 0.0
) -> FactorVAEScore:
    """Computes `factor_vae_score` of codes (row, latent) of the rows of `factor_vae_draws`."""
    if not threshold >= 0:
        raise ValueError(f"threshold must be at least 0, got {threshold}")
    rows = codes_of(draws, codes)
    rows, _ = scaled(rows, rows[: draws.variance_samples])
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
    least_varying = np.flatnonzero(active)[(within[:, active] / overall[active]).argmin(axis=1)]
    train = slice(draws.train)
    np.add.at(votes, (least_varying[train], fixed[train]), 1)
    right = votes.argmax(axis=1)[least_varying] == fixed
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
    **counts: Unpack[Counts],
) -> FactorVAEScore:
    """Measures whether the code that varies least shows which factor was fixed.

    An example is a batch of random factors, one of which, chosen at random, is the same in all. Its
    axis is the one of the least variance in the batch, over the variance of all. On the training
    examples each axis votes for the factor that was fixed most often (the first of several equal
    ones); the score is the share of the test examples where the vote is right, from 0 to 1; 0 if no
    axis takes part. More axes than factors do no harm: duplicated codes can score 1.

    To score a part of factor space, pass its sizes, and add its first values in `encode`.

    Source: Kim & Mnih, ICML 2018, arXiv 1802.05983, section 4, with the protocol of
    disentanglement_lib, except that factors of a single value are never chosen here.

    Args:
        factor_sizes: Two or more above 1.
        variance_samples: Rows for the variances of the codes, 2 or more.
        threshold: Axes of a lower standard deviation, and constant ones, take no part; at least 0.
        encode_at_once: The most rows for `encode` at once.
        counts: `train`, `test` and `batch_size` of `factor_vae_draws`.

    Raises:
        ValueError: Variances of codes overflow float64.

    Example:
        >>> import torch
        >>> rng = torch.Generator().manual_seed(0)
        >>> sizes = (4, 8, 1)
        >>> float(factor_vae_score(lambda f: f.flip(1), sizes, train=500, test=100, rng=rng))
        1.0
    """
    draws = factor_vae_draws(factor_sizes, variance_samples=variance_samples, rng=rng, **counts)
    return factor_vae_of_codes(
        encode_factors(encode, draws.factors, encode_at_once, progress), draws, threshold=threshold
    )


def _squared_deviations(batches: FloatArray) -> FloatArray:
    """Turns (batch, row, latent) into values whose mean over rows is the unbiased variance."""
    rows = batches.shape[1]
    deviations: FloatArray = batches - (np.full(rows, 1 / rows) @ batches)[:, None]
    deviations *= deviations
    deviations *= rows / (rows - 1)
    return deviations
