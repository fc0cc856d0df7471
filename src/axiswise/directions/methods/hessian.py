"""Directions by the Hessian Penalty (Peebles et al. 2020, arXiv 2008.10599)."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from axiswise.directions.family import method
from axiswise.directions.solving import (
    Terms,
    check_count,
    fresh_steps,
    learn,
    least_probes,
    published_start,
    random_rotation,
    signs,
)
from axiswise.directions.space import SearchSpace
from axiswise.jacobian import JacobianOperator
from axiswise.penalties import hessian_penalty, rademacher
from axiswise.support.progress import Progress


@method("hessian")
def hessian(
    space: SearchSpace,
    rng: torch.Generator,
    progress: Progress,
    *,
    steps: int = 500,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    probes: int = 2,
    orthonormal: bool = True,
) -> Tensor:
    """Directions whose effects on the image do not depend on the amounts of the others.

    It minimises the Hessian Penalty of w ↦ G(z + wA) at w = 0 by Adam, step by step on fresh
    latents; the rate falls to zero along half a cosine.

    Args:
        steps: Number of steps.
        batch_size: Latents in each step; 32 as published.
        learning_rate: Adam's; 0.01 as published.
        probes: Number of Rademacher probes, at least 2; 2 as published.
        orthonormal: Keep the directions orthonormal; otherwise each has length 1.

    Returns:
        (size, size), a direction in each row.

    Raises:
        ValueError: If a setting is out of range, the generator records no gradients, or
            all its second derivatives are zero.
    """
    check_count("steps", steps)
    least_probes(probes)
    step = fresh_steps(space, _terms(probes, rng), probes, batch_size=batch_size, rng=rng)
    _check_curved(space, rng)
    return learn(
        random_rotation(space.size, rng).to(space.device),
        step,
        steps=steps,
        learning_rate=learning_rate,
        orthonormal=orthonormal,
        progress=progress,
    )


@torch.no_grad()
def _check_curved(space: SearchSpace, rng: torch.Generator) -> None:
    (batch,) = space.batches(1, 1, rng)
    probe = rademacher((1, 1, space.size), rng=rng).to(batch.searched)
    # Beside a probe of zeros, the variance is that of the other's curvature.
    if not hessian_penalty(batch.jacobian, probes=torch.cat([probe, 0 * probe])):
        raise ValueError(
            "generator must have second derivatives for the Hessian Penalty, but they are zero, as "
            "in a network of linear layers and ReLU"
        )


@method("hessian-published", epsilon=0.1)
def hessian_published(
    space: SearchSpace,
    rng: torch.Generator,
    progress: Progress,
    *,
    steps: int = 50_000,
    batch_size: int = 96,
    learning_rate: float = 0.01,
    probes: int = 2,
    distance: float = 5.0,
    orthonormal: bool = True,
) -> Tensor:
    """The Hessian Penalty as its authors search BigGAN: Adam of constant rate.

    The penalty is that of w ↦ G(z + wA) at w = one-hot · U(−distance, distance), by differences of
    0.1. It starts from random directions that are not orthonormal, whose rows are made so one after
    the other in each step.

    Source: the code of Peebles et al. 2020, arXiv 2008.10599.

    Args:
        steps: Number of steps.
        batch_size: Latents in each step.
        learning_rate: Adam's.
        probes: Number of Rademacher probes, at least 2.
        distance: How far along one direction, drawn for each latent, it is taken at most, ≥ 0.
        orthonormal: Make the directions orthonormal; otherwise they are as Adam has them, of any
            length: the authors' `--no_ortho`.

    Returns:
        (size, size), a direction in each row.

    Raises:
        ValueError: If a setting is out of range, the generator records no gradients, or
            all its second derivatives are zero.
    """
    least_probes(probes)
    if not distance >= 0:
        raise ValueError(f"distance must be ≥ 0, got {distance}")

    def amounts(count: int) -> Tensor:
        chosen = torch.randint(space.size, (count,), generator=rng, device=rng.device)
        far = torch.rand(count, 1, generator=rng, device=rng.device)
        return functional.one_hot(chosen, space.size) * (2 * distance * far - distance)

    step = fresh_steps(
        space, _terms(probes, rng), probes, batch_size=batch_size, rng=rng, amounts=amounts
    )
    _check_curved(space, rng)
    return learn(
        published_start(space.size, rng).to(space.device),
        step,
        steps=steps,
        learning_rate=learning_rate,
        orthonormal=orthonormal,
        published=True,
        progress=progress,
    )


def _terms(probes: int, rng: torch.Generator) -> Callable[[JacobianOperator], Terms]:
    def terms(along: JacobianOperator) -> Terms:
        return {"hessian": hessian_penalty(along, probes=signs(along, probes, rng), reduction=None)}

    return terms
