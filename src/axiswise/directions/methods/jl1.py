"""Directions by an L1 cost on the Jacobian (after Rhodes & Lee 2021, arXiv 2106.02923)."""

import torch
from torch import Tensor

from axiswise.directions.family import method
from axiswise.directions.solving import (
    check_sampled,
    fresh_steps,
    jl1_term,
    known_jacobians,
    known_steps,
    learn,
    random_rotation,
    some_moves,
)
from axiswise.directions.space import SearchSpace
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
    paper has this cost in training a VAE; here it turns the axes of a generator that is trained
    already. Unlike OroJaR, it can settle rotations among columns of equal length.

    Args:
        space: What is searched.
        rng: Source of randomness.
        progress: As in `find_directions`.
        samples: Latents whose Jacobians are taken, once; not where `columns` is given.
        steps: Steps.
        batch_size: Latents in each.
        learning_rate: Adam's.
        columns: Number of random directions that each latent is moved along in a step, each step
            with latents of its own: an unbiased estimate, for generators of many latents. None for
            all directions, exactly.

    Returns:
        (size, size), a direction in each row.

    Raises:
        ValueError: If a setting is out of range, or the Jacobians would fill the memory.
    """
    start = random_rotation(space.size, rng).to(space.device)
    if columns is None:
        known = known_jacobians(space, samples, rng, progress)
        step = known_steps(
            known, lambda moved: {"jl1": jl1_term(moved)}, batch_size=batch_size, rng=rng
        )
    else:
        check_sampled(space, columns)
        step = fresh_steps(
            space,
            lambda batch, matrix: {"jl1": jl1_term(some_moves(batch, matrix, columns, rng))},
            columns,
            batch_size=batch_size,
            rng=rng,
        )
    return learn(
        start,
        step,
        steps=steps,
        learning_rate=learning_rate,
        progress=progress,
    )
