"""What an infinitesimal step along each axis does to an image, side by side."""

from typing import Unpack

from matplotlib.figure import Figure

from axiswise.plots import _tiles as tiles
from axiswise.plots._colour import ROBUST_PERCENTILE, SIGNED, signed_bar, symmetric_norm
from axiswise.plots._inputs import ArrayLike, Floats, as_floats, as_images, check_channels
from axiswise.plots._ordering import AxisOptions, Ordering, order_axes

_SPACE = 14  # pixels between the image, the active axes, the inactive axes and the colour bar


def jacobian_columns(
    columns: ArrayLike,
    images: ArrayLike,
    activity: ArrayLike,
    **options: Unpack[AxisOptions],
) -> Figure:
    """Draw the Jacobian's columns for a few images: Figure 2 of Rhodes & Lee, NeurIPS 2021.

    A row for each image: the image, then its derivative along each axis, the most active axis
    first; inactive axes come last, under a heading of their own. All cells share one colour scale,
    centred at zero, which ends at the 99.9th percentile of |value| over the active axes shown (over
    all shown, where none is active); larger values take the last colour. Of three channels the
    signed mean is drawn. Images larger than their cell are averaged by area, after which the scale
    is set.

    Args:
        columns: (image, latent, channel, height, width), ∂image/∂z_i with its sign, in intensity
            per unit of z; 1 or 3 channels.
        images: (image, channel, height, width) in [0, 1]: where the columns were taken.
        activity: (latent,), how much each axis is used: its KL in nats, say.
        options: Of :class:`AxisOptions`.

    Raises:
        TypeError, ValueError: An array is not as described, or `max_axes` is below 1.
    """
    signed = as_floats(columns, "columns", ["image", "latent", "channel", "height", "width"])
    check_channels(signed, "columns")
    shown = as_images(images, "images", ["image", "channel", "height", "width"])
    if shown.shape != (signed.shape[0], *signed.shape[2:]):
        raise ValueError(
            f"`images` must have the shape of `columns` without its latent axis, "
            f"got {shown.shape} and {signed.shape}"
        )
    order = order_axes(activity, signed.shape[1], **options)
    pixels = tiles.tile_pixels(len(shown), order.shown + 1)
    cells = tiles.fit(signed[:, list(order.indices)].mean(axis=2, keepdims=True), pixels)[:, :, 0]
    return _draw(
        cells,
        tiles.fit(shown, pixels)[:, None],
        order,
        _note(order, channels=signed.shape[2]),
    )


def _draw(cells: Floats, images: Floats, order: Ordering, note: str) -> Figure:
    """Draw cells (image, axis, height, width) beside images (image, 1, channel, height, width)."""
    norm = symmetric_norm(cells[:, : order.active or None])
    mosaics = [tiles.image_mosaic(images)]
    mosaics += [tiles.signed_mosaic(cells[:, part]) for _, part in order.groups]
    tile_width, height = cells.shape[-1], mosaics[0].shape[0]
    width = max(560, 16 + sum(p.shape[1] + _SPACE for p in mosaics) + 90)
    title = "Jacobian columns: what a small step along each axis changes"
    picture, top = tiles.framed(title, note, width, height, 64)

    axes = tiles.place_mosaic(picture, 16, top, mosaics[0])
    tiles.label_columns(axes, tile_width, ["image"], "black")
    left = 16 + mosaics[0].shape[1] + _SPACE
    for (group, part), mosaic in zip(order.groups, mosaics[1:], strict=True):
        colour = "black" if group == "active" else tiles.FAINT
        axes = tiles.place_mosaic(picture, left, top, mosaic, cmap=SIGNED, norm=norm)
        labels = zip(order.names[part], order.activities[part], strict=True)
        tiles.label_columns(axes, tile_width, [f"{n}\n{a}" for n, a in labels], colour)
        axes.annotate(group, (0, 1), (0, 43), xycoords="axes fraction", fontsize=10.5,
                      textcoords="offset pixels", color=colour, style="italic")  # fmt: skip
        left += mosaic.shape[1] + _SPACE
    bar = signed_bar(picture, left, top, height, norm)
    bar.set_label("∂ intensity / ∂ z", fontsize=10)
    return picture


def _note(order: Ordering, channels: int) -> str:
    mean = "Signed mean over the channels. " if channels == 3 else ""
    return (
        f"{order.note('Inactive')} {mean}"
        f"One colour scale for all cells, centred at zero; it ends at the {ROBUST_PERCENTILE}th "
        "percentile of |value|."
    )
