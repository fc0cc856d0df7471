"""Arrays in .npz and .npy files of anyone's: found and read in parts, with nothing unpickled."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from axiswise.support.files import UnreadableFileError

_MOST_HEADER = 10_000  # bytes; NumPy's own limit, which it checks after reading
_START = b"\x93NUMPY"
_END = ".npy"
_PART = 2**24  # bytes that are read in one go


@dataclass(frozen=True)
class Layout:
    """What an array's header says: its shape, its type, and whether columns come first."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    columns_first: bool

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype}"


def array_layout(stream: IO[bytes]) -> Layout:
    """Read the header of an .npy stream, whose array follows.

    Raises:
        ValueError: It has none.
    """
    start = stream.read(8)
    width = 2 if start[6:7] == b"\x01" else 4
    length = stream.read(width)
    if int.from_bytes(length, "little") > _MOST_HEADER:
        raise ValueError(f"its header is longer than {_MOST_HEADER} bytes")
    header = io.BytesIO(start + length + stream.read(int.from_bytes(length, "little")))
    try:
        old = np.lib.format.read_magic(header) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
        shape, columns_first, dtype = read(header)
    except (RecursionError, MemoryError) as error:  # of nested brackets
        raise ValueError("its header cannot be parsed") from error
    if min(shape, default=1) < 0:
        raise ValueError(f"its shape is {shape}")
    return Layout(shape, dtype, columns_first)


def array_layouts(path: Path) -> dict[str, Layout]:
    """The arrays of an .npz file by name, or the one of an .npy file, which is called "".

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFileError: It is no such file.
    """
    if path.exists() and not path.is_file():
        raise UnreadableFileError(f"path {str(path)!r} must be an .npz or .npy file")
    with _reading(path, "must be an .npz or .npy file"):
        if _is_single(path):
            with path.open("rb") as file:
                return {"": array_layout(file)}
        with zipfile.ZipFile(path) as archive:
            layouts = {}
            for member in archive.namelist():
                if member.endswith(_END):
                    with archive.open(member) as file:
                        layouts[member.removesuffix(_END)] = array_layout(file)
            return layouts


def read_rows(path: Path, name: str, layout: Layout) -> Iterator[npt.NDArray[Any]]:
    """Read an array in parts of some megabytes, along its first axis.

    Args:
        path: The file.
        name: The array, as by `array_layouts`.
        layout: Its layout there: of numbers, and with no axis of length 0.

    Raises:
        UnreadableFileError: The array is damaged, or another one by now.
    """
    with _reading(path, f"has an array {name!r} that cannot be read"), _opened(path, name) as file:
        if array_layout(file) != layout:
            raise ValueError("it has changed")
        each = math.prod(layout.shape[1:])
        rows = max(1, _PART // (each * layout.dtype.itemsize))
        if layout.columns_first:
            whole = _numbers(file, layout, layout.shape[::-1]).T
            yield from (whole[start : start + rows] for start in range(0, len(whole), rows))
            return
        for start in range(0, layout.shape[0], rows):
            count = min(rows, layout.shape[0] - start)
            yield _numbers(file, layout, (count, *layout.shape[1:]))


def read_array(path: Path, name: str) -> npt.NDArray[Any]:
    """Read an array whole, of any shape.

    Raises:
        UnreadableFileError: The array is damaged, or of pickled objects, which are never loaded.
    """
    with _reading(path, f"has an array {name!r} that cannot be read"), _opened(path, name) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _numbers(file: IO[bytes], layout: Layout, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The next numbers of a stream."""
    needed = math.prod(shape) * layout.dtype.itemsize
    content = file.read(needed)
    if len(content) < needed:
        raise ValueError("it is cut short")
    return np.frombuffer(content, layout.dtype).reshape(shape)


def _is_single(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_START)) == _START


@contextmanager
def _opened(path: Path, name: str) -> Iterator[IO[bytes]]:
    if _is_single(path):
        with path.open("rb") as file:
            yield file
    else:
        with zipfile.ZipFile(path) as archive, archive.open(name + _END) as member:
            yield member


@contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    """Within it, whatever a damaged file makes its readers raise is an UnreadableFileError."""
    try:
        yield
    except (OSError, UnreadableFileError):
        raise
    except Exception as error:
        raise UnreadableFileError(f"path {str(path)!r} {what}: {error}") from error
