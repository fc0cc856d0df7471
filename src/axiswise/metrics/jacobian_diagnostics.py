"""What a generator's Jacobian shows of its axes: orthogonal, sparse, alive or not."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from axiswise.jacobian import check_latents, gram, jacobian_columns
from axiswise.metrics._generators import ImageGenerator
from axiswise.metrics.declaration import Subject, metric
from axiswise.penalties import (
    column_cosines,
    cosine_contrast,
    jl1_penalty,
    l1_lengths,
    off_diagonal_energy,
    safe_ratio,
)
from axiswise.support.checks import check_count
from axiswise.support.progress import Progress, no_progress

JACOBIAN_SAMPLES = 500  # latents at which the Jacobian of a run is taken
_DEAD = 0.01  # of the longest column
_ORDINARY = 200  # powers of two; single precision has no entries beyond


@dataclass(frozen=True, eq=False)
class JacobianDiagnostics:
    """How orthogonal, sparse and long the columns of a generator's Jacobian are.

    Attributes:
        cosines: (latent, latent), from 0 to 1: the mean |cos| of each pair of columns; 0 for a zero
            column, also with itself.
        lengths: (latent,), the mean length (L2) of each column.
        active: (latent,), boolean: the axes of the last three numbers.
        off_diagonal_share: The share of the energy of JᵀJ off its diagonal, mean over the latents,
            over all axes: 0 where columns are orthogonal, below 1.
        mean_cosine: The mean of `cosines` over pairs of active axes, from 0 (orthogonal) to 1; NaN
            without a pair.
        ima_contrast: −½ log det of the matrix of cosines, mean over the latents: 0 where columns
            are orthogonal, very large or infinite where they are dependent.
        sparsity: ‖J_i‖₁ / (‖J_i‖₂ √outputs), mean over columns and latents: 1 where a column
            changes all outputs equally, 1/√outputs where it changes one. NaN if no axis is active.
    """

    cosines: Tensor
    lengths: Tensor
    active: Tensor
    off_diagonal_share: float
    mean_cosine: float
    ima_contrast: float
    sparsity: float

    @property
    def inactive(self) -> int:
        """How many axes are not active."""
        return int((~self.active).sum())


@torch.no_grad()
def jacobian_diagnostics(
    generator: ImageGenerator,
    z: Tensor,
    *,
    batch_size: int = 16,
    active: Tensor | None = None,
    progress: Progress = no_progress,
) -> JacobianDiagnostics:
    """Describes the columns of a generator's Jacobian, averaged over latents.

    A zero column at some latents is left out of `ima_contrast` and `sparsity` there.

    Source: orthogonality is the aim of OroJaR (arXiv 2108.07668), sparsity that of JL1-VAE (arXiv
    2106.02923); the contrast is that of Gresele et al., NeurIPS 2021, arXiv 2106.05200.

    Args:
        generator: Latents (batch, latent) to one tensor (batch, *image), differentiable in forward
            mode; errors are those of `axiswise.jacobian_columns`.
        z: Latents to average over, (batch, latent), floating.
        batch_size: The most rows of `z` whose Jacobians are in memory at once.
        active: (latent,), boolean: the axes of the summaries. None: those whose mean column length
            is at least 1 % of the longest.

    Returns:
        The numbers, their tensors on the CPU, float64.

    Example:
        >>> import torch
        >>> found = jacobian_diagnostics(torch.nn.Linear(2, 3), torch.randn(4, 2))
        >>> found.cosines.shape, found.inactive
        (torch.Size([2, 2]), 0)
    """
    check_latents(z)
    batch_size = check_count("batch_size", batch_size, 1)
    grams, sums = [], []
    outputs = 0
    done = 0
    unit = 1.0  # of the columns, so that fourth powers of theirs neither overflow nor vanish
    for rows in z.split(batch_size):
        columns = jacobian_columns(generator, rows)
        if not isinstance(columns, Tensor):
            raise TypeError(f"generator must return one tensor, got {len(columns)}")
        if not columns.isfinite().all():
            raise ValueError(
                "generator must have a finite Jacobian, got NaN or infinity at one of the latents "
                f"{done} … {done + len(rows) - 1}"
            )
        columns = columns.double()  # float32 would blur cosines near 1
        if done == 0:
            exponent = math.frexp(float(columns.abs().max()))[1]
            unit = 2.0**exponent if abs(exponent) > _ORDINARY else 1.0
        columns = columns / unit
        grams.append(gram(columns).cpu())
        sums.append(l1_lengths(columns).cpu())
        outputs = columns[0, 0].numel()
        done += len(rows)
        progress(done, len(z))
    found = describe_columns(torch.cat(grams), torch.cat(sums), outputs, active)
    return replace(found, lengths=found.lengths * unit)


@metric("jacobian", usual="always")
@torch.no_grad()
def jacobian_scores(run: Subject) -> dict[str, Any]:
    """Measures how orthogonal, sparse and long the columns of the generator's Jacobian are."""
    found = run.diagnostics
    z = run.latents(JACOBIAN_SAMPLES)
    scores = {
        "jl1": float(jl1_penalty(run.generator, z, chunk_size=2 * JACOBIAN_SAMPLES)),
        "column_length": float(found.lengths.mean()),
        "column_length_per_axis": found.lengths,
        "off_diagonal_share": found.off_diagonal_share,
    }
    if found.active.any():
        scores |= {"sparsity": found.sparsity, "ima_contrast": found.ima_contrast}
    if found.active.sum() > 1:
        scores["mean_cosine"] = found.mean_cosine
    return scores


def describe_columns(
    products: Tensor, absolute: Tensor, outputs: int, active: Tensor | None = None
) -> JacobianDiagnostics:
    """Describes columns by their inner products and their L1 lengths: see `jacobian_diagnostics`.

    Args:
        products: JᵀJ at each of the latents, (z, latent, latent), on the CPU, float64: cosines near
            1 need it.
        absolute: ‖J_i‖₁ there, (z, latent).
        outputs: The number of entries of a column.
        active: (latent,), boolean, or None.
    """
    if not products.isfinite().all():
        raise ValueError("columns must be finite, with squares that do not overflow, got others")
    squares = products.diagonal(dim1=1, dim2=2)
    lengths, alive = squares.sqrt(), squares > 0
    signed = column_cosines(products)
    cosines = signed.abs().clamp(max=1).mean(0)
    mask = _active(active, lengths.mean(0))
    pairs = cosines[mask][:, mask][*torch.triu_indices(int(mask.sum()), int(mask.sum()), 1)]
    contrast = cosine_contrast(signed[:, mask][:, :, mask])
    # With more columns than outputs the determinant is zero, which rounding may hide.
    dependent = (alive & mask).sum(1) > outputs
    sparsity = (safe_ratio(absolute, squares) / math.sqrt(outputs))[:, mask][alive[:, mask]]
    whole = products.square().sum((1, 2))
    off = off_diagonal_energy(products) / 2
    return JacobianDiagnostics(
        cosines=cosines,
        lengths=lengths.mean(0),
        active=mask,
        off_diagonal_share=float(torch.where(whole > 0, off / whole, 0).mean()),
        mean_cosine=float(pairs.mean()),
        ima_contrast=float(torch.where(dependent, math.inf, contrast.clamp(min=0)).mean()),
        sparsity=float(sparsity.mean()),
    )


def _active(given: Tensor | None, lengths: Tensor) -> Tensor:
    if given is None:
        return (lengths >= _DEAD * lengths.max()) & (lengths > 0)
    if given.dtype != torch.bool:
        raise TypeError(f"active must be boolean, got {given.dtype}")
    if given.shape != lengths.shape:
        raise ValueError(
            f"active must be (latent,) = {tuple(lengths.shape)}, got {tuple(given.shape)}"
        )
    return given.cpu()
