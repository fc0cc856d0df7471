"""Unsupervised disentanglement ranking: do models of one kind find the same axes?"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from axiswise.metrics._inputs import FloatArray, as_codes, scaled
from axiswise.support.arrays import ArrayLike, as_numpy
from axiswise.support.progress import Progress, no_progress

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class UDR:
    """An unsupervised disentanglement ranking; `float()` gives the mean over models.

    Attributes:
        per_model: (model,), from 0 to 1: the median of a model's pairs.
        pairs: (model, model), from 0 to 1: the similarity of the axes of two models; (i, j)
            explains the axes of j by those of i. NaN on the diagonal.
    """

    per_model: FloatArray
    pairs: FloatArray

    def __float__(self) -> float:
        return float(self.per_model.mean())


def udr(
    codes: Sequence[ArrayLike],
    informative: Sequence[ArrayLike],
    similarity: Literal["lasso", "spearman"] = "lasso",
    alpha: float = 0.1,
    *,
    progress: Progress = no_progress,
) -> UDR:
    """Measures how similar the axes of several models are, each model against all others.

    Disentangled models find the same axes, up to order and sign. Each informative axis of one model
    is compared with each of the other: by the absolute weights of a Lasso regression of the
    standardised codes, or by Spearman's rank correlation. An axis scores its largest similarity,
    squared, over the sum of its similarities: 1 for one equal axis, little for a mixture. A pair of
    models scores the mean over the axes of both; 0 if one of them has no informative axis. A model
    scores the median over its pairs (as the one explained).

    Source: Duan et al., ICLR 2020, arXiv 1905.12614, section 4 (UDR_L and UDR_S), as in
    disentanglement_lib: 1,000 images, α 0.1, axes of more than 0.01 nat.

    Args:
        codes: For each of two models or more, which differ in their seeds alone, the codes
            (samples, latent) of the same images in the same order.
        informative: For each model, (latent,): a boolean mask, or the KL divergence of each axis
            from the prior in nats, of which more than 0.01 is informative.
        similarity: "lasso" or "spearman".
        alpha: The weight of the Lasso's L1 norm, above 0.
        progress: Called with the number of models done, and of all.

    Example:
        >>> import numpy as np
        >>> codes = np.random.default_rng(0).standard_normal((1000, 3))
        >>> ranking = udr([codes, -codes[:, [2, 0, 1]]], [np.ones(3), np.ones(3)])
        >>> float(ranking) > 0.75
        True
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be above 0, got {alpha}")
    if similarity not in ("lasso", "spearman"):
        raise ValueError(f"similarity must be 'lasso' or 'spearman', got {similarity!r}")
    compare = partial(_lasso, alpha=alpha) if similarity == "lasso" else _spearman
    standardised = _standardised(codes)
    masks = _masks(informative, standardised)
    # Standardised, an axis that hardly varies explains as much as any: it must not take part.
    known = [given[:, mask] for given, mask in zip(standardised, masks, strict=True)]
    count = len(known)
    pairs = np.full((count, count), np.nan)
    for i in range(count):
        for j in range(count):
            if i != j:
                both = known[i].size and known[j].size
                pairs[i, j] = _strength(compare(known[i], known[j])) if both else 0.0
        progress(i + 1, count)
    return UDR(np.nanmedian(pairs, axis=0), pairs)


def _lasso(one: FloatArray, other: FloatArray, alpha: float) -> FloatArray:
    from sklearn.linear_model import Lasso

    weights = np.atleast_2d(Lasso(alpha=alpha).fit(one, other).coef_)
    similarities: FloatArray = np.abs(weights).T
    return similarities


def _spearman(one: FloatArray, other: FloatArray) -> FloatArray:
    from scipy.stats import rankdata

    ranks = [_scaled(rankdata(codes, axis=0)) for codes in (one, other)]
    similarities: FloatArray = np.abs(ranks[0].T @ ranks[1]) / len(one)
    return similarities


def _strength(similarities: FloatArray) -> float:
    """The mean score of axes, over both sides of the matrix of similarities."""
    sides = []
    for matrix in (similarities, similarities.T):
        total = matrix.sum(axis=1)
        strength = np.zeros(len(matrix))
        np.divide(np.square(matrix.max(axis=1)), total, out=strength, where=total > 0)
        sides.append(strength.mean())
    return float(np.mean(sides))


def _standardised(codes: Sequence[ArrayLike]) -> list[FloatArray]:
    if len(codes) < 2:
        raise ValueError(f"codes must be those of at least two models, got {len(codes)}")
    checked = [as_codes(given) for given in codes]
    samples = {len(given) for given in checked}
    if len(samples) > 1 or max(samples) < 2:
        raise ValueError(
            "codes must be of the same images for all models, two or more, "
            f"got {', '.join(str(len(given)) for given in checked)} rows"
        )
    return [_scaled(scaled(given)[0]) for given in checked]


def _scaled(values: FloatArray) -> FloatArray:
    """Columns of mean 0 and deviation 1; of zeros where they are constant."""
    deviations = np.where((values == values[0]).all(axis=0), 0.0, values.std(axis=0))
    centred = np.where(deviations > 0, values - values.mean(axis=0), 0.0)
    scaled: FloatArray = centred / np.where(deviations > 0, deviations, 1.0)
    return scaled


def _masks(informative: Sequence[ArrayLike], codes: Sequence[FloatArray]) -> list[Mask]:
    if len(informative) != len(codes):
        raise ValueError(
            f"informative must have one entry for each of {len(codes)} models, "
            f"got {len(informative)}"
        )
    masks = []
    for given, of_model in zip(informative, codes, strict=True):
        array = as_numpy(given, "informative")
        if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
            raise ValueError(
                "informative must be booleans or finite numbers of nats, "
                f"got {array.dtype if array.dtype.kind not in 'fiub' else 'NaN or infinity'}"
            )
        if array.shape != of_model.shape[1:]:
            raise ValueError(
                f"informative must have shape (latent,) = {of_model.shape[1:]}, got {array.shape}"
            )
        masks.append(
            np.asarray(
                array if array.dtype == np.bool_ else np.greater(array.astype(np.float64), 0.01),
                np.bool_,
            )
        )
    return masks
