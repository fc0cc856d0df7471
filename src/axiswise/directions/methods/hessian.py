"""Directions by the Hessian Penalty (Peebles et al. 2020, arXiv 2008.10599)."""

import torch
from torch import Tensor

from axiswise.directions.family import method
from axiswise.directions.solving import Terms, check_count, fresh_steps, learn, random_rotation
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
    if probes < 2:
        raise ValueError(f"probes must be at least 2, got {probes}")

    def terms(along: JacobianOperator) -> Terms:
        # The latents come first, so that the draw is the same whatever `chunk_size` is.
        signs = rademacher((along.batch, probes, along.latent), rng=rng).transpose(0, 1)
        return {"hessian": hessian_penalty(along, probes=signs, reduction=None)}

    step = fresh_steps(space, terms, probes, batch_size=batch_size, rng=rng)
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
    signs = rademacher((1, 1, space.size), rng=rng).to(batch.searched)
    # Beside a probe of zeros, the variance is that of the other's curvature.
    if not hessian_penalty(batch.jacobian, probes=torch.cat([signs, 0 * signs])):
        raise ValueError(
            "generator must have second derivatives for the Hessian Penalty, but they are zero, as "
            "in a network of linear layers and ReLU"
        )
