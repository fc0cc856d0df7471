"""Pictures of the usual formats, of any depth, decoded one by one to 8 bits for each channel."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from axiswise.data.indexed import Indexed
from axiswise.data.levels import BYTES, Kind, Levels, Range, kind_of
from axiswise.support.progress import Progress

if TYPE_CHECKING:
    from typing import TypeAlias

    from PIL.Image import Image

    # A picture as it was decoded: an image of mode L or RGB, on white where transparent; or, where
    # the file has more than 8 bits, its numbers, (height, width) or (height, width, channel), and
    # the last one of 4 channels is opaqueness.
    Pixels: TypeAlias = Image | npt.NDArray[Any]

_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "AVIF")
_FILMS = ("PNG", "TIFF", "WEBP", "GIF", "AVIF")  # a JPEG's further frames are previews
_NAMED = 10  # pictures that a warning names
_BITS, _MEANING, _PLANES, _KIND = 258, 262, 284, 339  # of numbers: tags of TIFF files

# What to_bytes makes of each byte shows whether it leaves bytes as they are.
_EACH_BYTE = np.arange(256, dtype=np.uint8)


class Pictures(Indexed):
    """The base of data sets whose pictures are decoded one by one: files, or rows of a table.

    A subclass calls `_decode_all` in `_read`, and may have its own `_cut`.

    Args:
        shape: (channel, height, width) of the images.
        value_range: As of :class:`axiswise.data.ImageFolder`.
    """

    _images_per_picture = 1

    def __init__(self, shape: tuple[int, int, int], value_range: Range | None) -> None:
        super().__init__(value_range)
        self.shape = shape

    def _cut(self, image: Image) -> list[Tensor]:
        """The images of a picture of the right mode, `_images_per_picture` of `shape`, uint8."""
        return [to_square(image, self.shape[1])]

    def _decode_all(
        self, count: int, decode: Callable[[int], Pixels], what: str, progress: Progress
    ) -> tuple[Tensor, list[tuple[int, str]]]:
        """Decode pictures in their order, but for those that cannot be.

        Args:
            count: How many there are.
            decode: Returns the `Pixels` of one, or raises anything.
            what: What messages call the images.
            progress: Called after each.

        Returns:
            The images, (image, *shape), uint8; and the number of each picture that is left out,
            with the reason.
        """
        each = self._images_per_picture
        images = torch.empty((each * count, *self.shape), dtype=torch.uint8, device="cpu")
        levels = self._levels()
        left_out: list[tuple[int, str]] = []
        decoded: list[tuple[int, Kind]] = []
        for index in range(count):
            try:
                pixels = decode(index)
                kind = _meet(pixels, levels)
                made = torch.stack(self._made(pixels, levels))
            except Exception as error:  # damaged files make decoders raise almost anything
                left_out.append((index, f"{type(error).__name__}: {error}"))
            else:
                images[each * len(decoded) :][:each] = made
                decoded.append((index, kind))
            progress(index + 1, count)
        # Those whose range only all of them have shown are decoded again: kept, they could take
        # many times the memory.
        changed = self._settle(levels, what)
        again = [(row, index) for row, (index, kind) in enumerate(decoded) if kind in changed]
        for done, (row, index) in enumerate(again, start=1):
            images[each * row :][:each] = torch.stack(self._made(decode(index), levels))
            progress(done, len(again))
        return images[: each * len(decoded)], left_out

    def _made(self, pixels: Pixels, levels: Levels) -> list[Tensor]:
        return self._cut(to_8_bits(pixels, levels).convert("L" if self.shape[0] == 1 else "RGB"))


def warn_of_films(films: list[str], things: str) -> None:
    """Name the files, or images, of which only the first frame is taken, if there are any."""
    if films:
        warnings.warn(
            f"only the first frame is taken of {len(films)} {things} with several: "
            + name_some(films),
            stacklevel=4,
        )


def name_some(named: list[str]) -> str:
    """The first few of a list, and how many there are more."""
    more = len(named) - _NAMED
    return "; ".join(named[:_NAMED] + ([f"and {more} more"] if more > 0 else []))


@cache
def formats() -> tuple[str, ...]:
    """The formats that are read, as far as this Pillow has them."""
    from PIL import Image, features

    Image.init()
    return tuple(
        name
        for name in _FORMATS
        if name in Image.OPEN and (name not in ("WEBP", "AVIF") or features.check(name.lower()))
    )


def decode_picture(
    source: Path | IO[bytes],
    enough: int | None = None,
    on_film: Callable[[], object] = lambda: None,
) -> Pixels:
    """Decode a picture, upright, the first one of a film: its `Pixels`.

    Args:
        source: A file, or its content, open at the start.
        enough: A JPEG many times as large may be decoded at a smaller size, its shorter side at
            least so many pixels long, which is much faster.
        on_film: Called where there are more frames.

    Raises:
        Exception: Almost any, for a damaged file.
    """
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # oddities in metadata, of an image that can be read
        with Image.open(source, formats=formats()) as opened:
            if opened.format in _FILMS and getattr(opened, "n_frames", 1) > 1:
                on_film()
            if enough is not None:
                opened.draft(None, (enough, enough))
            is_unsigned = _check_depth(opened)
            mode = _raw_mode(opened.tile)
            upright = ImageOps.exif_transpose(opened)
            if mode not in _LOW_BYTES:
                return _flat(upright, is_unsigned)
            high = np.asarray(upright, dtype=np.uint16)
        # Pillow keeps the high bytes of 16-bit colour; this makes it decode the low ones.
        if not isinstance(source, Path):
            source.seek(0)
        with Image.open(source, formats=formats()) as opened:
            opened.tile = [_with_raw_mode(tile, _LOW_BYTES[mode]) for tile in opened.tile]
            low = np.asarray(ImageOps.exif_transpose(opened), dtype=np.uint16)
    if mode == "LA;16B":  # all four bytes came as channels
        low = low[..., [1, 1, 1, 3]]
    return high << 8 | low


# Raw modes of 16 bits that Pillow cuts to the high byte → those that give the low byte.
_LOW_BYTES = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA", "RGBX")
    for order, other in {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}.items()
} | {"LA;16B": "RGBA"}


def _raw_mode(tiles: list[Any]) -> Any:
    """How the numbers lie in the file, as Pillow calls it."""
    if not tiles:
        return None
    arguments = tiles[0][3]
    return arguments[0] if isinstance(arguments, tuple) and arguments else arguments


def _with_raw_mode(tile: Any, mode: str) -> Any:
    arguments = tile[3]
    new = (mode, *arguments[1:]) if isinstance(arguments, tuple) else mode
    return tile._replace(args=new) if hasattr(tile, "_replace") else (*tile[:3], new)


def _check_depth(image: Any) -> bool:
    """Refuse TIFF files of more than 8 bits that Pillow gets wrong.

    Returns:
        Whether its numbers have 32 bits and no sign, which Pillow gives them.
    """
    if image.format != "TIFF" or max(image.tag_v2.get(_BITS, (1,))) <= 8:
        return False
    if image.tag_v2.get(_PLANES, 1) != 1 and len(image.getbands()) > 1:
        raise ValueError("its channels, of more than 8 bits, do not lie pixel by pixel")
    if image.tag_v2.get(_MEANING) == 0:
        raise ValueError("its numbers, of more than 8 bits, count from white to black")
    bits, kind = image.tag_v2[_BITS], image.tag_v2.get(_KIND, (1,))
    return bool(image.mode == "I" and bits == (32,) and kind == (1,))


def _flat(image: Image, is_unsigned: bool) -> Pixels:
    """An image as `Pixels`."""
    from PIL import Image as images

    if image.mode.startswith(("I", "F")):  # Pillow's own conversion cuts these off at 255
        numbers = np.asarray(image)
        return numbers.view(np.uint32) if is_unsigned else numbers
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = images.alpha_composite(images.new("RGBA", image.size, "white"), image)
    return image if image.mode == "L" else image.convert("L" if image.mode == "1" else "RGB")


def _meet(pixels: Pixels, levels: Levels) -> Kind:
    """Let `levels` see the extremes of a picture, and return its kind."""
    if not isinstance(pixels, np.ndarray):
        if levels.wants("bytes"):
            extremes = np.array(pixels.getextrema())
            levels.meet("bytes", float(extremes.min()), float(extremes.max()))
        return "bytes"
    colours, kind = _colours(pixels), kind_of(pixels.dtype)
    levels.meet(kind, float(colours.min()), float(colours.max()))
    return kind


def to_8_bits(pixels: Pixels, levels: Levels) -> Image:
    """`Pixels` as an image of mode L or RGB, on white where transparent."""
    from PIL import Image as images

    if not isinstance(pixels, np.ndarray):
        table = levels.to_bytes(_EACH_BYTE)
        if table is _EACH_BYTE:
            return pixels
        return pixels.point(table.tolist() * len(pixels.getbands()))
    colours = images.fromarray(levels.to_bytes(_colours(pixels)))
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return colours
    white = images.new("RGB", colours.size, "white")
    return images.composite(
        colours, white, images.fromarray((pixels[..., 3] >> 8).astype(np.uint8))
    )


def _colours(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return pixels if pixels.ndim == 2 else pixels[..., :3]


def open_picture(file: Path, channels: int) -> Image:
    """Decode a photograph, of 0 (black) to 255 (white), as an image of mode L or RGB."""
    image = to_8_bits(decode_picture(file), Levels(BYTES))
    return image.convert("L" if channels == 1 else "RGB")


def to_square(image: Image, size: int, *, antialias: bool = True) -> Tensor:
    """The largest central square of a grey or RGB image: (channel, size, size), uint8."""
    from PIL import Image, ImageOps

    if not antialias:
        side = min(image.size)
        whole = to_tensor(ImageOps.fit(image, (side, side)))[None].float()
        near = functional.interpolate(whole, (size, size), mode="bicubic", align_corners=False)
        return near[0].round().clamp(0, 255).to(torch.uint8)
    return to_tensor(ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC))


def to_tensor(image: Image) -> Tensor:
    """A grey or RGB image as (channel, height, width), uint8."""
    return torch.from_numpy(np.array(image).reshape(image.height, image.width, -1)).permute(2, 0, 1)
