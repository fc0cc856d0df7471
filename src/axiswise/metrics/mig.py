"""The mutual information gap."""

from dataclasses import dataclass

import numpy as np

from axiswise.metrics._inputs import FloatArray, as_pair
from axiswise.metrics._parts import check_varies
from axiswise.metrics._score import Score
from axiswise.metrics.declaration import metric
from axiswise.metrics.mutual_information import factor_entropies, mutual_information
from axiswise.support.arrays import ArrayLike


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

    For each factor, the largest mutual information of a code less the second largest, over the
    factor's entropy; mean over factors that vary, from 0 to 1. With fewer bins than a factor has
    values, even ideal codes stay below 1. A single axis has a runner-up of 0, so that constant axes
    never change the score.

    Source: Chen et al., NeurIPS 2018, arXiv 1802.04942, section 4, as in disentanglement_lib: codes
    are discretised, where the paper integrates over the encoder's distribution.

    Args:
        codes: (samples, latent).
        factors: (samples, factor), integers.
        bins: See `discretize`; JL1-VAE's local scores use 5.

    Example:
        >>> import numpy as np
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> float(mig(codes=factors, factors=factors, bins=2))
        1.0
    """
    checked_codes, checked_factors = as_pair(codes, factors)
    varies = check_varies(checked_factors)
    information = mutual_information(checked_codes, checked_factors, bins)
    entropies = factor_entropies(checked_factors)
    ranked = np.sort(np.vstack([np.zeros_like(entropies), information]), axis=0)
    gaps = np.full_like(entropies, np.nan)
    np.divide(ranked[-1] - ranked[-2], entropies, out=gaps, where=varies)
    gaps = np.clip(gaps, 0.0, 1.0)
    return MIG(float(gaps[varies].mean()), gaps, information, entropies)
