"""The BetaVAE score: do mean differences of codes show which factor was the same?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
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
from axiswise.metrics._inputs import ArrayLike, FloatArray, as_count
from axiswise.metrics._score import Score
from axiswise.metrics._softmax import fit_softmax, predict_softmax
from axiswise.metrics.declaration import metric
from axiswise.support.progress import Progress, no_progress


@dataclass(frozen=True, eq=False)
class BetaVAEScore(Score):
    """A BetaVAE score; `float()` gives the score.

    Attributes:
        score: The classifier's accuracy on the test points, from 0 to 1.
        train_score: Its accuracy on the training points.
    """

    train_score: float


def beta_vae_draws(
    factor_sizes: Sequence[int],
    *,
    train: int = 10_000,
    test: int = 5_000,
    batch_size: int = 64,
    rng: torch.Generator | None = None,
) -> FactorDraws:
    """Draws all factors whose codes the BetaVAE score needs.

    Args:
        factor_sizes: (factor,), the number of values of each factor. Those of a single value are
            never the one that is the same in a pair; two must have more.
        train: Points that the classifier learns from.
        test: Points that are scored.
        batch_size: Pairs of a point.
        rng: The source of randomness; None is torch's global one.

    Returns:
        The factors, on the device of `rng` (the CPU if None): 1,920,000 rows as published.

    Raises:
        TypeError: An argument but `rng` is not an integer.
        ValueError: One of them is too small, or fewer than two factors vary.
    """
    points = Points(train=train, test=test, batch_size=batch_size)
    draws, batches, index = draw_points(factor_sizes, points, rng, copies=2, least=1)
    first, second = batches
    second.scatter_(2, index, first.gather(2, index))
    return draws


@metric("beta_vae", draws=beta_vae_draws, needs=["two factors"])
def beta_vae_of_codes(codes: ArrayLike, draws: FactorDraws, *, c: float = 1.0) -> BetaVAEScore:
    """Measures whether a linear classifier recognises which factor was the same in pairs.

    `beta_vae_score` says how; this is for those who encode for several scores in one pass.

    Args:
        codes: (row, latent), finite, of the rows of `draws.factors`.
        draws: What `beta_vae_draws` drew.
        c: The inverse of the classifier's penalty, above 0, as scikit-learn's C.

    Returns:
        The score.

    Raises:
        TypeError: `codes` are not real numbers.
        ValueError: `codes` are not a matrix, not finite, or have another number of rows; `c` is not
            above 0; or the training points hold fewer than two factors.
    """
    if not c > 0:
        raise ValueError(f"c must be above 0, got {c}")
    rows = codes_of(draws, codes)
    factors, fixed = np.unique(draws.fixed.cpu().numpy(), return_inverse=True)
    pairs = rows.reshape(2, len(fixed), -1, rows.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        points = batch_means(pairs[0], _difference, pairs[1])
        squares = np.square(points).sum()
    if not np.isfinite(squares):
        raise ValueError("codes must be finite, with squares that do not overflow float64")
    train = slice(draws.train)
    weights = fit_softmax(points[train], fixed[train], len(factors), c)
    right = predict_softmax(weights, points) == fixed
    return BetaVAEScore(float(right[draws.train :].mean()), float(right[train].mean()))


def beta_vae_score(
    encode: Encode,
    factor_sizes: Sequence[int],
    *,
    c: float = 1.0,
    encode_at_once: int = 1_000,
    rng: torch.Generator | None = None,
    progress: Progress = no_progress,
    **points: Unpack[Points],
) -> BetaVAEScore:
    """Measures whether a linear classifier recognises which factor was the same in pairs.

    A point is a batch of pairs of random factors; in all of its pairs one factor, chosen at random,
    is the same in both. A logistic regression learns which, from the mean over the pairs of
    |difference of the codes|; the score is its accuracy on test points. 1: each factor has codes of
    its own. Chance is one over the number of factors that vary: codes that know nothing score that,
    not 0. Rotated codes can score 1 too: the score asks for a linear read-out, not for axes.

    Factors of a single value are never chosen, as nothing could show that they were the same;
    disentanglement_lib, which chooses them too, scores lower there by chance. The classifier is
    taken to its optimum, while scikit-learn's default, which is used there, stops after 100 steps:
    accuracies can differ in the third digit.

    Source: Higgins et al., ICLR 2017, appendix A.4, with the protocol of disentanglement_lib
    (Locatello et al., ICML 2019, arXiv 1811.12359).

    Args:
        encode: Takes factors (n, factor), int64, on the device of `rng`, and gives codes
            (n, latent), a tensor on any device or an array: render, then encode, with the mean and
            not a draw. Called without gradients.
        factor_sizes: (factor,), the number of values of each factor; two must have more than one.
        c: The inverse of the classifier's penalty, above 0, as scikit-learn's C.
        encode_at_once: The most rows given to `encode` at once.
        rng: The source of randomness; None is torch's global one.
        progress: Called after each call of `encode` with the number of rows done and their total.
        points: `train`, `test` and `batch_size` of `beta_vae_draws`.

    Returns:
        The score.

    Raises:
        TypeError: `factor_sizes` or a number of points or rows is not an integer, or codes are not
            real numbers.
        ValueError: One of them is too small, fewer than two factors vary, or `encode` gives codes
            that are not finite or of another number of rows.

    Example:
        >>> import torch
        >>> rng = torch.Generator().manual_seed(0)
        >>> float(beta_vae_score(lambda f: f.flip(1), (4, 8), train=500, test=100, rng=rng))
        1.0
    """
    encode_at_once = as_count(encode_at_once, "encode_at_once", 1)
    draws = beta_vae_draws(factor_sizes, rng=rng, **points)
    return beta_vae_of_codes(
        encode_factors(encode, draws.factors, encode_at_once, progress), draws, c=c
    )


def _difference(first: FloatArray, second: FloatArray) -> FloatArray:
    difference = first - second
    return np.abs(difference, out=difference)
