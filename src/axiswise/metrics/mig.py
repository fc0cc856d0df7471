"""The mutual information gap."""

from dataclasses import dataclass

import numpy as np

from axiswise.metrics._inputs import ArrayLike, FloatArray
from axiswise.metrics._score import Score
from axiswise.metrics.declaration import metric
from axiswise.metrics.mutual_information import factor_entropies, mutual_information


@dataclass(frozen=True, eq=False)
class MIG(Score):
    """A mutual information gap; `float()` gives the score.

    Attributes:
        score: The mean of `gaps` over factors that vary, from 0 to 1.
        gaps: (factor,), from 0 to 1; NaN for a factor with a single value.
        mutual_information: (latent, factor), nats.
        entropies: (factor,), nats.
    """

    gaps: FloatArray
    mutual_information: FloatArray
    entropies: FloatArray


@metric("mig", usual="always", usual_locally=True)
def mig(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> MIG:
    """Measures whether each factor is known from one code alone.

    For each factor, the mutual information of the code that knows most about it less that of the
    runner-up, over the factor's entropy; then the mean over factors. 1: each factor's value is
    known from one code, and from no second one. With fewer bins than a factor has values, even
    ideal codes stay below 1.

    Source: Chen et al., NeurIPS 2018, arXiv 1802.04942, section 4, as in disentanglement_lib: codes
    discretised (the paper integrates over the encoder's distribution instead). Factors of a single
    value have no gap and are left out. Where there is one axis only, its runner-up counts as
    knowing nothing, so that adding or removing axes that are constant never changes the score.

    Args:
        codes: (samples, latent), finite; to score some axes only, pass `codes[:, active]`.
        factors: (samples, factor), integers.
        bins: Equal-width bins for each code, at least 2; JL1-VAE's local scores use 5.

    Returns:
        The score with what it was made of.

    Raises:
        TypeError: `codes` are not real numbers, `factors` or `bins` not integers.
        ValueError: `codes` or `factors` are no matrices of as many samples, `codes` are not finite,
            `factors` hold fractions, every factor has a single value, or `bins` is below 2.

    Example:
        >>> import numpy as np
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> float(mig(codes=factors, factors=factors, bins=2))
        1.0
    """
    information = mutual_information(codes, factors, bins)
    entropies = factor_entropies(factors)
    varies = entropies > 0
    if not varies.any():
        raise ValueError("factors must have one factor that varies, got a single value for each")
    ranked = np.sort(np.vstack([np.zeros_like(entropies), information]), axis=0)
    gaps = np.full_like(entropies, np.nan)
    np.divide(ranked[-1] - ranked[-2], entropies, out=gaps, where=varies)
    gaps = np.clip(gaps, 0.0, 1.0)
    return MIG(float(gaps[varies].mean()), gaps, information, entropies)
