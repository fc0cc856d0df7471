"""How far found directions agree with true ones, or with those of another search."""

from dataclasses import dataclass

import torch
from torch import Tensor

from axiswise.directions.directions import Directions, unit_rows


@dataclass(frozen=True, eq=False)
class Matching:
    """The best assignment of found directions to true ones; `float()` of it is the mean score.

    Attributes:
        found: (pair,), which found direction.
        true: (pair,), which true direction it belongs to.
        scores: (pair,), |cos| between the two, from 0 to 1.
    """

    found: Tensor
    true: Tensor
    scores: Tensor

    @property
    def mean(self) -> float:
        """Mean |cos| over the pairs."""
        return float(self.scores.mean())

    def __float__(self) -> float:
        return self.mean


def match_directions(found: Directions | Tensor, true: Directions | Tensor) -> Matching:
    """Assign found directions to true ones, each to at most one, for the largest sum of |cos|.

    Args:
        found: Directions, or a matrix (direction, latent).
        true: Directions of the same latents, as many, more or fewer.

    Returns:
        The assignment, in the order of `true`, of as many pairs as the smaller of the two has rows.

    Raises:
        ValueError: If one is no matrix, has a row of zeros, or their latents differ.

    Example:
        >>> import torch, axiswise as aw
        >>> rotated = aw.match_directions(torch.eye(3)[[2, 0, 1]], torch.eye(3))
        >>> rotated.found.tolist(), rotated.mean
        ([1, 2, 0], 1.0)
    """
    from scipy.optimize import linear_sum_assignment

    first, second = _unit_rows("found", found), _unit_rows("true", true)
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"found and true must have the same latents, got {first.shape[1]} and {second.shape[1]}"
        )
    cosines = (second @ first.T).abs().clamp(max=1)
    rows, columns = linear_sum_assignment(cosines.numpy(), maximize=True)
    pairs = torch.as_tensor(columns), torch.as_tensor(rows)
    return Matching(*pairs, cosines[pairs[1], pairs[0]])


def _unit_rows(name: str, given: Directions | Tensor) -> Tensor:
    matrix = given.matrix if isinstance(given, Directions) else given
    if matrix.dim() != 2 or 0 in matrix.shape:
        raise ValueError(f"{name} must be (direction, latent), got {tuple(matrix.shape)}")
    matrix = matrix.detach().double().cpu()
    if not matrix.isfinite().all() or not matrix.any(1).all():
        raise ValueError(f"{name} must be finite, with no row of zeros")
    return unit_rows(matrix)
