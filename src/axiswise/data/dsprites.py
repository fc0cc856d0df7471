"""dSprites as it was published, downloaded once (Matthey, Higgins, Hassabis & Lerchner 2017)."""

from __future__ import annotations

import math
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from axiswise.data.family import data_set
from axiswise.data.stored import PublishedFile, Stored, check_header, copy_into, unpacking
from axiswise.support.files import UnreadableFileError
from axiswise.support.progress import Progress

_SIDE = 64  # of the published images, in pixels

_NAME = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
_FILE = PublishedFile(
    name=_NAME,
    url=f"https://raw.githubusercontent.com/google-deepmind/dsprites-dataset/master/{_NAME}",
    page="https://github.com/google-deepmind/dsprites-dataset",
    # The SHA-256 that two unrelated projects record for this file. Others record its MD5,
    # 7da33b31b13a06f4b04a70402ce90c2e.
    sha256="857dc001287e8efa226e0025fac6b29e5745c621b380b0d3363e4e33f4e28fa2",
    most=2**25,
)


@data_set("DSprites", licence="Apache 2.0")
class DSprites(Stored):
    """The 737,280 published images: white squares, ellipses and hearts on black, of 0 and 1.

    The factors, in the published order: colour (1 value), shape (square, ellipse, heart), scale (6,
    from 0.5 to 1), orientation (40, from 0 to a whole turn with both ends, so that the last looks
    like the first), x (32, to the right) and y (32, downwards). :class:`axiswise.data.Sprites` is
    much the same with nothing to download.

    The published file (26 MB) is verified by SHA-256; unpacked, at one bit a pixel: 377 MB.

    Args:
        data_dir: Folder of the published file, where it is or is to go; None is the one that the
            environment variable AXISWISE_DATA names, or ~/.cache/axiswise.
        size: Height and width of the images in pixels: 64, or 32 or 16, whose pixels are the means
            of 2 × 2 or 4 × 4 published ones.

    Raises:
        ValueError: `size` is no such number.
    """

    _names: ClassVar = ("colour", "shape", "scale", "orientation", "x", "y")
    _sizes: ClassVar = (1, 3, 6, 40, 32, 32)
    _channels: ClassVar = 1
    _file: ClassVar[PublishedFile] = _FILE

    def __init__(self, data_dir: str | Path | None = None, size: int = 64) -> None:
        if size not in (16, 32, 64):
            raise ValueError(f"size must be 16, 32 or 64, got {size}")
        super().__init__(data_dir, size)

    @property
    def _array_path(self) -> Path:
        return self.data_dir / f"{Path(_NAME).stem}.{str(self._file.sha256)[:8]}.bits.npy"

    @property
    def _array_shape(self) -> tuple[int, ...]:
        return (math.prod(self.factor_sizes), _SIDE**2 // 8)  # one bit a pixel

    def _decode(self, rows: Tensor, images: Tensor) -> None:
        # Copied as bits, a thirty-second of the floats.
        bytes_, means = rows.view(-1).to(torch.int32), _means(self.size, rows.device)
        if self.size == _SIDE:
            torch.index_select(means, 0, bytes_, out=images.view(-1, 8))
        else:
            across = means.index_select(0, bytes_)  # of pixels side by side; one above another:
            torch.mean(across.view(*images.shape[:3], -1, self.size), dim=3, out=images)

    def _unpack(self, progress: Progress) -> None:
        """Nothing of the archive's `metadata` is touched: it is pickled."""
        path = self._file.have(self.data_dir, progress)
        count = math.prod(self.factor_sizes)
        with zipfile.ZipFile(path) as members:
            with members.open("latents_classes.npy") as member:
                classes = np.lib.format.read_array(member, allow_pickle=False)
            expected = np.stack(np.unravel_index(np.arange(count), self.factor_sizes), axis=1)
            if not np.array_equal(classes, expected):
                raise UnreadableFileError(
                    f"{path}: latents_classes must count through factors of sizes "
                    f"{self.factor_sizes}, the last one fastest"
                )
            with (
                members.open("imgs.npy") as member,
                unpacking(self._array_path, self._array_shape) as bits,
            ):
                check_header(member, f"{path}: imgs", (count, _SIDE, _SIDE))

                def read(_: int, number: int) -> npt.ArrayLike:
                    pixels = np.frombuffer(member.read(number * _SIDE**2), np.uint8)
                    if len(pixels) != number * _SIDE**2 or pixels.max() > 1:
                        raise UnreadableFileError(f"{path}: imgs must be whole, and of 0 and 1")
                    return np.packbits(pixels).reshape(number, -1)

                copy_into(bits, read, progress)


@lru_cache
def _means(size: int, device: torch.device) -> Tensor:
    """(256, 8·size / 64), the pixels that a byte stands for, or their means side by side."""
    pixels = torch.from_numpy(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1))
    blocks = pixels.to(device, torch.float32).unflatten(1, (-1, _SIDE // size))
    return torch.mean(blocks, dim=2)
