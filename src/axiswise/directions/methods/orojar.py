"""Directions by Orthogonal Jacobian Regularization (Wei et al. 2021, arXiv 2108.07668)."""

from typing import Literal

import torch
from torch import Tensor

from axiswise.directions.family import method
from axiswise.directions.jacobi import joint_diagonalization
from axiswise.directions.solving import (
    Terms,
    check_count,
    drawn_directions,
    fresh_steps,
    gram_matrices,
    learn,
    least_probes,
    published_start,
    random_rotation,
    signs,
)
from axiswise.directions.space import SearchSpace
from axiswise.jacobian import JacobianOperator
from axiswise.penalties import orojar_penalty
from axiswise.support.progress import Progress


@method("orojar")
def orojar(
    space: SearchSpace,
    rng: torch.Generator,
    progress: Progress,
    *,
    solver: Literal["jacobi", "adam"] = "jacobi",
    samples: int = 100,
    steps: int = 1000,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    columns: int = 1,
    orthonormal: bool = True,
) -> Tensor:
    """Directions whose effects on the image are orthogonal, at all latents at once.

    Both solvers minimise the mean over latents of 2·Σ_{i≠j} (J_iᵀJ_j)², J the Jacobian of
    w ↦ G(z + wA) at w = 0. Since JᵀJ is A times the Gram matrix of G's own Jacobian times Aᵀ, the
    directions jointly diagonalise these Gram matrices: "jacobi" takes them once and finds A by
    plane rotations, without a learning rate or further passes of the generator. "adam" is the
    paper's way, step by step on fresh latents, except that its rate falls along half a cosine.

    Columns of the same length at all latents are determined only up to rotations among them.

    Args:
        solver: "jacobi" or "adam".
        samples: Number of latents, for "jacobi".
        steps: Number of steps of "adam".
        batch_size: Latents in each step; 32 as published.
        learning_rate: Adam's; 0.01 as published.
        columns: Number of random directions that a step of "adam" compares with all at each
            latent: an unbiased estimate, whose time does not grow with the number of latents.
        orthonormal: Keep the directions orthonormal; otherwise, with "adam", each has length 1.

    Returns:
        (size, size), a direction in each row.

    Raises:
        ValueError: If a setting is out of range.
    """
    start = random_rotation(space.size, rng).to(space.device)
    if solver == "jacobi":
        if not orthonormal:
            raise ValueError("orthonormal must be True with solver='jacobi', got False")
        grams = gram_matrices(space, samples, rng, progress)
        return joint_diagonalization(grams, start, progress)
    if solver != "adam":
        raise ValueError(f"solver must be 'jacobi' or 'adam', got {solver!r}")
    check_count("columns", columns, space.size)

    def terms(along: JacobianOperator) -> Terms:
        index = drawn_directions(along, columns, rng)
        return {"orojar": orojar_penalty(along, columns=index, all_pairs=True, reduction=None)}

    return learn(
        start,
        fresh_steps(space, terms, columns, batch_size=batch_size, rng=rng),
        steps=steps,
        learning_rate=learning_rate,
        orthonormal=orthonormal,
        progress=progress,
    )


@method("orojar-published", epsilon=0.1)
def orojar_published(
    space: SearchSpace,
    rng: torch.Generator,
    progress: Progress,
    *,
    steps: int = 50_000,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    probes: int = 2,
    orthonormal: bool = True,
) -> Tensor:
    """OroJaR as its authors search BigGAN: Adam of constant rate on two probes of each latent.

    The penalty is the unbiased variance over probes v of ‖J v‖², J the Jacobian of w ↦ G(z + wA) at
    w = 0 by one-sided differences of 0.1, mean over the batch. It starts from random directions
    that are not orthonormal, whose rows are made so one after the other in each step.

    Source: the code of Wei et al. 2021, arXiv 2108.07668.

    Args:
        steps: Number of steps.
        batch_size: Latents in each step.
        learning_rate: Adam's.
        probes: Number of Rademacher probes, at least 2.
        orthonormal: Make the directions orthonormal; otherwise they are as Adam has them, of any
            length: the authors' `--no_ortho`.

    Returns:
        (size, size), a direction in each row.

    Raises:
        ValueError: If a setting is out of range, or the generator records no gradients.
    """
    least_probes(probes)

    def terms(along: JacobianOperator) -> Terms:
        return {"orojar": orojar_penalty(along, probes=signs(along, probes, rng), reduction=None)}

    return learn(
        published_start(space.size, rng).to(space.device),
        fresh_steps(space, terms, probes, batch_size=batch_size, rng=rng),
        steps=steps,
        learning_rate=learning_rate,
        orthonormal=orthonormal,
        published=True,
        progress=progress,
    )
