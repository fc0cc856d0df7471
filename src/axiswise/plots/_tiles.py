"""Images joined to one array and drawn pixel on pixel, which is fast and blurs nothing."""

import textwrap
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch.nn import functional

from axiswise.plots._inputs import Floats

DPI = 100
GAP = 3  # pixels between neighbouring tiles
GAP_GREY = 0.8
MARK_COLOUR = "#0072b2"
_MARK = 11  # width in pixels
FAINT = "0.5"  # text of inactive axes
MUTED = "0.35"  # text of notes
_LABEL_SIZE = 10.0
_SMALLEST_LABEL = 6.5
_ROW_CHARACTERS = 24
_CHARACTER = 0.85  # width in pixels of an average character, as a share of its size
_NOTE_SIZE = 9.5
_TITLE_SIZE = 13.0
LARGEST_TILE = 128
_LARGEST_MOSAIC = (1200, 1500)  # height and width in pixels
_LARGEST_AREA = 500_000  # pixels; keeps the PNG of dense, busy maps near 1 MB


def tile_pixels(rows: int, columns: int) -> int:
    """The side in pixels that keeps a grid of square tiles within a screen's size."""
    height, width = _LARGEST_MOSAIC
    by_area = int((_LARGEST_AREA / (rows * columns)) ** 0.5)
    return max(24, min(LARGEST_TILE, by_area, height // rows, width // columns))


def fit(tiles: Floats, pixels: int) -> Floats:
    """Resize tiles (..., channel, height, width) so that the longer side is about `pixels`.

    Small ones are repeated a whole number of times, large ones are averaged by area.
    """
    *lead, channels, height, width = tiles.shape
    longer = max(height, width)
    # An image that is only a little too large is left alone: shrinking would roughen its edges.
    if longer <= 1.25 * pixels:
        factor = max(1, round(pixels / longer))
        return tiles.repeat(factor, axis=-2).repeat(factor, axis=-1)
    size = (max(1, round(height * pixels / longer)), max(1, round(width * pixels / longer)))
    flat = torch.from_numpy(np.ascontiguousarray(tiles).reshape(-1, channels, height, width))
    shrunk: npt.NDArray[Any] = functional.interpolate(flat, size=size, mode="area").numpy()
    return shrunk.reshape(*lead, channels, *size)


def mosaic(tiles: Floats, fill: float) -> Floats:
    """Join tiles (row, column, channel, height, width), with `GAP` pixels of `fill` between."""
    rows, columns, channels, height, width = tiles.shape
    padded = np.full((rows, columns, channels, height + GAP, width + GAP), fill, dtype=tiles.dtype)
    padded[..., GAP:, GAP:] = tiles
    joined = padded.transpose(0, 3, 1, 4, 2).reshape(
        rows * (height + GAP), columns * (width + GAP), channels
    )
    return np.pad(joined, ((0, GAP), (0, GAP), (0, 0)), constant_values=fill)


def image_mosaic(tiles: Floats) -> Floats:
    """Join images (row, column, channel 1 or 3, height, width) in [0, 1] to RGB."""
    colour = np.broadcast_to(tiles, (*tiles.shape[:2], 3, *tiles.shape[3:]))
    return mosaic(colour, GAP_GREY)


def signed_mosaic(tiles: Floats) -> Floats:
    """Join signed maps (row, column, height, width) to (height, width), gaps NaN: see-through."""
    return mosaic(tiles[:, :, None], np.nan)[..., 0]


def chart(width: float, height: float) -> Figure:
    """An empty picture of this many inches, whose axes take the room that their labels leave."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def blank(width: int, height: int) -> Figure:
    """An empty picture of this many pixels, for `place`."""
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")


def framed(title: str, note: str, width: int, height: int, space: int) -> tuple[Figure, int]:
    """A picture with a title and a note for a content of `height` pixels; the content's top."""
    title, note = wrap_title(title, width), wrap_note(note, width)
    top = 18 + 23 * (title.count("\n") + 1) + space
    picture = blank(width, top + height + note_height(note))
    across, down = picture.bbox.width, picture.bbox.height
    picture.text(16 / across, 1 - 12 / down, title, va="top", fontsize=_TITLE_SIZE, weight="bold")
    picture.text(16 / across, 10 / down, note, va="bottom", fontsize=_NOTE_SIZE, color=MUTED)
    return picture, top


def place(picture: Figure, left: int, top: int, width: int, height: int) -> Axes:
    """New axes at this place, in pixels from the picture's top left corner."""
    across, down = picture.bbox.width, picture.bbox.height
    bottom = down - top - height
    return picture.add_axes((left / across, bottom / down, width / across, height / down))


def place_mosaic(picture: Figure, left: int, top: int, mosaic: Floats, **how: Any) -> Axes:
    """Draw an array, pixel on pixel, with its top left corner at this place."""
    axes = place(picture, left, top, mosaic.shape[1], mosaic.shape[0])
    axes.imshow(mosaic, interpolation="nearest", aspect="auto", **how)
    axes.set_facecolor(str(GAP_GREY))
    axes.tick_params(length=0, pad=3, labelsize=_LABEL_SIZE)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return axes


class Strip(NamedTuple):
    """A mosaic with a label beside each of its rows, for `stacked`."""

    mosaic: Floats
    labels: Sequence[str]
    label_height: float  # of the rows of tiles that one label belongs to
    space: int  # pixels below
    colour: str = "black"
    how: Mapping[str, Any] = MappingProxyType({})  # colour scale of a signed map


def stacked(
    title: str, note: str, strips: Sequence[Strip], space: int, right: int = 22
) -> tuple[Figure, list[Axes]]:
    """Draw strips one below the other, `space` below the title, with a margin on the right."""
    left = row_label_width([label for strip in strips for label in strip.labels])
    width = max(480, left + max(strip.mosaic.shape[1] for strip in strips) + right)
    height = sum(strip.mosaic.shape[0] + strip.space for strip in strips)
    picture, top = framed(title, note, width, height, space)
    drawn = []
    for strip in strips:
        drawn.append(place_mosaic(picture, left, top, strip.mosaic, **strip.how))
        label_rows(drawn[-1], strip.label_height, strip.labels, strip.colour)
        top += strip.mosaic.shape[0] + strip.space
    return picture, drawn


def label_columns(axes: Axes, tile_width: int, labels: Sequence[str], colour: str) -> None:
    """Write one label above each column of tiles, small enough not to run into the next."""
    size = float(np.clip(tile_width / _CHARACTER / _longest(labels), _SMALLEST_LABEL, _LABEL_SIZE))
    axes.xaxis.tick_top()
    axes.set_xticks(
        _centres(len(labels), tile_width),
        [_cut(label, int(tile_width / _CHARACTER / size)) for label in labels],
        color=colour,
        fontsize=size,
    )


def label_rows(axes: Axes, tile_height: float, labels: Sequence[str], colour: str) -> None:
    """Write one label to the left of each row of tiles, at most `row_label_width` wide."""
    size = float(np.clip(tile_height / 3.2, _SMALLEST_LABEL, _LABEL_SIZE))
    axes.set_yticks(
        _centres(len(labels), tile_height),
        [_cut(label, _ROW_CHARACTERS) for label in labels],
        color=colour,
        fontsize=size,
    )


def mark_rows(axes: Axes, tile: tuple[int, int], columns: Floats) -> None:
    """Mark a place in the gap below each row: that many columns from its first tile, or none (NaN).

    `tile` is the height and the width of a tile.
    """
    height, width = (side + GAP for side in tile)
    for row, column in enumerate(columns.tolist(), start=1):
        if np.isfinite(column):
            left = GAP + tile[1] / 2 + column * width - _MARK / 2 - 0.5
            mark = Rectangle((left, row * height - 0.5), _MARK, GAP, color=MARK_COLOUR, linewidth=0)
            axes.add_patch(mark)


def row_label_width(labels: Sequence[str]) -> int:
    """The pixels that row labels take at most, margins included."""
    return 24 + round(_CHARACTER * _LABEL_SIZE * min(_longest(labels), _ROW_CHARACTERS))


def _longest(labels: Sequence[str]) -> int:
    """The number of characters of the longest line of all labels."""
    return max(len(line) for label in labels for line in label.split("\n"))


def wrap_title(text: str, width: int) -> str:
    """Break a title into lines that fit a picture `width` pixels wide."""
    return textwrap.fill(text, max(20, int((width - 32) / 10.5)))


def wrap_note(text: str, width: int) -> str:
    """Break a note into lines that fit a picture `width` pixels wide."""
    return textwrap.fill(text, max(20, int((width - 32) / 7.4)))


def note_height(text: str) -> int:
    """The pixels that a wrapped note takes, margin included."""
    return 20 + 17 * (text.count("\n") + 1)


def _centres(count: int, tile: float) -> list[float]:
    """The middle of each tile along one side of a mosaic, in its pixels."""
    return [GAP + tile / 2 - 0.5 + i * (tile + GAP) for i in range(count)]


def _cut(label: str, characters: int) -> str:
    """Shorten every line to this many characters."""
    lines = label.split("\n")
    return "\n".join(s if len(s) <= characters else s[: characters - 1] + "…" for s in lines)
