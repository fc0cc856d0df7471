"""The base of published data sets: an array of images in a fixed order, downloaded once."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from axiswise.data.download import MOST, DownloadError, default_data_dir, fetch
from axiswise.data.drawn import Drawn
from axiswise.data.resizing import shrink
from axiswise.support.checks import check_count
from axiswise.support.files import UnreadableFileError, naming
from axiswise.support.npz import array_layout
from axiswise.support.progress import Progress, no_progress

_UNPACKED = 4096  # images that are unpacked in one go
_CHUNK = 2**22  # floats that each step of drawing may handle at once

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PublishedFile:
    """A file of a data set; a checksum or address that is not known for certain is None."""

    name: str
    url: str | None
    page: str
    md5: str | None = None
    sha256: str | None = None
    most: int = MOST  # bytes, well above its size

    def have(self, folder: Path, progress: Progress) -> Path:
        """Its path in the data folder, fetched from the network if need be."""
        path = folder / self.name
        if self.url is not None:
            try:
                fetch(
                    self.url,
                    path,
                    sha256=self.sha256,
                    md5=self.md5,
                    most=self.most,
                    progress=progress,
                )
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

    A subclass sets the class attributes below, and has `_unpack`. Images are read and copied to the
    factors' device as bytes, and become floats and smaller there. Pickles contain none.

    Published files are taken from `data_dir`, or downloaded into it, by `load` or at first use.
    They are checked and the images are unpacked into a second file beside them, which is mapped
    into memory from then on; the published files are not read again. The progress of `load` counts
    bytes of each download, then images unpacked.

    `draw`, `render` and `load` raise DownloadError where a file is neither there nor on the network
    (the message names two ways to get it), UnreadableFileError where it is damaged or has another
    layout, ImportError where a package that reads it is missing, and OSError where `data_dir`
    cannot be written.

    Args:
        data_dir: Folder of the published files, where they are or are to go; None is the one that
            the environment variable AXISWISE_DATA names, or ~/.cache/axiswise.
        size: Height and width of the images in pixels, from 1 to the published ones'; smaller ones
            are averaged by area.

    Raises:
        ValueError: `size` is no such number.
    """

    _names: ClassVar[tuple[str, ...]]
    _sizes: ClassVar[tuple[int, ...]]
    _channels: ClassVar[int] = 3
    _side: ClassVar[int] = 64
    # Factors from the one that changes most slowly along the array to the fastest.
    _order: ClassVar[tuple[int, ...] | None] = None
    _file: ClassVar[PublishedFile]

    def __init__(self, data_dir: str | Path | None = None, size: int = 64) -> None:
        check_count("size", size, 1, self._side)
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

    def load(self, progress: Progress = no_progress) -> None:
        """Make the images ready, if that has not been done: download, check, unpack, map."""
        if self._images is None:
            self._images = self._open(progress)

    @property
    def _array_path(self) -> Path:
        """The file of unpacked images, which is written whole and verified."""
        return self.data_dir / f"{type(self).__name__.lower()}.images.npy"

    @property
    def _array_shape(self) -> tuple[int, ...]:
        return (math.prod(self.factor_sizes), self._side, self._side, self._channels)

    def _open(self, progress: Progress) -> Pixels:
        """The images, of `_array_shape`, mapped into memory."""
        images = map_images(self._array_path, self._array_shape)
        if images is None:
            self._unpack(progress)
            images = map_images(self._array_path, self._array_shape)
        assert images is not None
        return images

    def _unpack(self, progress: Progress) -> None:
        """Make the file at `_array_path`."""
        raise NotImplementedError

    def _published(self) -> tuple[PublishedFile, ...]:
        """The files that it is made from."""
        return (self._file,)

    def _make_tables(self, device: torch.device) -> _Rows:
        self.load()
        assert self._images is not None
        strides = torch.empty(len(self.factor_sizes), dtype=torch.int64, device="cpu")
        step = 1
        for factor in reversed(self._order or range(len(self.factor_sizes))):
            strides[factor] = step
            step *= self.factor_sizes[factor]
        return _Rows(
            chunk=max(1, _CHUNK // (self._side**2 * self._channels)),
            images=self._images,
            strides=strides.to(device),
        )

    def _draw(self, factors: Tensor, images: Tensor, tables: _Rows) -> None:
        rows = (factors * tables.strides).sum(1)
        self._decode(torch.from_numpy(tables.images[rows.cpu().numpy()]).to(factors.device), images)

    def _decode(self, rows: Tensor, images: Tensor) -> None:
        """Write rows of the array, (n, …) uint8, as images into `images`, (n, *shape)."""
        images.copy_(shrink(rows.permute(0, 3, 1, 2).to(torch.float32) / 255, self.size))


@dataclass(frozen=True)
class _Rows:
    """What drawing looks up on one device."""

    chunk: int  # images to draw in one go
    images: Pixels  # of `_array_shape`, mapped from the disk
    strides: Tensor  # (factor,), distance in images between neighbouring values of a factor


def check_header(stream: IO[bytes], what: str, allowed: tuple[int, ...]) -> None:
    """Read the header of an .npy stream and refuse another layout; the array's bytes follow."""
    try:
        found = array_layout(stream)
    except ValueError as error:
        raise UnreadableFileError(f"{what} is no NumPy array: {error}") from error
    kind = f"{found.dtype}, columns first," if found.columns_first else found.dtype
    check_layout(what, found.shape, kind, allowed)


def map_images(path: Path, shape: tuple[int, ...]) -> Pixels | None:
    """The array of an unpacked file, mapped; None where there is none of this shape or whole."""
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
    """An array to fill, uint8, mapped to a temporary file that takes its name once it is whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with naming(temporary), temporary.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.flush()
            # A full disk under a mapped file would kill the process: reserve all space now.
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


def copy_into(
    images: Pixels, read: Callable[[int, int], npt.ArrayLike], progress: Progress
) -> None:
    """Fill `images` part by part, as all at once may not fit; `read` takes start and number."""
    for start in range(0, len(images), _UNPACKED):
        part = images[start : start + _UNPACKED]
        part[:] = read(start, len(part))
        progress(start + len(part), len(images))


def check_layout(what: str, shape: tuple[int, ...], kind: object, allowed: tuple[int, ...]) -> None:
    """Refuse an array of a published file that is not uint8 of the shape that is allowed."""
    if shape != allowed or str(kind) != "uint8":
        raise UnreadableFileError(f"{what} must be uint8 of shape {allowed}, got {kind} of {shape}")


def read_matlab(file: Path | IO[bytes], what: str, name: str) -> npt.NDArray[Any]:
    """An array of a MATLAB file, which errors call `what`."""
    from scipy.io import loadmat

    try:
        return np.asarray(loadmat(file, variable_names=[name])[name])
    except Exception as error:  # damaged files make the reader raise almost anything
        raise UnreadableFileError(
            f"{what} has no array {name} that can be read: {error}"
        ) from error
