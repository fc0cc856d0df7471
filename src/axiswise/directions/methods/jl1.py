"""Directions by an L1 cost on the Jacobian (after Rhodes & Lee 2021, arXiv 2106.02923)."""

import torch
from torch import Tensor

from axiswise.directions.family import method
from axiswise.directions.solving import (
    Terms,
    check_count,
    drawn_directions,
    fresh_steps,
    known_jacobians,
    known_steps,
    learn,
    random_rotation,
)
from axiswise.directions.space import SearchSpace
from axiswise.jacobian import JacobianOperator
from axiswise.penalties import jl1_penalty
from axiswise.support.progress import Progress


@method("jl1")
def jl1(
    space: SearchSpace,
    rng: torch.Generator,
    progress: Progress,
    *,
    samples: int = 200,
    steps: int = 1000,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    columns: int | None = None,
) -> Tensor:
    """Orthonormal directions that each change few pixels.

    It minimises the mean over latents of Σ_i ‖J_i‖₁, J the Jacobian of w ↦ G(z + wA) at w = 0. The
    paper has this cost in training a VAE; here it rotates the axes of a trained generator. Unlike
    OroJaR, it can determine rotations among columns of equal length.

    Args:
        samples: Number of latents whose Jacobians are taken, once; unused with `columns`.
        steps: Number of steps.
        batch_size: Latents in each step.
        learning_rate: Adam's.
        columns: Number of random directions that a step takes the cost of at each of its own
            latents: an unbiased estimate, for generators of many latents. None for all directions,
            exactly.

    Returns:
        (size, size), a direction in each row.

    Raises:
        ValueError: If a setting is out of range, or the Jacobians would fill the memory.
    """
    start = random_rotation(space.size, rng).to(space.device)

    def terms(along: JacobianOperator) -> Terms:
        index = None if columns is None else drawn_directions(along, columns, rng)
        return {"jl1": jl1_penalty(along, columns=index, reduction=None)}

    if columns is None:
        known = known_jacobians(space, samples, rng, progress)
        step = known_steps(known, terms, batch_size=batch_size, rng=rng)
    else:
        check_count("columns", columns, space.size)
        step = fresh_steps(space, terms, columns, batch_size=batch_size, rng=rng)
    return learn(start, step, steps=steps, learning_rate=learning_rate, progress=progress)
