"""Images in labelled groups: data over generated ones, a generator in training, factors' ranges."""

from collections.abc import Mapping
from math import ceil

import numpy as np
from matplotlib.figure import Figure

from axiswise.plots import _tiles as tiles
from axiswise.plots._inputs import ArrayLike, Floats, as_images
from axiswise.support.checks import check_count

_SPACE = 10  # pixels between groups
_NAMED = 4  # groups whose differing numbers of images are named one by one


def samples(groups: Mapping[str, ArrayLike], columns: int = 8, title: str = "Samples") -> Figure:
    """Draw groups of images, one below the other, each with its name to the left.

    Each group starts a row and fills as many as it needs.

    Args:
        groups: Name → images, (image, channel, height, width) in [0, 1], 1 or 3 channels: "data"
            and "generated", say, or "step 500" and "step 1000". Groups may differ in their number
            of images, not in the images' shape.
        columns: Images in a row at most.
        title: Title of the picture.

    Raises:
        TypeError, ValueError: No groups, images not as described, or `columns` below 1.
    """
    if not groups:
        raise ValueError(f"`groups` must have at least one group of images, got {groups}")
    check_count("`columns`", columns)
    images = {name: _checked(given, f"groups[{name!r}]") for name, given in groups.items()}
    first, *others = images
    shape = images[first].shape[1:]
    for name in others:
        if images[name].shape[1:] != shape:
            raise ValueError(
                f"`groups[{name!r}]` must have images of the same shape as `groups[{first!r}]`, "
                f"got {images[name].shape[1:]} and {shape}"
            )
    across = min(columns, max(len(group) for group in images.values()))
    rows = sum(ceil(len(group) / across) for group in images.values())
    pixels = tiles.tile_pixels(rows, across)
    cells = {name: tiles.fit(group, pixels) for name, group in images.items()}
    return _draw(cells, across, title, f"{_counts(images)} of {shape[1]} × {shape[2]} pixels.")


def _checked(given: ArrayLike, name: str) -> Floats:
    return as_images(given, name, ["image", "channel", "height", "width"])


def _counts(images: Mapping[str, Floats]) -> str:
    """How many images each group has."""
    counts = {name: len(group) for name, group in images.items()}
    if len(set(counts.values())) > 1:
        if len(counts) > _NAMED:
            return f"{min(counts.values())} to {max(counts.values())} images in each group,"
        return ", ".join(f"{name}: {count}" for name, count in counts.items()) + " images"
    count = next(iter(counts.values()))
    each = " in each group," if len(counts) > 1 else ""
    return f"{count} image{'s' if count > 1 else ''}{each}"


def _draw(groups: Mapping[str, Floats], across: int, title: str, note: str) -> Figure:
    """Draw groups of images (image, channel, height, width), `across` in a row."""
    strips = []
    for name, images in groups.items():
        mosaic = _mosaic(images, across)
        strips.append(tiles.Strip(mosaic, [name], mosaic.shape[0] - 2 * tiles.GAP, _SPACE))
    return tiles.stacked(title, note, strips, 4)[0]


def _mosaic(images: Floats, across: int) -> Floats:
    """Join images in rows of `across`; what the last row lacks is left white."""
    count, *_, height, width = images.shape
    rows = ceil(count / across)
    padded = np.ones((rows * across, *images.shape[1:]), dtype=images.dtype)
    padded[:count] = images
    mosaic = tiles.image_mosaic(padded.reshape(rows, across, *images.shape[1:]))
    # The frame of what is lacking goes too, but for the lines that belong to a neighbour.
    right = (count - (rows - 1) * across) * (width + tiles.GAP) + tiles.GAP
    mosaic[0 if rows == 1 else -(height + tiles.GAP) :, right:] = 1
    return mosaic
