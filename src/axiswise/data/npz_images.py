"""Images from a NumPy archive of your own, with or without known factors."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from axiswise.data.factors import KnownFactors, check_factors
from axiswise.data.family import YOURS, data_set
from axiswise.data.indexed import Indexed, check_memory
from axiswise.data.stored import array_layout
from axiswise.support.files import UnreadableFileError
from axiswise.support.progress import Progress

_FACTORS = ("factors", "latents_classes")


@data_set("NpzImages", licence=YOURS, variants={})
class NpzImages(Indexed):
    """The images of an .npz file, without looking at any factors.

    They are the array `images`: (image, height, width) or (image, height, width, channel) with 1 or
    3 channels, either uint8 or floating in [0, 1], which is rounded to 255ths. All are read into
    memory, a byte for each pixel and channel, 16 GiB at most. Nothing pickled is loaded.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is no `path`.
        UnreadableFileError: It is no such file.
        ValueError: The images are too many for memory.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        found = _layout(self.path)
        self.shape = (found[3] if len(found) == 4 else 1, found[1], found[2])
        check_memory(f"path {str(self.path)!r}", found[0], self.shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def _read(self, progress: Progress) -> Tensor:
        images = _array(self.path, "images")
        if images.dtype != np.uint8:
            lowest, highest = float(images.min()), float(images.max())
            if not (lowest >= 0 and highest <= 1):  # so that NaN is refused too
                raise UnreadableFileError(
                    f"{self.path}: images that are not uint8 must lie in [0, 1], got values from "
                    f"{lowest:g} to {highest:g}"
                )
            images = (images * 255).round().astype(np.uint8)
        channels_last = torch.from_numpy(images).view(len(images), *self.shape[1:], self.shape[0])
        progress(len(images), len(images))
        return channels_last.permute(0, 3, 1, 2).contiguous()


@data_set("NpzFactorData", licence=YOURS, variants={})
class NpzFactorData(KnownFactors, NpzImages):
    """The images of an .npz file whose factors are known, each combination of them once.

    As :class:`NpzImages`; in addition the array `factors`, or `latents_classes` as dSprites calls
    it, has a row of integers from 0 on for each image: (image, factor). How many values a factor
    has is read off it.

    Args:
        path: The file.
        factor_names: A name for each factor; None calls them "factor 0" and so on.

    Raises:
        FileNotFoundError: There is no `path`.
        UnreadableFileError: It is no such file, or some combination is missing or twice there.
        ValueError: The images are too many for memory, or `factor_names` has another length.
    """

    def __init__(self, path: str | Path, factor_names: Sequence[str] | None = None) -> None:
        super().__init__(path)
        factors = _factors(self.path, _layout(self.path)[0])
        self.factor_sizes = tuple(int(values) + 1 for values in factors.max(0))
        given = factor_names or [f"factor {index}" for index in range(factors.shape[1])]
        if len(given) != factors.shape[1]:
            raise ValueError(
                f"factor_names must have a name for each of {factors.shape[1]} factors, "
                f"got {len(given)}"
            )
        self.factor_names = tuple(given)
        self._places = _places(self.path, factors, self.factor_sizes)

    def render(self, factors: Tensor) -> Tensor:
        """Look up the images that have these factors, (n, factor), as by `FactorData.render`."""
        factors = check_factors(factors, self.factor_sizes).cpu()
        places = np.ravel_multi_index(tuple(factors.numpy().T), self.factor_sizes)
        index = self._places[torch.from_numpy(np.asarray(places))]
        return super().render(index.to(factors.device))


def _layout(path: Path) -> tuple[int, ...]:
    """The shape of `images`, of which nothing is read."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("images.npy") as file:
            shape, _, kind = array_layout(file)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UnreadableFileError(
            f"path {str(path)!r} must be an .npz file with an array `images`: {error}"
        ) from error
    fits = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))
    if not fits or 0 in shape or not (kind == np.uint8 or kind.kind == "f"):
        raise UnreadableFileError(
            f"{path}: images must be (image, height, width) or (image, height, width, 1 or 3) of "
            f"uint8 or floating numbers, got {kind} of shape {shape}"
        )
    return shape


def _array(path: Path, name: str) -> npt.NDArray[Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return np.asarray(archive[name])
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise UnreadableFileError(f"{path}: {name} cannot be read: {error}") from error


def _factors(path: Path, count: int) -> npt.NDArray[np.int64]:
    with zipfile.ZipFile(path) as archive:
        there = [name for name in _FACTORS if f"{name}.npy" in archive.namelist()]
    if not there:
        raise UnreadableFileError(f"{path} must have an array `factors` or `latents_classes`")
    factors = _array(path, there[0])
    if factors.ndim != 2 or len(factors) != count or factors.dtype.kind not in "iu":
        raise UnreadableFileError(
            f"{path}: {there[0]} must be {count} rows of integers, one for each image, got "
            f"{factors.dtype} of shape {factors.shape}"
        )
    if factors.min() < 0:
        raise UnreadableFileError(f"{path}: {there[0]} must be 0 or more, got {factors.min()}")
    return factors.astype(np.int64)


def _places(path: Path, factors: npt.NDArray[np.int64], sizes: tuple[int, ...]) -> Tensor:
    """The image of each combination, the last factor running fastest."""
    rows = np.ravel_multi_index(tuple(factors.T), sizes)
    distinct = len(np.unique(rows))
    if not distinct == len(rows) == math.prod(sizes):
        raise UnreadableFileError(
            f"{path}: each of the {math.prod(sizes)} combinations of factors of sizes {sizes} must "
            f"be there once, got {distinct} of them in {len(rows)} images; NpzImages takes any"
        )
    return torch.from_numpy(np.argsort(rows))
