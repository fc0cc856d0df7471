"""Films along axes or one direction, frame by frame and as the bytes of a file."""

import io
from fractions import Fraction
from math import ceil, isfinite
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from axiswise.plots._inputs import Floats
from axiswise.plots._ordering import Ordering

_ACROSS = 6  # tiles beside each other at most

# Lengths in pixels.
_MARGIN = 12
_CAPTION = 48
_LOWER_CAPTION = 68  # under the tiles of a direction
_TEXT_SIZE, _SMALLEST_TEXT = 14, 9
_KNOB_SIDE = 9

_WHITE, _LINE, _INK, _PALE = (255,) * 3, (205,) * 3, (30,) * 3, (125,) * 3
_KNOB = (0, 114, 178)

_BITS_PER_PIXEL = 0.3  # of an MP4 at most, so that even a film of noise is no large file
_PALETTE_PIXELS = 400_000  # about, that the colours of a GIF are chosen from

Frames = npt.NDArray[np.uint8]


class _Corner(NamedTuple):
    """Of a tile."""

    top: int
    left: int


class _Track(NamedTuple):
    """Of a slider."""

    top: int
    left: int
    length: int


def film(cells: Floats, order: Ordering, marks: Floats | None = None) -> Frames:
    """A film of cells (image, axis, step, channel, height, width) in [0, 1], there and back.

    `marks`, (image, axis), are places on the sliders, from 0 to 1 or NaN. The film is
    (2·step − 2, height, width, 3), with even height and width, as H.264 needs.
    """
    images, axes, _, _, height, width = cells.shape
    across = ceil(axes / ceil(axes / _ACROSS))
    block = ceil(axes / across) * (height + _CAPTION) + _MARGIN
    corners = [
        _Corner(
            _MARGIN + image * block + axis // across * (height + _CAPTION),
            _MARGIN + axis % across * (width + _MARGIN),
        )
        for image in range(images)
        for axis in range(axes)
    ]
    tracks = [_Track(top + height + 5, left, width) for top, left in corners]
    size = _even(_MARGIN + across * (width + _MARGIN)), _even(_MARGIN + images * block)
    canvas, pen = _ground(size, corners, tracks, (height, width))
    _mark(pen, tracks, marks)
    for place, (top, left) in enumerate(corners):
        axis = place % axes
        active = axis < order.active
        label = f"{order.names[axis]}  {order.activities[axis] if active else 'inactive'}"
        text, font = _fitted(label, width, pen)
        middle = left + width / 2
        pen.text((middle, top + height + 18), text, _INK if active else _PALE, font, anchor="ma")
    return _played(canvas, cells.reshape(-1, *cells.shape[2:]), corners, tracks)


def direction_film(
    cells: Floats, name: str, scale: dict[int, str], marks: Floats | None = None
) -> Frames:
    """A film of cells (sample, step, channel, height, width), with labels of steps in `scale`.

    `marks`, (sample,), are places on the slider, from 0 to 1 or NaN.
    """
    samples, steps, _, height, width = cells.shape
    down = ceil(samples / _ACROSS)
    across = ceil(samples / down)
    corners = [
        _Corner(
            _MARGIN + sample // across * (height + _MARGIN),
            _MARGIN + sample % across * (width + _MARGIN),
        )
        for sample in range(samples)
    ]
    length = across * (width + _MARGIN) - _MARGIN
    track = _Track(down * (height + _MARGIN) + 5, _MARGIN, length)
    size = _even(length + 2 * _MARGIN), _even(track.top + _LOWER_CAPTION)
    canvas, pen = _ground(size, corners, [track], (height, width))
    _mark(pen, [track] * samples, marks)
    font = ImageFont.load_default(_TEXT_SIZE)
    for step, text in scale.items():
        half = pen.textlength(text, font) / 2
        middle = track.left + _slid(length, step, steps) + _KNOB_SIDE / 2
        middle = min(max(middle, track.left + half), track.left + length - half)
        pen.text((middle, track.top + 14), text, _PALE, font, anchor="ma")
    text, font = _fitted(name, length, pen)
    pen.text((track.left + length / 2, track.top + 36), text, _INK, font, anchor="ma")
    return _played(canvas, cells, corners, [track])


def gif(frames: Frames, fps: float) -> bytes:
    """Frames (frame, height, width, 3) as the bytes of a GIF."""
    # One palette for all frames: to find one for each takes thirty times as long.
    apart = max(1, round((frames[..., 0].size / _PALETTE_PIXELS) ** 0.5))
    palette = Image.fromarray(np.concatenate(frames[:, ::apart, ::apart])).quantize()
    first, *others = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in frames
    ]
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, duration=1000 / fps, loop=0)
    return file.getvalue()


def mp4(frames: Frames, fps: float) -> bytes:
    """Frames (frame, height, width, 3) as the bytes of an MP4."""
    import av

    _, height, width, _ = frames.shape
    most = round(_BITS_PER_PIXEL * height * width * fps)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264",
            rate=Fraction(fps).limit_denominator(1000),
            # Where images repeat, mbtree loses a slow change of brightness.
            options={"mbtree": "0", "maxrate": str(most), "bufsize": str(most // 2)},
        )
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p"  # what every browser plays
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def _ground(
    size: tuple[int, int], corners: list[_Corner], tracks: list[_Track], tile: tuple[int, int]
) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """The tiles' outlines and the sliders' tracks, with a pen on them."""
    canvas = Image.new("RGB", size, _WHITE)
    pen = ImageDraw.Draw(canvas)
    height, width = tile
    for top, left in corners:
        pen.rectangle((left - 1, top - 1, left + width, top + height), outline=_LINE)
    for top, left, length in tracks:
        pen.rectangle((left, top + 3, left + length - 1, top + 5), fill=_LINE)
    return canvas, pen


def _mark(pen: ImageDraw.ImageDraw, tracks: list[_Track], marks: Floats | None) -> None:
    """Mark a place on each slider, wherever its knob is."""
    for track, share in zip(tracks, [] if marks is None else marks.ravel().tolist(), strict=False):
        if isfinite(share):
            middle = track.left + round((track.length - _KNOB_SIDE) * share) + _KNOB_SIDE // 2
            pen.rectangle(
                (middle - 1, track.top, middle + 1, track.top + _KNOB_SIDE - 1), fill=_INK
            )


def _played(
    ground: Image.Image, cells: Floats, corners: list[_Corner], tracks: list[_Track]
) -> Frames:
    """Frames of cells (tile, step, channel, height, width), there and back."""
    count, steps, _, height, width = cells.shape
    bytes_ = (cells * 255).round().astype(np.uint8)
    colour = np.broadcast_to(bytes_, (count, steps, 3, height, width))
    frames = []
    for step in [*range(steps), *range(steps - 2, 0, -1)]:
        frame = np.array(ground)
        for tile, (top, left) in zip(colour[:, step], corners, strict=True):
            frame[top : top + height, left : left + width] = tile.transpose(1, 2, 0)
        for top, left, length in tracks:
            right = left + _slid(length, step, steps)
            frame[top : top + _KNOB_SIDE, right : right + _KNOB_SIDE] = _KNOB
        frames.append(frame)
    return np.stack(frames)


def _slid(length: int, step: int, steps: int) -> int:
    """How far a knob is from its track's left end, in pixels."""
    return round((length - _KNOB_SIDE) * step / (steps - 1))


def _fitted(
    text: str, width: int, pen: ImageDraw.ImageDraw
) -> tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """A text and a font that keep it within `width` pixels: smaller, or else cut."""
    for size in range(_TEXT_SIZE, _SMALLEST_TEXT - 1, -1):
        font = ImageFont.load_default(size)
        if pen.textlength(text, font) <= width:
            return text, font
    while text and pen.textlength(f"{text}…", font) > width:
        text = text[:-1]
    return f"{text}…", font


def _even(pixels: int) -> int:
    return pixels + pixels % 2
