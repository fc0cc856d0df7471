"""dSprites as it was published, downloaded once (Matthey, Higgins, Hassabis & Lerchner 2017)."""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from axiswise.data.canvas import Drawn
from axiswise.data.download import Progress, default_data_dir, fetch
from axiswise.data.stored import array_layout
from axiswise.support.files import UnreadableFileError, write_atomically

_SIDE = 64  # of the published images, in pixels
_SIZES = (16, 32, 64)
_CHUNK = 2**22  # floats that each step of drawing may handle at once
_UNPACKED = 4096  # images unpacked at once: 16 MiB

_Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Published:
    """A file in dSprites' layout: an archive with `imgs` and `latents_classes`, among others."""

    name: str
    url: str
    sha256: str
    factor_sizes: tuple[int, ...]


_NAME = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
_PUBLISHED = _Published(
    name=_NAME,
    url=f"https://raw.githubusercontent.com/google-deepmind/dsprites-dataset/master/{_NAME}",
    # The SHA-256 that two unrelated projects record for this file. Others record its MD5,
    # 7da33b31b13a06f4b04a70402ce90c2e.
    sha256="857dc001287e8efa226e0025fac6b29e5745c621b380b0d3363e4e33f4e28fa2",
    factor_sizes=(1, 3, 6, 40, 32, 32),
)


class DSprites(Drawn["_Table"]):
    """The 737,280 published images: white squares, ellipses and hearts on black, of 0 and 1.

    The factors, in the published order: colour (1 value), shape (square, ellipse, heart), scale (6,
    from 0.5 to 1), orientation (40, from 0 to a whole turn with both ends, so that the last looks
    like the first), x (32, to the right) and y (32, downwards). :class:`axiswise.data.Sprites` is
    much the same with nothing to download.

    The published file (26 MB) is taken from `data_dir`, or downloaded into it, by `load` or at
    first use. Its checksum is verified and its images are unpacked, at one bit for each pixel, into
    a second file beside it (377 MB), which is mapped into memory from then on: the published file
    is then not looked at again. Pickles hold no images.

    `draw`, `render` and `load` raise DownloadError where the file is neither there nor to be had;
    the message names the two ways to get it.

    Attributes:
        data_dir: The folder of both files.
        size: Height and width of the images, in pixels.
        shape: (1, size, size).
        factor_sizes: (1, 3, 6, 40, 32, 32).
        factor_names: ("colour", "shape", "scale", "orientation", "x", "y").
    """

    _published: ClassVar[_Published] = _PUBLISHED

    def __init__(self, data_dir: str | Path | None = None, size: int = 64) -> None:
        """Describe the images; nothing is read or downloaded yet.

        Args:
            data_dir: The folder that holds the published file, or is to hold it; None is the one
                that the environment variable AXISWISE_DATA names, or ~/.cache/axiswise.
            size: Height and width of the images in pixels: 64, or 32 or 16, whose pixels are the
                means of 2 × 2 or 4 × 4 published ones.

        Raises:
            ValueError: `size` is no such number.
        """
        if size not in _SIZES:
            raise ValueError(f"size must be 16, 32 or 64, got {size}")
        super().__init__()
        self.data_dir = default_data_dir() if data_dir is None else Path(data_dir).expanduser()
        self.size = size
        self.shape = (1, size, size)
        self.factor_sizes = self._published.factor_sizes
        self.factor_names = ("colour", "shape", "scale", "orientation", "x", "y")
        self._bits: _Bits | None = None

    def __repr__(self) -> str:
        return f"DSprites({str(self.data_dir)!r}, size={self.size})"

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_bits": None}

    def load(self, progress: Progress | None = None) -> None:
        """Make the images ready, if that has not been done: download, verify, unpack, map.

        Args:
            progress: Called during a download with the number of bytes there and in all; the latter
                is None where the server does not say.

        Raises:
            DownloadError: The file is neither there nor to be had.
            UnreadableFileError: The file is not in dSprites' layout.
            OSError: `data_dir` cannot be written or the disk is full.
        """
        if self._bits is not None:
            return
        count = math.prod(self.factor_sizes)
        archive, path = self._paths
        self._bits = _map(path, count)
        if self._bits is None:
            fetch(self._published.url, archive, sha256=self._published.sha256, progress=progress)
            write_atomically(path, _unpack(archive, self.factor_sizes))
            self._bits = _map(path, count)

    def is_here(self) -> bool:
        """Whether the file is in `data_dir`, published or unpacked, so that it is not fetched."""
        return any(path.exists() for path in self._paths)

    @property
    def _paths(self) -> tuple[Path, Path]:
        """The published file and the unpacked one."""
        archive = self.data_dir / self._published.name
        # Only verified images are unpacked, and whole: a file of this name vouches for itself.
        return archive, archive.with_name(f"{archive.stem}.{self._published.sha256[:8]}.bits.npy")

    def draw(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Choose `n` images at random: `sample_factors`, once the images are ready."""
        self.load()
        return super().draw(n, rng)

    def _make_tables(self, device: torch.device) -> _Table:
        self.load()
        assert self._bits is not None
        sizes = torch.tensor((*self.factor_sizes[1:], 1), dtype=torch.int64, device="cpu")
        strides = sizes.flip(0).cumprod(0).flip(0)  # the last factor runs fastest
        pixels = torch.from_numpy(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1))
        return _Table(
            size=self.size,
            chunk=_CHUNK // _SIDE**2,
            bits=self._bits,
            strides=strides.to(device),
            means=pixels.to(device, torch.float32).unflatten(1, (-1, _SIDE // self.size)).mean(2),
        )

    def _draw(self, factors: Tensor, images: Tensor, tables: _Table) -> None:
        _draw(factors, images, tables)


@dataclass(frozen=True)
class _Table:
    """What drawing looks up on one device.

    Attributes:
        size: Height and width of the images.
        chunk: How many images to draw in one go.
        bits: (image, 512) uint8, all images, one bit a pixel, mapped from the disk.
        strides: (factor,), how many images further the next value of a factor is.
        means: (256, 8·size / 64) float32, the pixels that a byte stands for, or their means where
            several side by side become one.
    """

    size: int
    chunk: int
    bits: _Bits
    strides: Tensor
    means: Tensor


def _draw(factors: Tensor, images: Tensor, table: _Table) -> None:
    """Write the images of `factors`, (n, factor), into `images`, (n, 1, size, size)."""
    rows = (factors * table.strides).sum(1)
    # Moved as bits, a thirty-second of the floats.
    bits = torch.from_numpy(table.bits[rows.cpu().numpy()]).to(factors.device)
    bytes_ = bits.view(-1).to(torch.int32)
    if table.size == _SIDE:
        torch.index_select(table.means, 0, bytes_, out=images.view(-1, 8))
    else:
        means = table.means.index_select(0, bytes_)  # of pixels side by side; one above another:
        torch.mean(means.view(*images.shape[:3], -1, table.size), dim=3, out=images)


def _map(path: Path, count: int) -> _Bits | None:
    """The unpacked images, (count, 512); None where there is no such file or it is damaged."""
    if not path.exists():
        return None
    try:
        bits = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError):
        return None
    right = bits.dtype == np.uint8 and bits.shape == (count, _SIDE**2 // 8)
    return np.asarray(bits) if right else None


def _unpack(archive: Path, factor_sizes: tuple[int, ...]) -> bytes:
    """The images of the published file, one bit a pixel, as the content of an .npy file.

    Nothing of the archive's `metadata` is touched: it is pickled.
    """
    count = math.prod(factor_sizes)
    content = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, _SIDE**2 // 8)}
    np.lib.format.write_array_header_1_0(content, header)
    with zipfile.ZipFile(archive) as members:
        with members.open("latents_classes.npy") as member:
            classes = np.lib.format.read_array(member, allow_pickle=False)
        expected = np.stack(np.unravel_index(np.arange(count), factor_sizes), axis=1)
        if not np.array_equal(classes, expected):
            raise UnreadableFileError(
                f"{archive}: latents_classes must count through factors of sizes {factor_sizes}, "
                "the last one fastest"
            )
        with members.open("imgs.npy") as member:
            layout = array_layout(member)
            if layout != ((count, _SIDE, _SIDE), False, np.dtype(np.uint8)):
                raise UnreadableFileError(
                    f"{archive}: imgs must be {count} images of {_SIDE} × {_SIDE} uint8, "
                    f"got shape {layout[0]} of {layout[2]}"
                )
            for start in range(0, count, _UNPACKED):  # all of it at once would take 3 GB
                images = min(_UNPACKED, count - start)
                pixels = np.frombuffer(member.read(images * _SIDE**2), np.uint8)
                if len(pixels) != images * _SIDE**2 or pixels.max() > 1:
                    raise UnreadableFileError(f"{archive}: imgs must be whole, and of 0 and 1")
                content.write(np.packbits(pixels).tobytes())
    return content.getvalue()
