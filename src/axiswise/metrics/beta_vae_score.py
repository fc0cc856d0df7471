"""The BetaVAE score: do mean differences of codes show which factor was the same?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
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
from axiswise.metrics._inputs import FloatArray
from axiswise.metrics._parts import check_not_tiny
from axiswise.metrics._score import Score
from axiswise.metrics._softmax import fit_softmax, predict_softmax
from axiswise.metrics.declaration import metric
from axiswise.support.arrays import ArrayLike
from axiswise.support.progress import Progress, no_progress


@dataclass(frozen=True, eq=False)
class BetaVAEScore(Score):
    """A BetaVAE score; `float()` gives the score.

    Attributes:
        score: The classifier's accuracy on the test examples, from 0 to 1.
        train_score: Its accuracy on the training examples.
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
        factor_sizes: Two or more above 1; a factor of a single value is never the fixed one.
        train: Examples that the classifier learns from.
        test: Examples that are scored.
        batch_size: Pairs of an example.

    Returns:
        The factors, on the device of `rng` (the CPU if None): 1,920,000 rows as published.
    """
    counts = Counts(train=train, test=test, batch_size=batch_size)
    draws, batches, index = draw_examples(factor_sizes, counts, rng, copies=2, least=1)
    first, second = batches
    second.scatter_(2, index, first.gather(2, index))
    return draws


@metric("beta_vae", draws=beta_vae_draws, needs=["two factors"])
def beta_vae_of_codes(codes: ArrayLike, draws: FactorDraws, *, c: float = 1.0) -> BetaVAEScore:
    """Computes `beta_vae_score` of codes (row, latent) of the rows that `beta_vae_draws` drew."""
    if not c > 0:
        raise ValueError(f"c must be above 0, got {c}")
    rows = codes_of(draws, codes)
    factors, fixed = np.unique(draws.fixed.cpu().numpy(), return_inverse=True)
    pairs = rows.reshape(2, len(fixed), -1, rows.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        differences = batch_means(pairs[0], _difference, pairs[1])
        squares = np.square(differences).sum()
    check_not_tiny(differences)
    if not np.isfinite(squares):
        raise ValueError("codes must be finite, with squares that do not overflow float64")
    train = slice(draws.train)
    weights = fit_softmax(differences[train], fixed[train], len(factors), c)
    right = predict_softmax(weights, differences) == fixed
    return BetaVAEScore(float(right[draws.train :].mean()), float(right[train].mean()))


def beta_vae_score(
    encode: Encode,
    factor_sizes: Sequence[int],
    *,
    c: float = 1.0,
    encode_at_once: int = 1_000,
    rng: torch.Generator | None = None,
    progress: Progress = no_progress,
    **counts: Unpack[Counts],
) -> BetaVAEScore:
    """Measures whether a linear classifier recognises which factor is the same in pairs of images.

    An example is a batch of pairs of random factors; one factor, chosen at random, is the same in
    both of each pair. A logistic regression learns which one from the mean over the pairs of
    |difference of the codes|; the score is its accuracy on test examples, from chance (one over the
    number of factors that vary) to 1. Rotated codes can score 1 too: the classifier is linear.

    Source: Higgins et al., ICLR 2017, appendix A.4, with the protocol of disentanglement_lib. Two
    differences: factors of a single value are never chosen here, and the classifier is trained to
    its optimum, so that accuracies differ in the third digit.

    Args:
        factor_sizes: Two or more above 1.
        c: The inverse of the classifier's penalty, above 0, as scikit-learn's C.
        encode_at_once: The most rows for `encode` at once.
        counts: `train`, `test` and `batch_size` of `beta_vae_draws`.

    Raises:
        ValueError: Squares of codes overflow float64, or the training examples fix one factor only.

    Example:
        >>> import torch
        >>> rng = torch.Generator().manual_seed(0)
        >>> float(beta_vae_score(lambda f: f.flip(1), (4, 8), train=500, test=100, rng=rng))
        1.0
    """
    draws = beta_vae_draws(factor_sizes, rng=rng, **counts)
    return beta_vae_of_codes(
        encode_factors(encode, draws.factors, encode_at_once, progress), draws, c=c
    )


def _difference(first: FloatArray, second: FloatArray) -> FloatArray:
    difference = first - second
    return np.abs(difference, out=difference)
