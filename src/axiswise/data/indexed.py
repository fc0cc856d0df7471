"""Images that lie in memory and are drawn by their number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from axiswise.data.factors import check_count, check_integers, uniform_integers

MEMORY_LIMIT = 2**34  # bytes of images

Counted = Callable[[int, int | None], None]


class Indexed:
    """Images of one shape, a byte for each pixel and channel, read at first use.

    A subclass has `_read`. Pickles hold no images.

    Attributes:
        shape: (channel, height, width).
    """

    shape: tuple[int, int, int]

    def __init__(self) -> None:
        self._images: Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_images": None}

    def __len__(self) -> int:
        return len(self.load())

    def load(self, progress: Counted | None = None) -> Tensor:
        """Read all images, if that has not been done.

        Args:
            progress: Called with the number of images read and of all.

        Returns:
            (image, channel, height, width), uint8, on the CPU. This is the data set's own memory:
            do not write to it.

        Raises:
            OSError: The images cannot be read.
            ValueError: They are too many for memory.
        """
        if self._images is None:
            self._images = self._read(progress)
        return self._images

    def draw(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Choose `n` images at random, each one as likely as any other, with replacement.

        Args:
            n: How many, 0 or more.
            rng: Where the randomness comes from; None is torch's global generator on the CPU.

        Returns:
            (n,), int64 in 0 ... len(self) − 1, on the device of `rng`.

        Raises:
            ValueError: `n` is negative.
            OSError: The images cannot be read.
        """
        check_count(n)
        return uniform_integers(len(self), n, rng)

    def render(self, index: Tensor) -> Tensor:
        """Look up images.

        Args:
            index: (n,), any integer type, each in 0 ... len(self) − 1.

        Returns:
            (n, *shape), float32 in [0, 1], on the device of `index`.

        Raises:
            TypeError: `index` is not a tensor of integers.
            ValueError: `index` has another shape or a value out of range.
            OSError: The images cannot be read.
        """
        rows = check_index(index, len(self))
        # Moved as uint8, a quarter of the bytes.
        return self.load().index_select(0, rows).to(index.device, torch.float32).div_(255)

    def _read(self, progress: Counted | None) -> Tensor:
        raise NotImplementedError


def check_index(index: Tensor, count: int) -> Tensor:
    """Check numbers of images that somebody hands to `render`.

    Args:
        index: (n,), any integer type, each in 0 ... count − 1.
        count: How many images there are.

    Returns:
        The same as int64 on the CPU.

    Raises:
        TypeError: `index` is not a tensor of integers.
        ValueError: `index` has another shape or a value out of range.
    """
    check_integers("index", index)
    if index.ndim != 1:
        raise ValueError(f"index must have shape (n,), got {tuple(index.shape)}")
    rows = index.to("cpu", torch.int64)
    if len(rows) and (rows.min() < 0 or rows.max() >= count):
        raise ValueError(
            f"index must be in 0 ... {count - 1}, got values from {rows.min()} to {rows.max()}"
        )
    return rows


def check_memory(name: str, count: int, shape: tuple[int, ...]) -> None:
    """Refuse more images than memory should hold.

    Args:
        name: What they are, for the error.
        count: How many.
        shape: Of each.

    Raises:
        ValueError: They take more than 16 GiB at a byte for each number.
    """
    needed = count * torch.Size(shape).numel()
    if needed > MEMORY_LIMIT:
        raise ValueError(
            f"{name} holds {count} images, which at shape {tuple(shape)} take "
            f"{needed / 2**30:.1f} GiB of memory; at most {MEMORY_LIMIT / 2**30:g} GiB are allowed"
        )
