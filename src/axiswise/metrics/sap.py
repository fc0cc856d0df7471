"""The separated attribute predictability score: how much better is the best code than the next?"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from axiswise.metrics._inputs import FloatArray, IntArray, as_pair, scaled
from axiswise.metrics._parts import check_not_tiny, check_varies, train_rows
from axiswise.metrics._score import Score
from axiswise.metrics.declaration import metric
from axiswise.support.arrays import ArrayLike
from axiswise.support.progress import Progress, no_progress

# The scale of codes from which on the penalty on a slope has no weight. Far above it liblinear
# stops too early, or never: larger codes are scaled down to it.
_LARGE = 2.0**10


@dataclass(frozen=True, eq=False)
class SAP(Score):
    """A separated attribute predictability; `float()` gives the score.

    Attributes:
        score: The mean of `gaps` over factors that vary, from 0 to 1.
        gaps: (factor,), from 0 to 1; NaN for a factor that does not vary in the training part.
        predictability: (latent, factor), from 0 to 1: the accuracy on the test part, or R² on the
            training part; NaN where the gap is.
    """

    gaps: FloatArray
    predictability: FloatArray


@metric("sap")
def sap(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    continuous: bool | npt.ArrayLike = False,
    train_share: float = 2 / 3,
    c: float = 0.01,
    progress: Progress = no_progress,
) -> SAP:
    """Measures how much better the best code alone predicts a factor than the second best.

    The predictability of a discrete factor is the accuracy of a linear support vector classifier of
    one code, with balanced classes, on the test part; that of a continuous one is R² of a straight
    line on the training part. The score is the best less the second (0 for a single axis), mean
    over factors that vary in the training part. A linear classifier of one code cannot separate the
    middle one of many values, so ideal codes score 1 by R² only. The classifier depends on the
    codes' scale; R² does not.

    Source: Kumar et al., ICLR 2018, arXiv 1711.00848, section 3, as in disentanglement_lib, where
    all factors are discrete by default, with 10,000 samples to train and 5,000 to test.

    Args:
        codes: (samples, latent).
        factors: (samples, factor), integers.
        continuous: Whether factors are continuous: one for all, or (factor,).
        train_share: The share of the samples that train, above 0 and below 1.
        c: The inverse of the classifiers' penalty, above 0, as scikit-learn's C.

    Example:
        >>> import numpy as np
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0, 1], [1, 0]])
        >>> float(sap(codes=factors, factors=factors, continuous=True))
        1.0
    """
    checked_codes, checked_factors = as_pair(codes, factors)
    train = train_rows(len(checked_codes), train_share)
    if not c > 0:
        raise ValueError(f"c must be above 0, got {c}")
    straight = _as_mask(continuous, checked_factors.shape[1])
    varies = check_varies(checked_factors[:train], " in the training part")
    predictability = np.full((checked_codes.shape[1], checked_factors.shape[1]), np.nan)
    lines = varies & straight
    predictability[:, lines] = _r_squared(
        scaled(checked_codes[:train])[0], checked_factors[:train, lines]
    )
    discrete = np.flatnonzero(varies & ~straight)
    if len(discrete):
        checked_codes = _of_usual_size(checked_codes)
    for done, index in enumerate(discrete, start=int(lines.sum()) + 1):
        column = checked_factors[:, index]
        predictability[:, index] = [_accuracy(code, column, train, c) for code in checked_codes.T]
        progress(done, int(varies.sum()))
    ranked = np.sort(np.vstack([np.zeros(len(varies)), predictability]), axis=0)
    gaps = np.where(varies, ranked[-1] - ranked[-2], np.nan)
    return SAP(float(gaps[varies].mean()), gaps, predictability)


def _as_mask(continuous: bool | npt.ArrayLike, factors: int) -> npt.NDArray[np.bool_]:
    mask = np.asarray(continuous)
    if mask.dtype != np.bool_:
        raise TypeError(f"continuous must be boolean, got {mask.dtype}")
    if mask.shape not in ((), (factors,)):
        raise ValueError(
            f"continuous must be one value or one for each of {factors} factors, got {mask.shape}"
        )
    return np.broadcast_to(mask, (factors,))


def _r_squared(codes: FloatArray, factors: IntArray) -> FloatArray:
    """Returns the squared correlation (latent, factor), 0 for constant codes."""
    code, factor = _centred_columns(codes), _centred_columns(factors)
    shared = np.square(code @ factor.T)
    code_squares = np.einsum("ln,ln->l", code, code)
    factor_squares = np.einsum("fn,fn->f", factor, factor)
    known = np.zeros_like(shared)
    # Both are needed: what is left of a constant after its rounded mean is not 0.
    varies = (codes != codes[:1]).any(axis=0) & (code_squares > 0)
    known[varies] = shared[varies] / np.outer(code_squares[varies], factor_squares)
    capped: FloatArray = np.minimum(known, 1.0)
    return capped


def _centred_columns(matrix: FloatArray | IntArray) -> FloatArray:
    """Returns the columns, less their means, as rows: sums along memory are faster."""
    rows = np.ascontiguousarray(matrix.T, dtype=np.float64)
    centred: FloatArray = rows - rows.mean(axis=1, keepdims=True)
    return centred


def _of_usual_size(codes: FloatArray) -> FloatArray:
    """Returns codes that the classifiers can learn from."""
    check_not_tiny(codes)
    exponents = np.maximum(np.frexp(np.abs(codes).max(axis=0) / _LARGE)[1], 0)
    usual: FloatArray = np.ldexp(codes, -exponents) if exponents.any() else codes
    return usual


def _accuracy(code: FloatArray, factor: IntArray, train: int, c: float) -> float:
    """Returns the share of the test part that a linear classifier of one code gets right."""
    from sklearn.svm import LinearSVC

    # The primal problem has the same solution, and needs no randomness to get there.
    classifier = LinearSVC(C=c, class_weight="balanced", dual=False)
    classifier.fit(code[:train, None], factor[:train])
    return float(classifier.score(code[train:, None], factor[train:]))
