"""Whether the Hessian of each output of a generator is diagonal, by exact second derivatives."""

from dataclasses import dataclass

import torch
from torch import Tensor

from axiswise.jacobian import Jacobian, check_latents
from axiswise.metrics._generators import ImageGenerator
from axiswise.metrics.declaration import Subject, metric
from axiswise.support.checks import check_count
from axiswise.support.progress import Progress, no_progress

_LATENTS = 16  # at which the Hessians of a run's outputs are taken
_CHUNK = 64  # latents times probes at once


@dataclass(frozen=True, eq=False)
class HessianDiagnostics:
    """What the Hessians H of a generator's outputs with respect to its latents look like.

    Attributes:
        mean_size: (latent, latent), the mean of |H_ij| over outputs and latents, float64.
        diagonal_share: The share of Hessians whose entry of largest size lies on the diagonal, of
            those that are not zero; 2/(latent + 1) where all entries are alike, NaN if all are
            zero.
        off_diagonal_share: The share of Σ H_ij² that lies off the diagonal, over all outputs and
            latents together: 0 where all Hessians are diagonal; NaN if all are zero.
    """

    mean_size: Tensor
    diagonal_share: float
    off_diagonal_share: float


@torch.no_grad()
def hessian_diagnostics(
    generator: ImageGenerator,
    z: Tensor,
    *,
    chunk_size: int = _CHUNK,
    progress: Progress = no_progress,
) -> HessianDiagnostics:
    """Describes the Hessian of each output with respect to the latents.

    An image whose axes change it independently of each other has diagonal Hessians: the aim of the
    Hessian Penalty (Peebles et al., ECCV 2020, arXiv 2008.10599), and, as OroJaR's paper argues
    (Wei et al., ICCV 2021, arXiv 2108.07668), indirectly its own. Every entry is computed, in
    forward mode: H_ii is the curvature along axis i, and H_ij is half of what the curvature along
    their sum has more than both.

    Args:
        generator: Latents (batch, latent) to one tensor (batch, *image), twice differentiable in
            forward mode; errors are those of `axiswise.Jacobian`.
        z: Latents, (batch, latent), floating.
        chunk_size: The most latents times probes at once.

    Example:
        >>> import torch
        >>> found = hessian_diagnostics(lambda z: z**2 @ torch.ones(3, 4), torch.randn(2, 3))
        >>> found.diagonal_share, found.off_diagonal_share
        (1.0, 0.0)
    """
    check_latents(z)
    chunk_size = check_count("chunk_size", chunk_size, 1)
    latents = z.shape[1]
    axes = torch.eye(latents, dtype=z.dtype, device=z.device)
    first, second = torch.triu_indices(latents, latents, 1, device=z.device)
    probes = torch.cat([axes, axes[first] + axes[second]])
    sizes = torch.zeros(len(probes), dtype=torch.float64)
    energies = torch.zeros(2, dtype=torch.float64)  # on the diagonal, and off it
    diagonal = counted = 0
    for done, row in enumerate(z.split(1), start=1):
        found = Jacobian(generator, row, chunk_size=chunk_size).curvatures(probes[:, None])
        if not isinstance(found, Tensor):
            raise TypeError(f"generator must return one tensor, got {len(found)}")
        curvatures = found.flatten(1).double()
        own = curvatures[:latents]
        mixed = (curvatures[latents:] - own[first] - own[second]) / 2
        entries = torch.cat([own, mixed]).abs()
        if not entries.isfinite().all():
            raise ValueError(
                f"generator must have finite second derivatives, got others at latents {done - 1}"
            )
        sizes += entries.mean(1).cpu()
        squares = entries.square().sum(1).cpu()
        energies += torch.stack([squares[:latents].sum(), 2 * squares[latents:].sum()])
        largest = entries.amax(0)
        diagonal += int(((own.abs().amax(0) == largest) & (largest > 0)).sum())
        counted += int((largest > 0).sum())
        progress(done, len(z))
    mean = torch.diag(sizes[:latents])
    mean[first.cpu(), second.cpu()] = mean[second.cpu(), first.cpu()] = sizes[latents:]
    share = float(energies[1] / energies.sum())
    return HessianDiagnostics(mean / len(z), diagonal / counted if counted else float("nan"), share)


@metric("hessian")
def hessian_of_run(run: Subject) -> dict[str, float]:
    """Measures how many Hessians of pixels have their largest entry on the diagonal.

    And which share of the energy of all Hessians lies off it. None for a generator without second
    derivatives.
    """
    bar = run.start_bar("Hessians")
    found = hessian_diagnostics(run.generator, run.latents(_LATENTS), progress=bar)
    if found.diagonal_share != found.diagonal_share:
        return {}
    return {
        "hessian_diagonal_share": found.diagonal_share,
        "hessian_off_diagonal_share": found.off_diagonal_share,
    }
