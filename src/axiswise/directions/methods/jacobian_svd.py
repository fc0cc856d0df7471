"""Leading right-singular vectors of a generator's Jacobian: what changes the image most."""

import torch
from torch import Tensor

from axiswise.directions.family import method
from axiswise.directions.solving import gram_matrices
from axiswise.directions.space import LatentBatch, SearchSpace
from axiswise.jacobian import gram
from axiswise.support.precision import power_scaled
from axiswise.support.progress import Progress


@method("jacobian-svd", ordered=True)
def jacobian_svd(
    space: SearchSpace,
    rng: torch.Generator,
    progress: Progress,
    *,
    samples: int = 100,
    z: Tensor | None = None,
) -> Tensor:
    """Eigenvectors of the mean of JᵀJ, J the Jacobian; at one z its right-singular vectors.

    Args:
        samples: Number of latents that JᵀJ is averaged over.
        z: Given latents to average over instead, (batch, latent); for a generator without
            conditioning.

    Returns:
        (size, size), orthonormal, that of the largest eigenvalue first.

    Raises:
        ValueError: If samples or z is out of range.
    """
    if z is None:
        grams = gram_matrices(space, samples, rng, progress)
    elif z.dim() != 2 or z.shape[1] != space.latent_dim or len(z) == 0:
        raise ValueError(f"z must be (batch, {space.latent_dim}), got {tuple(z.shape)}")
    else:
        columns = LatentBatch(space, z.to(space.device), {}).columns().double()
        grams = gram(power_scaled(columns, (0, 1, 2))[0])
    return torch.linalg.eigh(grams.mean(0)).eigenvectors.flip(1).T  # type: ignore[no-any-return]
