"""Images from a NumPy archive of your own, with or without known factors."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from axiswise.data import indexed
from axiswise.data.factors import KnownFactors, check_factors
from axiswise.data.family import YOURS, data_set
from axiswise.data.indexed import Indexed, check_memory, check_size
from axiswise.data.levels import kind_of
from axiswise.data.pictures import name_some, to_square, to_tensor
from axiswise.support.files import UnreadableFileError
from axiswise.support.npz import Layout, array_layouts, read_rows
from axiswise.support.progress import Progress

# Names of arrays of images in files of others: of training images where there are others too.
_USUAL = re.compile(
    r"images?|imgs?|x|data|train|x_train|train_x|train_images|images_train|arr_\d+", re.IGNORECASE
)
_FACTORS = ("factors", "latents_classes")
_CHANNELS = (1, 3)


@data_set("NpzImages", licence=YOURS, variants={})
class NpzImages(Indexed):
    """The images of an .npz or .npy file, without looking at any factors.

    They are an array (image, height, width), (image, height, width, channel) or (image, channel,
    height, width) with 1 or 3 channels, of booleans, integers or floating numbers. All are read
    into memory, a byte for each pixel and channel, 16 GiB at most. Nothing pickled is loaded.

    By default all images together decide which values are black and white, as by
    :class:`axiswise.data.ImageFolder`.

    Args:
        path: The file.
        array: The array's name in an .npz file. None takes `images`, else, with a warning, the only
            one that is called as images often are (`imgs`, `x_train`, `train_images`, `arr_0`, …),
            else the only one that can be of images.
        size: Height and width to resize the largest central square of each image to, in pixels;
            None leaves images as they are.
        channels: 1 for grey, 3 for RGB; None leaves images as they are.
        value_range: The values of black and of white, such as (0, 4095) for 12 bits; what lies
            beyond is cut off. None has the images decide.

    Raises:
        FileNotFoundError: There is no `path`.
        UnreadableFileError: It is no such file, or has no such array.
        ValueError: The images are too many for memory, or an argument is out of its range. When
            images are read: they need a `value_range`.
    """

    def __init__(
        self,
        path: str | Path,
        array: str | None = None,
        size: int | None = None,
        channels: int | None = None,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        check_size(1 if size is None else size, 3 if channels is None else channels)
        super().__init__(value_range)
        self.path = Path(path)
        self.array, self.size, self.channels = array, size, channels
        layouts = array_layouts(self.path)
        self._name = _choose(self._what, array, layouts)
        self._layout = layouts[self._name]
        own, height, width = _image_shape(
            f"{self._what}: {self._name or 'the array'}", self._layout
        )
        self.shape = (channels or own, size or height, size or width)
        check_memory(self._what, self._layout.shape[0], self.shape)
        whole = math.prod(self._layout.shape) * self._layout.dtype.itemsize
        if self._layout.columns_first and whole > indexed.MEMORY_LIMIT:
            raise ValueError(
                f"{self._what}: an array whose columns come first is read as a whole, in "
                f"{whole / 2**30:.1f} GiB of memory; write it by np.ascontiguousarray"
            )

    def __repr__(self) -> str:
        given = {name: getattr(self, name) for name in ("array", "size", "channels", "value_range")}
        words = [f"{name}={value!r}" for name, value in given.items() if value is not None]
        return f"{type(self).__name__}({', '.join([repr(str(self.path)), *words])})"

    def settled(self) -> dict[str, object]:
        """As by `Indexed.settled`; in addition the name of the array where it was not given."""
        named = {"array": self._name} if self.array is None and self._name else {}
        return {**super().settled(), **named}

    @property
    def _what(self) -> str:
        return f"path {str(self.path)!r}"

    def _read(self, progress: Progress) -> Tensor:
        count, kind = self._layout.shape[0], kind_of(self._layout.dtype)
        if self.array is None and self._name not in ("", "images"):
            warnings.warn(
                f"{self._what}: the images are taken from the array {self._name}; array says so "
                f"without this warning, or otherwise: --data.array {self._name}",
                stacklevel=3,
            )
        if _can_be_read_twice(self._layout.shape):
            warnings.warn(
                f"{self._what}: the shape {self._layout.shape} is taken for (image, height, width, "
                "channel)",
                stacklevel=3,
            )
        levels = self._levels()
        for done, part in self._parts():
            if not levels.wants(kind):
                break
            try:
                levels.meet(kind, float(part.min()), float(part.max()))
            except ValueError as error:
                raise UnreadableFileError(f"{self._what}: {error}") from error
            if kind != "bytes":  # a look at the first few of these is enough
                progress(done, count)
        self._settle(levels, self._what)
        images = torch.empty((count, *self.shape), dtype=torch.uint8, device="cpu")
        for done, part in self._parts():
            images.numpy()[done - len(part) : done] = self._made(levels.to_bytes(part))
            progress(done, count)
        return images

    def _parts(self) -> Iterator[tuple[int, npt.NDArray[np.generic]]]:
        """Some images at a time, (image, height, width, channel), and the number up to the last."""
        done = 0
        for part in read_rows(self.path, self._name, self._layout):
            done += len(part)
            if part.ndim == 3:
                yield done, part[..., None]
            else:
                yield done, part if _has_channels_last(part.shape) else np.moveaxis(part, 1, 3)

    def _made(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Images (image, height, width, channel) as they are kept, (image, *shape)."""
        from PIL import Image

        channels, *sides = self.shape
        if images.shape[1:] == (*sides, channels):
            return np.moveaxis(images, 3, 1)
        mode = "L" if channels == 1 else "RGB"
        made = []
        for image in images:
            picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).convert(mode)
            made.append(to_tensor(picture) if self.size is None else to_square(picture, self.size))
        return torch.stack(made).numpy()


@data_set("NpzFactorData", licence=YOURS, variants={})
class NpzFactorData(KnownFactors, NpzImages):
    """The images of an .npz file whose factors are known, each combination of them once.

    As :class:`NpzImages`; in addition the array `factors`, or `latents_classes` as dSprites calls
    it, has a row of integers from 0 on for each image: (image, factor). How many values a factor
    has is read off it.

    Args:
        path: The file.
        factor_names: A name for each factor; None calls them "factor 0" and so on.
        array: The name of the array of images, as of :class:`NpzImages`.
        size: Height and width, as of :class:`NpzImages`.
        channels: As of :class:`NpzImages`.
        value_range: As of :class:`NpzImages`.

    Raises:
        FileNotFoundError: There is no `path`.
        UnreadableFileError: It is no such file, or some combination is missing or twice there.
        ValueError: As :class:`NpzImages`, or `factor_names` has another length.
    """

    def __init__(
        self,
        path: str | Path,
        factor_names: Sequence[str] | None = None,
        array: str | None = None,
        size: int | None = None,
        channels: int | None = None,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(path, array, size, channels, value_range)
        factors = _factors(self.path, self._layout.shape[0])
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


def _choose(what: str, array: str | None, layouts: dict[str, Layout]) -> str:
    """The name of the array of images."""
    if array is None and "" in layouts:
        return ""
    if array is None and "images" in layouts:
        return "images"
    if array is not None and array in layouts and array:
        return array
    fitting = [name for name, layout in layouts.items() if _fits(layout)]
    usual = [name for name in fitting if _USUAL.fullmatch(name)] or fitting
    if array is None and len(usual) == 1:
        return usual[0]
    there = name_some([f"{name} {layout}" for name, layout in layouts.items()])
    given = "must be named (--data.array NAME)" if array is None else f"got {array!r}"
    raise UnreadableFileError(
        f"{what}: array must be one of those in the file, {given}; there are: {there or 'none'}"
        if "" not in layouts
        else f"{what}: array must be None for an .npy file, which has one without a name, {given}"
    )


def _has_channels_last(shape: tuple[int, ...]) -> bool:
    return shape[3] in _CHANNELS


def _can_be_read_twice(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and _has_channels_last(shape) and shape[1] in _CHANNELS


def _fits(layout: Layout) -> bool:
    """Whether an array can be of images."""
    shape = layout.shape
    if layout.dtype.kind not in "biuf" or 0 in shape:
        return False
    if len(shape) == 3:
        return shape[2] not in _CHANNELS  # one image of its own
    return len(shape) == 4 and (_has_channels_last(shape) or shape[1] in _CHANNELS)


def _image_shape(what: str, layout: Layout) -> tuple[int, int, int]:
    """(channel, height, width) of the images of an array."""
    if not _fits(layout):
        pickled = " (pickled objects, which are never loaded)" if layout.dtype.hasobject else ""
        raise UnreadableFileError(
            f"{what} must be (image, height, width), (image, height, width, channel) or (image, "
            "channel, height, width) with 1 or 3 channels, of booleans, integers or floating "
            f"numbers, got {layout.dtype} of shape {layout.shape}{pickled}"
        )
    shape = layout.shape
    if len(shape) == 3:
        return 1, shape[1], shape[2]
    if _has_channels_last(shape):
        return shape[3], shape[1], shape[2]
    return shape[1], shape[2], shape[3]


def _factors(path: Path, count: int) -> npt.NDArray[np.int64]:
    layouts = array_layouts(path)
    name = next((name for name in _FACTORS if name in layouts), None)
    if name is None:
        raise UnreadableFileError(f"{path} must have an array `factors` or `latents_classes`")
    layout = layouts[name]
    if (
        len(layout.shape) != 2
        or layout.shape[0] != count
        or layout.shape[1] < 1
        or layout.dtype.kind not in "iu"
    ):
        raise UnreadableFileError(
            f"{path}: {name} must be {count} rows of integers, one for each image, got "
            f"{layout.dtype} of shape {layout.shape}"
        )
    factors = np.concatenate(list(read_rows(path, name, layout))).astype(np.int64)
    if factors.min() < 0:
        raise UnreadableFileError(f"{path}: {name} must be 0 or more, got {factors.min()}")
    return factors


def _places(path: Path, factors: npt.NDArray[np.int64], sizes: tuple[int, ...]) -> Tensor:
    """The image of each combination, the last factor running fastest."""
    if math.prod(sizes) == len(factors):
        rows = np.ravel_multi_index(tuple(factors.T), sizes)
        if len(np.unique(rows)) == len(rows):
            return torch.from_numpy(np.argsort(rows))
    raise UnreadableFileError(
        f"{path}: each of the {math.prod(sizes)} combinations of factors of sizes {sizes} must "
        f"be there once, got {len(np.unique(factors, axis=0))} of them in {len(factors)} images; "
        "NpzImages takes any"
    )
