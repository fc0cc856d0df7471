"""What published data sets have in common that come as an array of images in a fixed order."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from axiswise.data.canvas import Drawn
from axiswise.data.download import DownloadError, Progress, default_data_dir, fetch
from axiswise.data.resizing import shrink
from axiswise.support.files import naming

_CHUNK = 2**22  # floats that each step of drawing may handle at once

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PublishedFile:
    """A file of a data set.

    Attributes:
        name: What it is called in the data folder.
        url: Where it is had from; None where no address is known to answer.
        md5: Its checksum; None where none is known beyond doubt.
        page: The page that its users are sent to.
    """

    name: str
    url: str | None
    md5: str | None
    page: str

    def have(self, folder: Path, progress: Progress | None) -> Path:
        """Have it in a folder, from the network if need be.

        Args:
            folder: The data folder.
            progress: Called as it comes with the bytes there and in all.

        Returns:
            Its path.

        Raises:
            DownloadError: It is neither there nor to be had; the message says how else to get it.
            OSError: The folder cannot be written or the disk is full.
        """
        path = folder / self.name
        if self.url is not None:
            try:
                fetch(self.url, path, md5=self.md5, progress=progress)
            except DownloadError as error:
                raise DownloadError(f"{error}. Its page: {self.page}") from error
        elif not path.exists():
            raise DownloadError(
                f"{path} is missing, and no address is known that still has it. Two ways to get "
                f"it: by hand from what {self.page} links to, or from a colleague who has it; put "
                f"it into {folder} as {self.name}"
            )
        return path


class Stored(Drawn["_Rows"]):
    """Published images of known factors, read from the disk by their place in one large array.

    A subclass says what it is made of in the class attributes below, and has `_unpack` and
    `_published`. Images are moved as bytes, and made float and smaller on the factors' device.
    Pickles hold none.

    `draw`, `render` and `load` raise DownloadError where a file is neither there nor to be had; the
    message names the two ways to get it.

    Attributes:
        data_dir: The folder of the files.
        size: Height and width of the images, in pixels.
        shape: (channel, size, size).
        factor_sizes: How many values each factor has.
        factor_names: A name for each factor.
    """

    _names: ClassVar[tuple[str, ...]]
    _sizes: ClassVar[tuple[int, ...]]
    _channels: ClassVar[int] = 3
    _side: ClassVar[int] = 64
    # Factors from the one that changes most slowly along the array to the fastest.
    _order: ClassVar[tuple[int, ...] | None] = None

    def __init__(self, data_dir: str | Path | None = None, size: int = 64) -> None:
        """Describe the images; nothing is read or downloaded yet.

        Args:
            data_dir: The folder that holds the published files, or is to hold them; None is the one
                that the environment variable AXISWISE_DATA names, or ~/.cache/axiswise.
            size: Height and width of the images in pixels, from 1 to the published ones'; smaller
                ones are averaged by area.

        Raises:
            ValueError: `size` is no such number.
        """
        if not 1 <= size <= self._side:
            raise ValueError(f"size must be in 1 ... {self._side}, got {size}")
        super().__init__()
        self.data_dir = default_data_dir() if data_dir is None else Path(data_dir).expanduser()
        self.size = size
        self.shape = (self._channels, size, size)
        self.factor_sizes = self._sizes
        self.factor_names = self._names
        self._images: Pixels | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.data_dir)!r}, size={self.size})"

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_images": None}

    def is_here(self) -> bool:
        """Whether the files are in `data_dir`, published or unpacked, so that none is fetched."""
        published = (self.data_dir / file.name for file in self._published())
        return self._array_path.exists() or all(path.exists() for path in published)

    def load(self, progress: Progress | None = None) -> None:
        """Make the images ready, if that has not been done: download, check, unpack, map.

        Args:
            progress: Called with how much is done and of how much: bytes of each download, then
                images unpacked. The latter is None where the server does not say.

        Raises:
            DownloadError: A file is neither there nor to be had.
            UnreadableFileError: A file is damaged or not in the published layout.
            ImportError: A package that reads the files is missing; the message has the pip line.
            OSError: `data_dir` cannot be written or the disk is full.
        """
        if self._images is None:
            self._images = self._open(progress)

    def draw(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Choose `n` images at random: `sample_factors`, once the images are ready."""
        self.load()
        return super().draw(n, rng)

    @property
    def _array_path(self) -> Path:
        """Where unpacked images lie: a file that is there is whole and right."""
        return self.data_dir / f"{type(self).__name__.lower()}.images.npy"

    @property
    def _array_shape(self) -> tuple[int, ...]:
        return (math.prod(self.factor_sizes), self._side, self._side, self._channels)

    def _open(self, progress: Progress | None) -> Pixels:
        """The images, (image, height, width, channel), mapped into memory."""
        images = map_images(self._array_path, self._array_shape)
        if images is None:
            self._unpack(progress)
            images = map_images(self._array_path, self._array_shape)
        assert images is not None
        return images

    def _unpack(self, progress: Progress | None) -> None:
        """Make the file at `_array_path`."""
        raise NotImplementedError

    def _published(self) -> tuple[PublishedFile, ...]:
        """The files that it is made from."""
        raise NotImplementedError

    def _make_tables(self, device: torch.device) -> _Rows:
        self.load()
        assert self._images is not None
        strides = torch.empty(len(self.factor_sizes), dtype=torch.int64, device="cpu")
        step = 1
        for factor in reversed(self._order or range(len(self.factor_sizes))):
            strides[factor] = step
            step *= self.factor_sizes[factor]
        return _Rows(
            chunk=max(1, _CHUNK // math.prod(self._array_shape[1:])),
            images=self._images,
            strides=strides.to(device),
        )

    def _draw(self, factors: Tensor, images: Tensor, tables: _Rows) -> None:
        rows = (factors * tables.strides).sum(1)
        pixels = torch.from_numpy(tables.images[rows.cpu().numpy()]).to(factors.device)
        grey = pixels.permute(0, 3, 1, 2).to(torch.float32) / 255
        images.copy_(shrink(grey, self.size))


@dataclass(frozen=True)
class _Rows:
    """What drawing looks up on one device.

    Attributes:
        chunk: How many images to draw in one go.
        images: (image, height, width, channel) uint8, mapped from the disk.
        strides: (factor,), how many images further the next value of a factor is.
    """

    chunk: int
    images: Pixels
    strides: Tensor


def array_layout(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of an .npy stream, which is left at the data.

    Args:
        stream: At its beginning.

    Returns:
        Shape, whether columns come first (Fortran's order), and type.

    Raises:
        ValueError: It is no such stream.
    """
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def map_images(path: Path, shape: tuple[int, ...]) -> Pixels | None:
    """Map an unpacked file into memory.

    Args:
        path: A file that `unpacking` has made.
        shape: (image, height, width, channel).

    Returns:
        Its images; None where there is no such file, or it is damaged.
    """
    if not path.exists():
        return None
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError):
        return None
    right = images.dtype == np.uint8 and images.shape == shape
    return np.asarray(images) if right else None


@contextmanager
def unpacking(path: Path, shape: tuple[int, ...]) -> Iterator[Pixels]:
    """Fill a large .npy file, which takes its name only once it is whole.

    Args:
        path: Where to.
        shape: (image, height, width, channel).

    Yields:
        The images to fill, uint8, mapped to a temporary file.

    Raises:
        OSError: The folder cannot be written or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with naming(temporary), temporary.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.flush()
            # A disk that fills up under a mapped file would end the process: take all room now.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), file.tell(), math.prod(shape))
            file.truncate(file.tell() + math.prod(shape))
        images = np.lib.format.open_memmap(temporary, mode="r+")
        yield images
        images.flush()
        del images
        with naming(path):
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
