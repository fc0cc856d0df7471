"""A film in which every axis moves at once, frame by frame and as a file's bytes."""

from math import ceil
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from axiswise.plots._inputs import Floats
from axiswise.plots._ordering import Ordering

_ACROSS = 6  # tiles beside each other at most

# Lengths in pixels.
_MARGIN = 12
_CAPTION = 48
_TEXT_SIZE, _SMALLEST_TEXT = 14, 9
_KNOB_SIDE = 9

_WHITE, _LINE, _INK, _PALE = (255,) * 3, (205,) * 3, (30,) * 3, (125,) * 3
_KNOB = (0, 114, 178)


class _Place(NamedTuple):
    """Where the tile of one start image and one axis has its corner."""

    image: int
    axis: int
    top: int
    left: int


def film(cells: Floats, order: Ordering) -> npt.NDArray[np.uint8]:
    """Draw cells (image, axis, step, channel, height, width), in [0, 1], there and back.

    Returns:
        (2·step − 2, height, width, 3) with even height and width, as H.264 needs.
    """
    images, axes, steps, _, height, width = cells.shape
    across = ceil(axes / ceil(axes / _ACROSS))
    block = ceil(axes / across) * (height + _CAPTION) + _MARGIN
    places = [
        _Place(
            image,
            axis,
            _MARGIN + image * block + axis // across * (height + _CAPTION),
            _MARGIN + axis % across * (width + _MARGIN),
        )
        for image in range(images)
        for axis in range(axes)
    ]
    size = _even(_MARGIN + across * (width + _MARGIN)), _even(_MARGIN + images * block)
    ground = _ground(size, places, order, (height, width))
    bytes_ = (cells * 255).round().astype(np.uint8)
    colour = np.broadcast_to(bytes_, (images, axes, steps, 3, height, width))
    frames = []
    for step in [*range(steps), *range(steps - 2, 0, -1)]:
        frame = ground.copy()
        slid = round((width - _KNOB_SIDE) * step / (steps - 1))
        for image, axis, top, left in places:
            tile = colour[image, axis, step].transpose(1, 2, 0)
            frame[top : top + height, left : left + width] = tile
            down, right = top + height + 5, left + slid
            frame[down : down + _KNOB_SIDE, right : right + _KNOB_SIDE] = _KNOB
        frames.append(frame)
    return np.stack(frames)


def encode(frames: npt.NDArray[np.uint8], suffix: str, fps: float) -> bytes:
    """Return the frames (frame, height, width, 3) as the bytes of a .gif or an .mp4."""
    import imageio.v3 as imageio

    how: dict[str, Any] = {"plugin": "pillow", "duration": 1000 / fps, "loop": 0}
    if suffix == ".mp4":
        # 4:2:0 is what every browser plays.
        how = {"plugin": "pyav", "codec": "libx264", "fps": fps, "out_pixel_format": "yuv420p"}
    encoded: bytes = imageio.imwrite("<bytes>", frames, extension=suffix, **how)
    return encoded


def _ground(
    size: tuple[int, int], places: list[_Place], order: Ordering, tile: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """Return what does not move: the tiles' outlines, the sliders' tracks, the labels."""
    canvas = Image.new("RGB", size, _WHITE)
    pen = ImageDraw.Draw(canvas)
    height, width = tile
    for _, axis, top, left in places:
        bottom, middle = top + height, left + width / 2
        pen.rectangle((left - 1, top - 1, left + width, bottom), outline=_LINE)
        pen.rectangle((left, bottom + 8, left + width - 1, bottom + 10), fill=_LINE)
        active = axis < order.active
        label = f"{order.names[axis]}  {order.activities[axis] if active else 'inactive'}"
        text, font = _fitted(label, width, pen)
        pen.text((middle, bottom + 18), text, _INK if active else _PALE, font, anchor="ma")
    return np.asarray(canvas)


def _fitted(
    text: str, width: int, pen: ImageDraw.ImageDraw
) -> tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """Return a text and a font that keep it within `width` pixels: smaller, or else cut."""
    for size in range(_TEXT_SIZE, _SMALLEST_TEXT - 1, -1):
        font = ImageFont.load_default(size)
        if pen.textlength(text, font) <= width:
            return text, font
    while text and pen.textlength(f"{text}…", font) > width:
        text = text[:-1]
    return f"{text}…", font


def _even(pixels: int) -> int:
    return pixels + pixels % 2
