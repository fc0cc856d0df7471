"""Images over what the model makes of them."""

import numpy as np
from matplotlib.figure import Figure

from axiswise.plots import _tiles as tiles
from axiswise.plots._colour import ROBUST_PERCENTILE, SIGNED, signed_bar, symmetric_norm
from axiswise.plots._inputs import ArrayLike, Floats, as_images
from axiswise.support.checks import check_count


def reconstructions(images: ArrayLike, reconstructed: ArrayLike, max_images: int = 12) -> Figure:
    """Draw images, their reconstructions and the signed difference, one above the other.

    The title gives the mean absolute error over every pixel of every image given, drawn or not.
    The differences (reconstruction − image; of three channels the signed mean) share one colour
    scale, centred at zero, which ends at the 99.9th percentile of |difference| over those drawn.

    Args:
        images: (image, channel, height, width) in [0, 1], 1 or 3 channels.
        reconstructed: The same shape and range.
        max_images: Images drawn at most, the first ones.

    Raises:
        TypeError, ValueError: An array is not as described, or `max_images` is below 1.
    """
    dims = ["image", "channel", "height", "width"]
    before = as_images(images, "images", dims)
    after = as_images(reconstructed, "reconstructed", dims)
    if before.shape != after.shape:
        raise ValueError(
            f"`reconstructed` must have the shape of `images`, got {after.shape} and {before.shape}"
        )
    check_count("`max_images`", max_images)
    error = float(np.abs(after - before).mean(dtype=np.float64))
    shown = slice(0, max_images)
    pixels = tiles.tile_pixels(3, len(before[shown]))
    change = (after - before)[shown].mean(axis=1, keepdims=True)
    some = f"The first {max_images} of {len(before)} images. " if len(before) > max_images else ""
    mean = "signed mean over the channels; " if before.shape[1] == 3 else ""
    return _draw(
        tiles.fit(before[shown], pixels),
        tiles.fit(after[shown], pixels),
        tiles.fit(change, pixels)[:, 0],
        f"Reconstructions: mean absolute error {error:.4f}",
        f"{some}Error: over all pixels of {len(before)} images, intensities from 0 to 1. "
        f"Difference: reconstruction − image; {mean}the colour scale, centred at zero, ends at "
        f"the {ROBUST_PERCENTILE}th percentile of |difference|.",
    )


def _draw(before: Floats, after: Floats, change: Floats, title: str, note: str) -> Figure:
    """Draw two rows of images (image, channel, height, width) and one of signed maps."""
    norm, height = symmetric_norm(change), before.shape[-2]
    strips = [
        tiles.Strip(tiles.image_mosaic(before[None]), ["image"], height, 4),
        tiles.Strip(tiles.image_mosaic(after[None]), ["reconstruction"], height, 4),
        tiles.Strip(
            tiles.signed_mosaic(change[None]),
            ["difference"],
            height,
            space=4,
            how={"cmap": SIGNED, "norm": norm},
        ),
    ]
    picture, axes = tiles.stacked(title, note, strips, 4, right=90)
    last = axes[-1].get_window_extent()
    top = round(picture.bbox.height - last.y1)
    signed_bar(picture, round(last.x1) + 12, top, round(last.height), norm)
    return picture
