"""The base of data sets whose images lie in memory and are drawn by their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from axiswise.data.factors import Source, check_integers, uniform_integers
from axiswise.data.levels import Kind, Levels, Range, check_value_range
from axiswise.support.checks import check_count
from axiswise.support.progress import Progress, no_progress

MEMORY_LIMIT = 2**34  # bytes of images; all of CelebA at size 128 takes 9.3 GiB


class Numbered(Source):
    """Images drawn by their number. A subclass has `_choices` and `_look_up`."""

    def draw(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Choose the numbers of `n` images, uniformly and with replacement: (n,), int64."""
        return uniform_integers(self._choices(), n, rng)

    def render(self, index: Tensor) -> Tensor:
        """Look up the images of these numbers, (n,): (n, *shape), float32 in [0, 1]."""
        check_integers("index", index)
        if index.ndim != 1:
            raise ValueError(f"index must have shape (n,), got {tuple(index.shape)}")
        rows = index.to("cpu", torch.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= self._choices()):
            raise ValueError(
                f"index must be in 0 ... {self._choices() - 1}, got values from {rows.min()} to "
                f"{rows.max()}"
            )
        return self._look_up(rows, index.device)

    def _choices(self) -> int:
        """How many images can be drawn."""
        raise NotImplementedError

    def _look_up(self, rows: Tensor, device: torch.device) -> Tensor:
        """The images of these numbers, (n,) on the CPU, on a device."""
        raise NotImplementedError


class Indexed(Numbered):
    """Images of one shape, a byte for each pixel and channel, read at first use.

    A subclass sets `shape` and has `_read`. Pickles contain no images.

    Args:
        value_range: The values of black and of white; None has a subclass decide.

    Raises:
        ValueError: `value_range` is no such pair.
    """

    def __init__(self, value_range: Sequence[float] | None = None) -> None:
        self.value_range = check_value_range(value_range)
        self._decided: Range | None = None
        self._images: Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_images": None}

    def __len__(self) -> int:
        return len(self.load())

    def load(self, progress: Progress = no_progress) -> Tensor:
        """Read all images, if that has not been done: (image, *shape), uint8, not to be changed."""
        if self._images is None:
            self._images = self._read(progress)
        return self._images

    def settled(self) -> dict[str, object]:
        """As `axiswise.data.factors.Settled`: the range of values that the images have decided."""
        decided = self.value_range is None and self._decided is not None
        return {"value_range": list(self._decided or ())} if decided else {}

    def _choices(self) -> int:
        return len(self)

    def _look_up(self, rows: Tensor, device: torch.device) -> Tensor:
        # Copied to the device as uint8, a quarter of the bytes.
        return self.load().index_select(0, rows).to(device, torch.float32).div_(255)

    def _read(self, progress: Progress) -> Tensor:
        raise NotImplementedError

    def _levels(self) -> Levels:
        """The range of values, given, or decided earlier."""
        return Levels(self.value_range or self._decided)

    def _settle(self, levels: Levels, what: str) -> set[Kind]:
        """`Levels.settle`, whose result is kept."""
        changed = levels.settle(what)
        self._decided = levels.decided or self._decided
        return changed


def check_memory(name: str, count: int, shape: tuple[int, ...]) -> None:
    """Refuse `count` images of a shape that take more than 16 GiB at a byte for each number."""
    needed = count * torch.Size(shape).numel()
    if needed > MEMORY_LIMIT:
        raise ValueError(
            f"{name} contains {count} images, which at shape {tuple(shape)} take "
            f"{needed / 2**30:.1f} GiB of memory; at most {MEMORY_LIMIT / 2**30:g} GiB are "
            "allowed: choose a smaller size or fewer images"
        )


def check_size(size: int, channels: int = 3) -> None:
    """Refuse a size below 1, and other channels than grey or RGB."""
    check_count("size", size)
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (RGB), got {channels}")
