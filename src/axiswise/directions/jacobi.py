"""Joint diagonalisation of symmetric matrices by plane rotations (Cardoso & Souloumiac 1996)."""

import math

from torch import Tensor

from axiswise.support.precision import power_scaled
from axiswise.support.progress import Progress, no_progress

_SWEEPS = 100  # it takes five to ten
_ANGLE = 1e-7  # radians; below, a rotation changes nothing that counts


def joint_diagonalization(
    matrices: Tensor, start: Tensor, progress: Progress = no_progress
) -> Tensor:
    """The rotation that makes symmetric matrices as diagonal as possible, all at once.

    It minimises Σ_k Σ_{i≠j} (A M_k Aᵀ)_ij² over orthogonal A, one pair of rows after the other: the
    best angle of each is known in closed form (SIAM J. Matrix Anal. Appl. 17, 161).

    Args:
        matrices: (matrix, size, size), symmetric.
        start: Orthogonal, (size, size).
        progress: Called after each sweep over all pairs with sweeps done, their greatest number,
            and the share of the energy that is off the diagonals, from 0 to 1.

    Returns:
        A, (size, size), float64, on the CPU.
    """
    # On the CPU: a GPU would wait for each of these small steps.
    a = start.double().cpu().clone()
    # The matrices come last, so that a row of all of them is one piece of memory.
    wide, _ = power_scaled(matrices.double().cpu(), (0, 1, 2))  # fourth powers must be numbers too
    rotated = (a @ wide @ a.T).permute(1, 2, 0).contiguous()
    whole = rotated.square().sum()
    for sweep in range(1, _SWEEPS + 1):
        largest = 0.0
        for i in range(len(a)):
            for j in range(i + 1, len(a)):
                angle = _best_angle(rotated[i, i] - rotated[j, j], 2 * rotated[i, j])
                if abs(angle) > _ANGLE:
                    largest = max(largest, abs(angle))
                    for rows in (rotated, rotated.transpose(0, 1), a):
                        _rotate(rows, i, j, angle)
        off = 1 - float(rotated.diagonal().square().sum() / whole)
        progress(sweep, _SWEEPS, {"off_diagonal_energy": max(0.0, off)})
        if largest <= _ANGLE:
            break
    return a


def _best_angle(difference: Tensor, twice: Tensor) -> float:
    # The energy on the diagonals is a constant plus (on cos 4θ + off sin 4θ) / 4.
    on = float(difference @ difference - twice @ twice)
    off = 2 * float(difference @ twice)
    return math.atan2(off, on) / 4


def _rotate(rows: Tensor, i: int, j: int, angle: float) -> None:
    cosine, sine = math.cos(angle), math.sin(angle)
    first, second = rows[i].clone(), rows[j].clone()
    rows[i] = cosine * first + sine * second
    rows[j] = cosine * second - sine * first
