"""What each axis does over its range: a grid of stills, and a film."""

import os
from typing import Unpack

import numpy as np
from matplotlib.figure import Figure

from axiswise.plots import _tiles as tiles
from axiswise.plots._film import film
from axiswise.plots._inputs import ArrayLike, Floats, as_floats, as_images, check_lengths
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
    **options: Unpack[AxisOptions],
) -> Figure:
    """Draw what the generator gives along one axis while the others stay.

    A row for each axis, the most active first, inactive ones last, apart and grey; a column for
    each value. Of several start images each axis has a strip for each, one below the other.

    Args:
        frames: (latent, step, channel, height, width) in [0, 1], 1 or 3 channels; or
            (image, latent, step, channel, height, width).
        activity: (latent,), how much each axis is used: its KL in nats, say.
        values: (step,), the value of z that the axis has in each step.
        options: Of :class:`AxisOptions`.

    Raises:
        TypeError, ValueError: An array is not as described, or `max_axes` is below 1.
    """
    shown = _as_frames(frames)
    positions = as_floats(values, "values", ["step"])
    check_lengths(shown.shape[2], "steps of `frames`", values=positions)
    order = order_axes(activity, shown.shape[1], **options)
    pixels = tiles.tile_pixels(len(shown) * order.shown, len(positions))
    cells = tiles.fit(
        shown[:, list(order.indices)], min(max(pixels, _SMALLEST_STILL), _LARGEST_STILL)
    )
    headers = [f"{v:+.2g}".replace("-", "−") if v else "0" for v in positions]
    strips = f" A strip for each of {len(shown)} images." if len(shown) > 1 else ""
    return _draw(cells, order, headers, order.note("Grey, inactive") + strips)


def traversal_video(
    frames: ArrayLike,
    path: str | os.PathLike[str],
    activity: ArrayLike,
    fps: float = 12,
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
    save_film(film(cells, order), path, fps)


def _as_frames(frames: ArrayLike) -> Floats:
    """Check the frames and give them their image axis."""
    dims = ["latent", "step", "channel", "height", "width"]
    if np.ndim(frames) == 6:
        return as_images(frames, "frames", ["image", *dims])
    return as_images(frames, "frames", dims)[None]


def _draw(cells: Floats, order: Ordering, headers: list[str], note: str) -> Figure:
    """Draw cells (image, axis, step, channel, height, width), the images of an axis together."""
    images, (tile_height, tile_width) = len(cells), cells.shape[-2:]
    labels = [f"{name}\n{a}" for name, a in zip(order.names, order.activities, strict=True)]
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
        for part in _blocks(order, images)
    ]
    title = "Traversals: one axis changes, the others stay"
    picture, axes = tiles.stacked(title, note, strips, 22)
    tiles.label_columns(axes[0], tile_width, headers, "black")
    return picture


def _blocks(order: Ordering, images: int) -> list[slice]:
    """The axes drawn without space between: a whole group, or one with its images."""
    groups = [part for _, part in order.groups]
    if images == 1:
        return groups
    return [slice(axis, axis + 1) for part in groups for axis in range(part.start, part.stop)]
