"""Modularity: does each code inform about one factor only?"""

from dataclasses import dataclass

import numpy as np

from axiswise.metrics._inputs import FloatArray, as_pair
from axiswise.metrics._parts import check_varies
from axiswise.metrics._score import Score
from axiswise.metrics.declaration import metric
from axiswise.metrics.mutual_information import mutual_information
from axiswise.support.arrays import ArrayLike


@dataclass(frozen=True, eq=False)
class Modularity(Score):
    """A modularity; `float()` gives the score.

    Attributes:
        score: The mean of `per_code`, from 0 to 1.
        per_code: (latent,), from 0 to 1; 0 for a code that informs about no factor.
        mutual_information: (latent, factor), nats.
    """

    per_code: FloatArray
    mutual_information: FloatArray


@metric("modularity", usual="always", usual_locally=True, needs=["two factors"])
def modularity(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> Modularity:
    """Measures whether each code informs about one factor alone.

    With m_f a code's mutual information with factor f, and θ the largest of them, the code scores 1
    − Σ_{others} m_f² / (θ² (factors − 1)): 1 if it informs about one factor only, 0 if about all
    equally or about none. The mean is over all codes; all factors count, those of a single value
    too. Noise scores high, since what it seems to know is chance: score active axes apart,
    `modularity(codes[:, active], factors)`.

    Source: Ridgeway & Mozer, NeurIPS 2018, arXiv 1802.05312, as in disentanglement_lib; the paper
    gives no score for a code without information.

    Args:
        codes: (samples, latent).
        factors: (samples, factor), integers, two factors or more; one must vary.
        bins: See `discretize`; JL1-VAE's local scores use 5.

    Example:
        >>> import numpy as np
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> float(modularity(codes=factors, factors=factors, bins=2))
        1.0
    """
    checked_codes, checked_factors = as_pair(codes, factors)
    others = checked_factors.shape[1] - 1
    if others == 0:
        raise ValueError("factors must have at least two columns for modularity, got one")
    check_varies(checked_factors)
    information = mutual_information(checked_codes, checked_factors, bins)
    squared = np.square(information)
    largest = squared.max(axis=1)
    deviation = np.ones_like(largest)
    np.divide(squared.sum(axis=1) - largest, largest * others, out=deviation, where=largest > 0)
    per_code = np.clip(1.0 - deviation, 0.0, 1.0)
    return Modularity(float(per_code.mean()), per_code, information)
