"""The base of data sets that are drawn on the fly, from tables."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from axiswise.data.factors import KnownFactors, check_factors


class Chunked(Protocol):
    """Tables with the number of images to draw in one go."""

    @property
    def chunk(self) -> int: ...  # noqa: D102


Tables = TypeVar("Tables", bound=Chunked)


class Drawn(KnownFactors, Generic[Tables]):
    """Images of known factors, drawn on the factors' device from tables that are made once there.

    Tables are made at the first drawing on a device, and are not pickled. A subclass sets `shape`,
    `factor_sizes` and `factor_names`, and has `_make_tables` and `_draw`.
    """

    def __init__(self) -> None:
        self._tables: dict[torch.device, Tables] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tables": {}}

    def render(self, factors: Tensor) -> Tensor:
        """Draw the images that have these factors, in bounded memory beside the result.

        The call waits for a CUDA device, so that it cannot be captured in a CUDA graph.
        """
        factors = check_factors(factors, self._drawn_sizes).contiguous()
        images = _empty((len(factors), *self.shape), factors.device)
        with torch.inference_mode():  # saves time in each operation; `images` is not of it
            tables = self._tables.get(factors.device)
            if tables is None:
                tables = self._tables[factors.device] = self._make_tables(factors.device)
            for start in range(0, len(factors), tables.chunk):
                part = slice(start, start + tables.chunk)
                self._draw(factors[part], images[part], tables)
        return images

    @property
    def _drawn_sizes(self) -> tuple[int, ...]:
        """Number of values of each column that `render` takes."""
        return self.factor_sizes

    def _make_tables(self, device: torch.device) -> Tables:
        raise NotImplementedError

    def _draw(self, factors: Tensor, images: Tensor, tables: Tables) -> None:
        """Write the images of `factors`, (n, factor), into `images`, (n, *shape)."""
        raise NotImplementedError


def _empty(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """New memory for float32 images, its content undefined."""
    if device.type == "cpu":
        # Large batches are bound by the first touch of each page of memory. NumPy asks Linux for
        # large pages and torch does not: drawing 4,096 images takes half the time.
        return torch.from_numpy(np.empty(shape, np.float32))
    return torch.empty(shape, dtype=torch.float32, device=device)
