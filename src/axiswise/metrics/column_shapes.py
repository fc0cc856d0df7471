"""What single columns of a generator's Jacobian look like: sparse, local, oriented."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from axiswise.jacobian import jacobian_columns
from axiswise.metrics.declaration import Subject, metric
from axiswise.metrics.jacobian_diagnostics import JACOBIAN_SAMPLES
from axiswise.support.precision import power_scaled

_AT_ONCE = 50  # latents whose Jacobians are in memory at once


@dataclass(frozen=True, eq=False)
class ColumnShapes:
    """Numbers about single columns of a Jacobian, each (z, latent), float64; NaN for a zero column.

    Attributes:
        hoyer: Hoyer's sparsity, from 0 (all entries equal) to 1 (a single one).
        spread: The width of the column: root mean square distance of its energy from its centre,
            over that of a uniform image. Near 0 for a spot, 1 for uniform energy, above 1 for
            energy at opposite edges.
        orientation: From 0 (no preferred direction) to 1 (a grating). Noise has about 1.4/√pixels.
        angle: The direction of the stripes, radians in [0, π), anticlockwise from the horizontal.
    """

    hoyer: Tensor
    spread: Tensor
    orientation: Tensor
    angle: Tensor


def column_shapes(columns: Tensor) -> ColumnShapes:
    """Describes columns of a Jacobian as pictures.

    Hoyer's sparsity is (√n − ‖c‖₁/‖c‖₂)/(√n − 1) for n entries (Hoyer, JMLR 2004). Orientation is
    that of the power spectrum P: |Σ P e^{2iθ}|/Σ P over the directions θ of the frequencies within
    the largest circle of the spectrum, without zero. It is what the columns of a JL1-VAE on natural
    images show (arXiv 2106.02923), as a number.

    Args:
        columns: (z, latent, channel, height, width), floating; the energy of channels is summed;
            height and width at least 4.

    Example:
        >>> stripes = torch.arange(16.0).mul(torch.pi / 2).sin().expand(1, 1, 1, 16, 16)
        >>> found = column_shapes(stripes)  # upright ones
        >>> round(float(found.orientation), 3), round(float(found.angle), 3)
        (1.0, 1.571)
    """
    _check(columns)
    columns, _ = power_scaled(columns.double(), (2, 3, 4))
    flat = columns.flatten(2)
    length = flat.norm(dim=2)
    root = math.sqrt(flat.shape[2])
    hoyer = (root - flat.abs().sum(2) / length) / (root - 1)
    orientation, angle = _orientation(columns)
    return ColumnShapes(hoyer, _width(columns.square().sum(2)), orientation, angle)


def cell_shares(columns: Tensor, rows: int, across: int) -> Tensor:
    """Measures the share of each column's energy in each cell of a grid.

    Where images are composed of independent ones, cell by cell, the largest share of a column shows
    whether its axis changes one of them only (Rhodes & Lee 2021, arXiv 2106.02923, Figure 3).

    Args:
        columns: (z, latent, channel, height, width), floating.
        rows: Cells one above another; they divide `height`.
        across: Cells side by side; they divide `width`.

    Returns:
        (z, latent, cell), from 0 to 1, float64, cells row by row; NaN for a zero column.
    """
    energy = cell_energies(power_scaled(columns, (2, 3, 4))[0], rows, across)
    return energy / energy.sum(2, keepdim=True)


def cell_energies(columns: Tensor, rows: int, across: int) -> Tensor:
    """Sums the squares of each column in each cell of a grid: see `cell_shares`."""
    _check(columns)
    for name, cells, side, pixels in (
        ("rows", rows, "height", columns.shape[3]),
        ("across", across, "width", columns.shape[4]),
    ):
        if cells < 1 or pixels % cells:
            raise ValueError(f"{name} must divide the {side} {pixels}, got {cells}")
    energy = columns.double().square().sum(2)
    split = energy.unflatten(3, (across, -1)).unflatten(2, (rows, -1))
    energies: Tensor = split.sum((3, 5)).flatten(2)
    return energies


def strongest_cell_share(energies: Tensor) -> float:
    """Measures the share of all columns' energy in the strongest cell of each, from 1/cells to 1.

    Each column counts by its energy: zero columns count for nothing. NaN where all energies, (z,
    latent, cell), are 0.
    """
    return float(energies.amax(2).sum() / energies.sum())


@metric("columns")
@torch.no_grad()
def column_scores(run: Subject) -> dict[str, float]:
    """Measures what single columns of active axes look like, mean over axes and latents.

    For composed images also the share of a column's energy in its strongest cell: mean over
    columns, and weighted by their energy.
    """
    active, grid = run.active, run.grid
    if not active.any():
        return {}
    parts: dict[str, list[Tensor]] = {}
    energies = []
    for z in run.latents(JACOBIAN_SAMPLES).split(_AT_ONCE):
        found = jacobian_columns(run.generator, z)
        assert isinstance(found, Tensor)
        found = found[:, active.to(found.device)].cpu()
        shapes = column_shapes(found)
        values = {name: getattr(shapes, name) for name in ("hoyer", "spread", "orientation")}
        if grid is not None:
            energies.append(cell_energies(found, *grid))
            values["cell_share"] = (energies[-1] / energies[-1].sum(2, keepdim=True)).amax(2)
        for name, value in values.items():
            parts.setdefault(name, []).append(value)
    scores = {f"column_{name}": float(torch.cat(part).nanmean()) for name, part in parts.items()}
    if energies:
        scores["column_cell_share_by_energy"] = strongest_cell_share(torch.cat(energies))
    return {name: score for name, score in scores.items() if not math.isnan(score)}


def _check(columns: Tensor) -> None:
    if not columns.is_floating_point():
        raise TypeError(f"columns must be floating, got {columns.dtype}")
    if columns.dim() != 5 or min(columns.shape[3:]) < 4:
        raise ValueError(
            "columns must be (z, latent, channel, height, width), of 4 × 4 at least, "
            f"got {tuple(columns.shape)}"
        )
    if not columns.isfinite().all():
        raise ValueError("columns must be finite, got NaN or infinity")


def _width(energy: Tensor) -> Tensor:
    """Width of energy (z, latent, height, width), over that of a uniform image."""
    share = energy / energy.sum((2, 3), keepdim=True)
    uniform = torch.full_like(share, 1 / share[0, 0].numel())
    return torch.sqrt(_moment(share) / _moment(uniform))


def _moment(share: Tensor) -> Tensor:
    """Mean square distance from the centre, by shares (z, latent, height, width)."""
    return _variance(share.sum(3)) + _variance(share.sum(2))


def _variance(share: Tensor) -> Tensor:
    """Variance of places in pixels, weighted by shares (z, latent, place)."""
    place = torch.arange(share.shape[2], device=share.device, dtype=share.dtype)
    centre = (share * place).sum(2, keepdim=True)
    return (share * (place - centre).square()).sum(2)


def _orientation(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Strength and angle."""
    power = torch.fft.fft2(columns).abs().square().sum(2)
    down, across = (torch.fft.fftfreq(n, device=power.device) for n in power.shape[2:])
    # Of the corners, and of the one side on which an even spectrum has its highest frequency, some
    # directions have more than others.
    inside = (down[:, None].square() + across.square()).sqrt()
    kept = (inside > 0) & (inside < 0.5)
    theta = torch.atan2(-down[:, None], across)  # rows count downwards
    phase = torch.where(kept, torch.exp(2j * theta), 0)
    moment = (power * phase).sum((2, 3)) / (power * kept).sum((2, 3))
    # Stripes run across their frequency.
    return moment.abs(), (moment.angle() / 2 + math.pi / 2) % math.pi
