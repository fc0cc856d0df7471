"""MPI3D-Multi, the composed images of JL1-VAE's Figure 3.

Rhodes & Lee, Local Disentanglement in Variational Auto-Encoders Using Jacobian L1 Regularization,
NeurIPS 2021, arXiv 2106.02923.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from axiswise.data.factors import KnownFactors, check_factors
from axiswise.data.family import data_set
from axiswise.data.grid import Grid
from axiswise.data.mpi3d import MPI3D, Version
from axiswise.support.progress import Progress, no_progress

_HELD = (3, 1, 1, 0, 2)  # colour, shape, size, camera height, background: a large blue cube
_STEP = 2  # pixels


@data_set("MPI3DMulti", licence="CC BY 4.0", variants={"MPI3D-Multi": lambda: MPI3DMulti()})
class MPI3DMulti(Grid):
    """Four images of MPI3D in one of 64 × 64 pixels, as JL1-VAE's authors put them together.

    In each the arm moves alone: the other five factors stay at 3, 1, 1, 0, 2 (colour, shape, size,
    camera height, background). Each shows every second row and column of its image, from the first
    on. The factors are the horizontal and vertical axis (40 values each) of the cell at the upper
    left, then of that below it, then of the right column's: column by column.

    `Grid(MPI3D("real"), cell_size=32)` has all seven factors in each cell, and averages pixels.

    Args:
        version: As of `MPI3D`.
        data_dir: As of `MPI3D`.

    Raises:
        ValueError: `version` is none of MPI3D's.
    """

    _by_columns = True

    def __init__(self, version: Version = "real", data_dir: str | Path | None = None) -> None:
        super().__init__(_Arm(MPI3D(version, data_dir)))
        self.version = version

    def __repr__(self) -> str:
        assert isinstance(self.dataset, _Arm)
        return f"MPI3DMulti({self.version!r}, {str(self.dataset.whole.data_dir)!r})"


class _Arm(KnownFactors):
    """Images of MPI3D by the arm's two axes, at half their size."""

    def __init__(self, whole: MPI3D) -> None:
        self.whole = whole
        self.shape = (3, whole.size // _STEP, whole.size // _STEP)
        self.factor_sizes = whole.factor_sizes[len(_HELD) :]
        self.factor_names = whole.factor_names[len(_HELD) :]

    def is_here(self) -> bool:
        return self.whole.is_here()

    def load(self, progress: Progress = no_progress) -> None:
        self.whole.load(progress)

    def render(self, factors: Tensor) -> Tensor:
        factors = check_factors(factors, self.factor_sizes)
        held = factors.new_tensor(_HELD).expand(len(factors), -1)
        return self.whole.render(torch.cat((held, factors), 1))[..., ::_STEP, ::_STEP]
