"""What each axis does over its range: a grid of stills, and a film."""

import os
from typing import Unpack

import numpy as np
from matplotlib.figure import Figure

from axiswise.plots import _tiles as tiles
from axiswise.plots._film import film
from axiswise.plots._inputs import ArrayLike, Floats, as_floats, as_images, check_lengths, shares
from axiswise.plots._ordering import AxisOptions, Ordering, order_axes
from axiswise.plots.saving import save_film

_AXIS_SPACE = 8  # pixels between the strips of one axis and of the next
_GROUP_SPACE = 14  # pixels between active and inactive axes
# Sides of a tile in pixels. Below the smaller one too little can be seen, so a picture of many rows
# grows long instead; and `fit` still draws images of 64 × 64 pixels as they are.
_SMALLEST_STILL, _LARGEST_STILL = 52, 80


def traversals(
    frames: ArrayLike,
    activity: ArrayLike,
    values: ArrayLike,
    own: ArrayLike | None = None,
    **options: Unpack[AxisOptions],
) -> Figure:
    """Draw what the generator gives along one axis while the others stay.

    A row for each axis, the most active first, inactive ones last, apart and grey; a column for
    each value. Of several start images each axis has a strip for each, one below the other.

    Args:
        frames: (latent, step, channel, height, width) in [0, 1], 1 or 3 channels; or
            (image, latent, step, channel, height, width).
        activity: (latent,), how much each axis is used: its KL in nats, say.
        values: The value that the axis has in each step, rising evenly: (step,), or (latent, step)
            where axes have ranges of their own, which stand in their labels.
        own: (image, latent), the values of the start images themselves, marked below their strips;
            no mark is drawn outside of the values.
        options: Of :class:`AxisOptions`.

    Raises:
        TypeError, ValueError: An array is not as described, or `max_axes` is below 1.
    """
    shown = _as_frames(frames)
    positions = _as_values(values, shown)
    order = order_axes(activity, shown.shape[1], **options)
    pixels = tiles.tile_pixels(len(shown) * order.shown, len(positions))
    cells = tiles.fit(
        shown[:, list(order.indices)], min(max(pixels, _SMALLEST_STILL), _LARGEST_STILL)
    )
    rows = positions[list(order.indices)]
    labels = [f"{name}\n{a}" for name, a in zip(order.names, order.activities, strict=True)]
    if (rows == rows[0]).all():
        headers = [_signed(value) for value in rows[0]]
    else:
        headers = ["lowest", *[""] * (len(rows[0]) - 2), "highest"]
        labels = [
            f"{label}\n{_signed(row[0])} … {_signed(row[-1])}"
            for label, row in zip(labels, rows, strict=True)
        ]
    note = order.note("Grey, inactive")
    note += f" A strip for each of {len(shown)} images." if len(shown) > 1 else ""
    note += " Blue: the image's own value." if own is not None else ""
    return _draw(cells, order, labels, headers, note, _marks(own, positions, shown, order))


def traversal_video(
    frames: ArrayLike,
    path: str | os.PathLike[str],
    activity: ArrayLike,
    fps: float = 12,
    *,
    values: ArrayLike | None = None,
    own: ArrayLike | None = None,
    **options: Unpack[AxisOptions],
) -> None:
    """Write a GIF or MP4 that goes along all axes at once, there and back, without a jump.

    The most active axis comes first. Under each image are a slider that shows where in its
    range the axis is, the axis's name and its activity. Several start images are one above the
    other. It has 2·step − 2 frames.

    Args:
        frames: (latent, step, channel, height, width) in [0, 1], 1 or 3 channels, at least two
            steps; or (image, latent, step, channel, height, width).
        path: Ends in .gif or .mp4; written under a temporary name, then renamed.
        activity: (latent,), how much each axis is used: its KL in nats, say.
        fps: Frames per second; a GIF rounds their duration to hundredths of a second.
        values: As those of `traversals`.
        own: As that of `traversals`, which needs `values`; marked on the sliders.
        options: Of :class:`AxisOptions`.

    Raises:
        TypeError, ValueError: An argument is not as described.
        OSError: The file cannot be written.
    """
    shown = _as_frames(frames)
    if shown.shape[2] < 2:
        raise ValueError(f"`frames` must have at least 2 steps, got shape {shown.shape}")
    order = order_axes(activity, shown.shape[1], **options)
    cells = tiles.fit(shown[:, list(order.indices)], tiles.LARGEST_TILE)
    positions = None if values is None else _as_values(values, shown)
    marks = None if positions is None else _marks(own, positions, shown, order)
    save_film(film(cells, order, marks), path, fps)


def _as_frames(frames: ArrayLike) -> Floats:
    """Check the frames and give them their image axis."""
    dims = ["latent", "step", "channel", "height", "width"]
    if np.ndim(frames) == 6:
        return as_images(frames, "frames", ["image", *dims])
    return as_images(frames, "frames", dims)[None]


def _as_values(values: ArrayLike, shown: Floats) -> Floats:
    """Check the values of the steps, and give them their latent axis."""
    dims = ["latent", "step"] if np.ndim(values) == 2 else ["step"]
    positions = as_floats(values, "values", dims)
    if len(dims) == 2:
        check_lengths(shown.shape[1], "latents", values=positions)
    check_lengths(shown.shape[2], "steps of `frames`", values=positions.T)
    return np.broadcast_to(positions, shown.shape[1:3])


def _marks(
    own: ArrayLike | None, positions: Floats, shown: Floats, order: Ordering
) -> Floats | None:
    """Where own values are between the first step, 0, and the last, 1: (image, axis), or NaN."""
    if own is None:
        return None
    given = as_floats(own, "own", ["image", "latent"])
    if given.shape != shown.shape[:2]:
        raise ValueError(f"`own` must have shape {shown.shape[:2]}, got {given.shape}")
    return shares(given, positions[:, 0], positions[:, -1])[:, list(order.indices)]


def _signed(value: float) -> str:
    return f"{value:+.2g}".replace("-", "−") if value else "0"


def _draw(
    cells: Floats,
    order: Ordering,
    labels: list[str],
    headers: list[str],
    note: str,
    marks: Floats | None,
) -> Figure:
    """Draw cells (image, axis, step, channel, height, width), the images of an axis together."""
    images, (tile_height, tile_width) = len(cells), cells.shape[-2:]
    blocks = _blocks(order, images)
    strips = [
        tiles.Strip(
            # A block has one image or one axis, so its rows are already in order.
            tiles.image_mosaic(cells[:, part].reshape(-1, *cells.shape[2:])),
            labels[part],
            # Of all rows of an axis, the gaps between them included.
            images * (tile_height + tiles.GAP) - tiles.GAP,
            _GROUP_SPACE if part.stop == order.active else _AXIS_SPACE,
            "black" if part.start < order.active else tiles.FAINT,
        )
        for part in blocks
    ]
    title = "Traversals: one axis changes, the others stay"
    picture, axes = tiles.stacked(title, note, strips, 22)
    tiles.label_columns(axes[0], tile_width, headers, "black")
    if marks is not None:
        last = cells.shape[2] - 1
        for part, drawn in zip(blocks, axes, strict=True):
            tiles.mark_rows(drawn, (tile_height, tile_width), marks[:, part].ravel() * last)
    return picture


def _blocks(order: Ordering, images: int) -> list[slice]:
    """The axes drawn without space between: a whole group, or one with its images."""
    groups = [part for _, part in order.groups]
    if images == 1:
        return groups
    return [slice(axis, axis + 1) for part in groups for axis in range(part.start, part.stop)]
