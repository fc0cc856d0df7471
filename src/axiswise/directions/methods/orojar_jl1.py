"""Directions by OroJaR and JL1 together: orthogonal in their effects, and sparse."""

import math

import torch
from torch import Tensor

from axiswise.directions.family import method
from axiswise.directions.jacobi import joint_diagonalization
from axiswise.directions.solving import Terms, known_jacobians, known_steps, learn, random_rotation
from axiswise.directions.space import SearchSpace
from axiswise.jacobian import JacobianOperator, gram
from axiswise.penalties import jl1_penalty, orojar_penalty
from axiswise.support.precision import power_scaled
from axiswise.support.progress import Progress


@method("orojar+jl1")
def orojar_jl1(
    space: SearchSpace,
    rng: torch.Generator,
    progress: Progress,
    *,
    weight: float = 0.1,
    samples: int = 200,
    steps: int = 1000,
    batch_size: int = 32,
    learning_rate: float = 0.01,
) -> Tensor:
    """Orthonormal directions by two costs that complete each other.

    OroJaR does not determine rotations among columns of equal length, but JL1 does; JL1 alone may
    split one visible change into two of fewer pixels. Each is divided by a value that no rotation
    changes: OroJaR by 2·(Σ_i ‖J_i‖²)², JL1 by its value for random directions.
    The start is OroJaR's solution by plane rotations.

    Args:
        weight: Of the relative JL1, ≥ 0; the relative OroJaR has weight 1.
        samples: Number of latents whose Jacobians are taken, once.
        steps: Number of steps.
        batch_size: Latents in each step.
        learning_rate: Adam's.

    Returns:
        (size, size), a direction in each row.

    Raises:
        ValueError: If a setting is out of range, or the Jacobians would fill the memory.
    """
    if not weight >= 0:
        raise ValueError(f"weight must be ≥ 0, got {weight}")
    known = known_jacobians(space, samples, rng, progress)
    known, _ = power_scaled(known, (0, 1, 2))  # the relative terms do not change
    grams = gram(known.double())
    energy = 2 * grams.diagonal(dim1=1, dim2=2).sum(1).square().mean().float()
    # Of a random direction a, E|J_p a| = ‖J_p‖ √(2/π size) for pixel p, up to terms in 1/size.
    usual = known.norm(dim=1).sum(1).mean() * math.sqrt(2 * space.size / math.pi)

    def terms(along: JacobianOperator) -> Terms:
        orojar, jl1 = (penalty(along, reduction=None) for penalty in (orojar_penalty, jl1_penalty))
        return {"orojar": orojar / energy, "jl1": weight * jl1 / usual}

    start = joint_diagonalization(grams, random_rotation(space.size, rng).to(grams), progress)
    step = known_steps(known, terms, batch_size=batch_size, rng=rng)
    return learn(start.to(known), step, steps=steps, learning_rate=learning_rate, progress=progress)
