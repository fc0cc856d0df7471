"""The interventional robustness score: does a code stay the same while other factors change?"""

from dataclasses import dataclass

import numpy as np

from axiswise.metrics._inputs import FloatArray, IntArray, as_pair, scaled
from axiswise.metrics._parts import check_varies
from axiswise.metrics._score import Score
from axiswise.metrics.declaration import metric
from axiswise.support.arrays import ArrayLike


@dataclass(frozen=True, eq=False)
class IRS(Score):
    """An interventional robustness score; `float()` gives the score.

    Attributes:
        score: The mean of `per_code`, weighted by `deviations`, from 0 to 1.
        per_code: (latent,), the largest of the code's row of `robustness`; NaN for a constant code.
        robustness: (latent, factor), at most 1: how little the code changes while the factor is
            fixed. NaN for a constant code or a factor of a single value.
        deviations: (latent,), the largest distance of a code from its mean, in its own units.
    """

    per_code: FloatArray
    robustness: FloatArray
    deviations: FloatArray


@metric("irs")
def irs(codes: ArrayLike, factors: ArrayLike, *, quantile: float = 0.99) -> IRS:
    """Measures how little codes change while one factor is fixed and all others change.

    Among the samples with one value of a factor, the `quantile` of a code's distances from its mean
    there; mean over values; divided by the code's largest distance from its mean over all samples;
    subtracted from 1. A code scores by its best factor, and counts by its largest distance.
    Constant codes (if all are, the score is 0) and factors of a single value are left out. A
    duplicated code costs nothing. Take many samples of each value: a single one equals its own
    mean.

    Source: Suter et al., ICML 2019, arXiv 1811.00007, as in disentanglement_lib, but each value of
    a factor counts by itself, without bins.

    Args:
        codes: (samples, latent).
        factors: (samples, factor), integers.
        quantile: From 0 to 1.

    Example:
        >>> import numpy as np
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> float(irs(codes=factors, factors=factors))
        1.0
    """
    checked_codes, checked_factors = as_pair(codes, factors)
    checked_codes, exponents = scaled(checked_codes)
    checked_codes = np.ascontiguousarray(checked_codes)  # sums must not depend on the layout
    if not 0 <= quantile <= 1:
        raise ValueError(f"quantile must be from 0 to 1, got {quantile}")
    changes = check_varies(checked_factors)
    # A constant's distance from its mean need not round to 0.
    varies = (checked_codes != checked_codes[:1]).any(axis=0)
    own = np.abs(checked_codes - checked_codes.mean(axis=0)).max(axis=0) * varies
    deviations = np.ldexp(own, exponents)
    robustness = np.full((checked_codes.shape[1], checked_factors.shape[1]), np.nan)
    per_code = np.full(checked_codes.shape[1], np.nan)
    varies &= own > 0
    if not varies.any():
        return IRS(0.0, per_code, robustness, deviations)
    for index in np.flatnonzero(changes):
        reach = _reach(checked_codes[:, varies], checked_factors[:, index], quantile)
        robustness[varies, index] = 1.0 - reach / own[varies]
    per_code[varies] = robustness[np.ix_(varies, changes)].max(axis=1)
    weights = np.ldexp(own[varies], exponents[varies] - exponents[varies].max())
    score = float(np.average(per_code[varies], weights=weights))
    return IRS(min(max(score, 0.0), 1.0), per_code, robustness, deviations)


def _reach(codes: FloatArray, factor: IntArray, quantile: float) -> FloatArray:
    """Returns the distance of codes from their mean, (latent,), mean over the factor's values."""
    reaches = []
    for value in np.unique(factor):
        group = codes[factor == value]
        reaches.append(np.quantile(np.abs(group - group.mean(axis=0)), quantile, axis=0))
    mean: FloatArray = np.mean(reaches, axis=0)
    return mean
