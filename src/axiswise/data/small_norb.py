"""SmallNORB as it was published, downloaded once (LeCun, Huang & Bottou, CVPR 2004)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from axiswise.data.family import data_set
from axiswise.data.stored import PublishedFile, Stored, check_layout, unpacking
from axiswise.support.files import UnreadableFileError
from axiswise.support.progress import Progress

_PAGE = "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/"
_TYPES: dict[int, npt.DTypeLike] = {0x1E3D4C55: np.dtype("u1"), 0x1E3D4C54: np.dtype("<i4")}
# The halves that were published as training and test set, with MD5 checksums as several unrelated
# projects record them.
_HALVES = {
    "smallnorb-5x46789x9x18x6x2x96x96-training": {
        "dat": "66054832f9accfe74a0f4c36a75bc0a2",
        "cat": "23c8b86101fbf0904a000b43d3ed2fd9",
        "info": "51dee1210a742582ff607dfd94e332e3",
    },
    "smallnorb-5x01235x9x18x6x2x96x96-testing": {
        "dat": "e4ad715691ed5a3a5f138751a4ceb071",
        "cat": "5aa791cd7e6016cf957ce9bdb93b8603",
        "info": "a9454f3864d7fd4bb3ea7fc3eb84924e",
    },
}


def _half(stem: str, checksums: dict[str, str]) -> dict[str, PublishedFile]:
    names = {kind: f"{stem}-{kind}.mat.gz" for kind in checksums}
    return {
        kind: PublishedFile(name, f"{_PAGE}{name}", _PAGE, checksums[kind], most=2**29)
        for kind, name in names.items()
    }


@data_set("SmallNORB", licence="for research")
class SmallNORB(Stored):
    """The 48,600 published views, of 50 toys, by the left camera: grey, 96 × 96 pixels.

    The factors: category (animal, human, plane, truck, car), instance (10 toys of each), elevation
    (9 values), azimuth (18, over a whole turn) and lighting (6). The published training and test
    sets, of five instances each, are taken together. disentanglement_lib hides the instance and
    draws it at random; here it is a factor like the others.

    The six published files (`smallnorb-…mat.gz`) are verified by MD5; unpacked: 448 MB.
    """

    unordered = ("instance",)
    _names: ClassVar = ("category", "instance", "elevation", "azimuth", "lighting")
    _sizes: ClassVar = (5, 10, 9, 18, 6)
    _channels: ClassVar = 1
    _side: ClassVar = 96
    _halves: ClassVar[tuple[dict[str, PublishedFile], ...]] = tuple(
        _half(stem, checksums) for stem, checksums in _HALVES.items()
    )

    def _published(self) -> tuple[PublishedFile, ...]:
        return tuple(file for half in self._halves for file in half.values())

    def _unpack(self, progress: Progress) -> None:
        halves = [
            {kind: file.have(self.data_dir, progress) for kind, file in half.items()}
            for half in self._halves
        ]
        count = math.prod(self.factor_sizes)
        found = np.zeros(count, bool)
        with unpacking(self._array_path, self._array_shape) as images:
            for half in halves:
                pairs = read_matrix(half["dat"])
                allowed = (*pairs.shape[:1], 2, self._side, self._side)
                check_layout(str(half["dat"]), pairs.shape, pairs.dtype, allowed)
                rows = self._rows(half, len(pairs))
                images[rows] = pairs[:, 0, :, :, None]
                found[rows] = True
                progress(int(found.sum()), count)
            if not found.all():
                raise UnreadableFileError(
                    f"the files in {self.data_dir} must have each of {count} combinations of "
                    f"factors, got {int(found.sum())}"
                )

    def _rows(self, half: dict[str, Path], count: int) -> npt.NDArray[np.int64]:
        """The place of each image of a half, by its factors."""
        category, info = read_matrix(half["cat"]), read_matrix(half["info"])
        if category.shape != (count,) or info.shape != (count, 4):
            raise UnreadableFileError(
                f"{half['cat']} and {half['info']} must have 1 and 4 numbers for each of {count} "
                f"images, got shapes {category.shape} and {info.shape}"
            )
        factors = np.column_stack([category, info]).astype(np.int64).T
        factors[3] //= 2  # azimuths are published as 0, 2, … 34
        try:
            rows = np.ravel_multi_index(tuple(factors), self.factor_sizes)
        except ValueError as error:
            raise UnreadableFileError(
                f"{half['cat']} and {half['info']} must have factors within {self.factor_sizes}"
            ) from error
        return np.asarray(rows, np.int64)


def read_matrix(path: Path) -> npt.NDArray[Any]:
    """A matrix in the format of NORB's page: bytes or 32-bit integers, gzipped."""
    try:
        with gzip.open(path) as file:
            content = file.read()
        magic, dimensions = struct.unpack_from("<Ii", content)
        # Three sizes are there at least; those beyond the dimensions have no meaning.
        sizes = struct.unpack_from(f"<{max(3, dimensions)}i", content, 8)
        values: npt.NDArray[Any] = np.frombuffer(content, _TYPES[magic], offset=8 + 4 * len(sizes))
        return values.reshape(sizes[:dimensions])
    except (EOFError, KeyError, ValueError, struct.error, gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableFileError(f"{path} is no matrix as NORB has them: {error}") from error
