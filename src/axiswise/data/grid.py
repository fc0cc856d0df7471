"""Several independent images side by side: the composition of JL1-VAE's MPI3D-Multi.

Rhodes & Lee, Local Disentanglement in Variational Auto-Encoders Using Jacobian L1 Regularization,
NeurIPS 2021, arXiv 2106.02923.
"""

from __future__ import annotations

import torch
from torch import Tensor

from axiswise.data.factors import FactorData, KnownFactors, check_factors, is_here, load, settled
from axiswise.data.family import OURS, data_set
from axiswise.data.resizing import shrink
from axiswise.data.sprites import Sprites
from axiswise.support.checks import check_count
from axiswise.support.progress import Progress, no_progress

_CHUNK = 2**22  # floats of cells, before they are made smaller, that are drawn in one go


@data_set("Grid", licence=OURS, variants={"Grid": lambda: Grid(Sprites(size=32))})
class Grid(KnownFactors):
    """Images put together from independent ones of any data set with known factors.

    The factors are those of all cells: first all of the cell at the upper left, then all of its
    neighbour to the right, row by row. JL1-VAE's own composition is `MPI3DMulti`.

    Factor x of the cell in row 0 and column 1 is called "cell 0,1: x".

    Args:
        dataset: What the cells show.
        rows: Number of cells one above another, at least 1.
        columns: Number of cells side by side, at least 1.
        cell_size: Height and width to average square images down to, in pixels; None leaves them as
            they are.

    Raises:
        TypeError: `dataset` has no known factors.
        ValueError: `rows` or `columns` is below 1, or `cell_size` is larger than the images of
            `dataset`, or these are not square.
    """

    _by_columns = False  # whether cells are counted downwards first

    def __init__(
        self, dataset: FactorData, rows: int = 2, columns: int = 2, cell_size: int | None = None
    ) -> None:
        if not isinstance(dataset, FactorData):
            raise TypeError(
                "dataset must have known factors (axiswise.data.FactorData), "
                f"got {type(dataset).__name__}"
            )
        check_count("rows", rows)
        check_count("columns", columns)
        channels, height, width = dataset.shape
        if cell_size is not None:
            if height != width or not 1 <= cell_size <= width:
                raise ValueError(
                    "cell_size must be in 1 ... the side of square images, "
                    f"got {cell_size} for {height} × {width} pixels"
                )
            height = width = cell_size
        self.dataset = dataset
        self.rows = rows
        self.columns = columns
        self.cell_size = cell_size
        self.shape = (channels, rows * height, columns * width)
        self.factor_sizes = tuple(dataset.factor_sizes) * (rows * columns)
        cells = [(row, column) for row in range(rows) for column in range(columns)]
        if self._by_columns:
            cells.sort(key=lambda cell: cell[1])
        self.factor_names = tuple(
            f"cell {row},{column}: {name}" for row, column in cells for name in dataset.factor_names
        )
        self.unordered = tuple(
            f"cell {row},{column}: {name}"
            for row, column in cells
            for name in getattr(dataset, "unordered", ())
        )

    def __repr__(self) -> str:
        smaller = "" if self.cell_size is None else f", cell_size={self.cell_size}"
        return f"Grid({self.dataset!r}, rows={self.rows}, columns={self.columns}{smaller})"

    def is_here(self) -> bool | None:
        """Whether the files of `dataset` are here; None where it has none to fetch."""
        return is_here(self.dataset)

    def load(self, progress: Progress = no_progress) -> None:
        """Make the cells' images ready: `dataset.load`, where it has one."""
        load(self.dataset, progress)

    def settled(self) -> dict[str, object]:
        """The arguments of `dataset` that its images have decided."""
        return {f"dataset.init_args.{name}": value for name, value in settled(self.dataset).items()}

    def render(self, factors: Tensor) -> Tensor:
        """Draw the images that have these factors, in bounded memory beside the result."""
        factors = check_factors(factors, self.factor_sizes)
        images = torch.empty((len(factors), *self.shape), device=factors.device)
        channels, height, width = self.dataset.shape
        chunk = max(1, _CHUNK // (channels * height * width * self.rows * self.columns))
        for part, into in zip(factors.split(chunk), images.split(chunk), strict=True):
            self._draw(part, into)
        return images

    def _draw(self, factors: Tensor, images: Tensor) -> None:
        """Write the images of `factors`, (n, factor), into `images`, (n, *shape)."""
        channels, height, width = self.shape
        cell = (height // self.rows, width // self.columns)
        each = len(self.dataset.factor_sizes)
        cells = self.dataset.render(factors.reshape(-1, each))
        if self.cell_size is not None:
            cells = shrink(cells, self.cell_size)
        shape = (self.columns, self.rows) if self._by_columns else (self.rows, self.columns)
        cells = cells.view(-1, *shape, channels, *cell)
        tiles = images.view(-1, channels, self.rows, cell[0], self.columns, cell[1])
        tiles.copy_(
            (cells.transpose(1, 2) if self._by_columns else cells).permute(0, 3, 1, 4, 2, 5)
        )
