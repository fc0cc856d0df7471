"""What each axis does, model beside model: traversals, maps of pixels, Hessians."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from axiswise.plots import _tiles as tiles
from axiswise.plots._colour import colour_bar
from axiswise.plots._inputs import ArrayLike, Floats, as_floats, as_images, check_lengths
from axiswise.plots._ordering import Ordering, order_axes

# Lengths in pixels.
_TILE = 52
_MAP = 72
_ACROSS = 1700
_HEAD = 44  # above a panel: the model's name and the values
_SPACE = 22
_ENTRY = 26  # side of an entry of a Hessian
_BAR = 90  # a colour bar with its numbers

_SIZES = colormaps["magma"]


@dataclass(frozen=True)
class Axis:
    """How a model's axes are ordered and labelled.

    Attributes:
        activity: (latent,), how much each is used.
        active_above: An axis is active where its activity is larger than this.
        activity_name: What the activity is called.
    """

    activity: ArrayLike
    active_above: float
    activity_name: str = "activeness"

    def ordered(self, latents: int) -> Ordering:
        """The axes shown, most active first."""
        how = {"active_above": self.active_above, "activity_name": self.activity_name}
        return order_axes(self.activity, latents, **how)  # type: ignore[arg-type]


def traversals_beside(
    models: Mapping[str, ArrayLike], values: Mapping[str, ArrayLike], axes: Mapping[str, Axis]
) -> Figure:
    """Draw one image's traversals of several models side by side.

    A panel for each model; in it a row for each axis, the most active first, inactive ones grey.

    Args:
        models: Model → frames, (latent, step, channel, height, width) in [0, 1].
        values: Model → (latent, step), the value that an axis has in each step; written above where
            all axes of a model have the same.
        axes: Model → how its axes are ordered.

    Raises:
        TypeError, ValueError: No models, or an array not as described.
    """
    panels: list[tuple[str, Floats, Ordering, list[str]]] = []
    for model, given in _checked(models).items():
        dims = ["latent", "step", "channel", "height", "width"]
        frames = as_images(given, f"models[{model!r}]", dims)
        steps = as_floats(values[model], f"values[{model!r}]", ["latent", "step"])
        check_lengths(len(frames), "latents", values=steps)
        check_lengths(frames.shape[1], "steps", values=steps.T)
        order = axes[model].ordered(len(frames))
        same = (steps == steps[0]).all()
        names = [f"{v:+.2g}".replace("-", "−") if v else "0" for v in steps[0]] if same else []
        cells = tiles.fit(frames[list(order.indices)], _TILE)
        panels.append((model, tiles.image_mosaic(cells), order, names))
    label = tiles.row_label_width([t for *_, order, _ in panels for t in _labels(order)])
    widest = max(mosaic.shape[1] for _, mosaic, *_ in panels) + label
    across = max(1, min(len(panels), _ACROSS // widest))
    rows = [panels[start : start + across] for start in range(0, len(panels), across)]
    heights = [max(mosaic.shape[0] for _, mosaic, *_ in row) + _HEAD + _SPACE for row in rows]
    note = "One axis changes, the others stay; the most active first, with its activeness."
    title = "Traversals, model beside model"
    width = max(480, across * widest + 2 * _SPACE)
    picture, top = tiles.framed(title, note, width, sum(heights), 0)
    for row, height in zip(rows, heights, strict=True):
        for place, (model, mosaic, order, names) in enumerate(row):
            drawn = tiles.place_mosaic(picture, label + place * widest, top + _HEAD, mosaic)
            tile = (mosaic.shape[0] - tiles.GAP) / order.shown - tiles.GAP
            _label_axes(drawn, order, tile)
            if names:
                across_tile = (mosaic.shape[1] - tiles.GAP) // len(names) - tiles.GAP
                tiles.label_columns(drawn, across_tile, names, "black")
            _head(drawn, model, 20)
        top += height
    return picture


def heat_maps(models: Mapping[str, ArrayLike], axes: Mapping[str, Axis]) -> Figure:
    """Draw how far each axis moves each pixel, model below model.

    A row for each model, a map for each of its axes, the most active first. All maps share one
    colour scale, from 0 to the 99.9th percentile.

    Args:
        models: Model → (latent, channel, height, width), at least 0: standard deviations of pixels,
            say; their mean over channels is drawn.
        axes: Model → how its axes are ordered.

    Raises:
        TypeError, ValueError: No models, or an array not as described.
    """
    strips, orders = [], []
    for model, given in _checked(models).items():
        dims = ["latent", "channel", "height", "width"]
        maps = _not_negative(as_floats(given, f"models[{model!r}]", dims), f"models[{model!r}]")
        order = axes[model].ordered(len(maps))
        cells = tiles.fit(maps.mean(1, keepdims=True)[list(order.indices)], _MAP)
        strips.append((model, tiles.signed_mosaic(cells[None, :, 0]), cells.shape[-2:]))
        orders.append(order)
    norm = _norm([mosaic for _, mosaic, _ in strips])
    how = {"cmap": _SIZES, "norm": norm}
    title = "Where each axis changes the image"
    note = (
        "Standard deviation of each pixel while one axis takes −2, 0 and 2, over many images; "
        "below a name, the activeness. One colour scale for all; it ends at the 99.9th percentile."
    )
    drawn = [
        tiles.Strip(mosaic, [model], tile[0], _HEAD, how=how) for model, mosaic, tile in strips
    ]
    picture, panels = tiles.stacked(title, note, drawn, _HEAD, _BAR + _SPACE)
    for axes_, order, (_, _, tile) in zip(panels, orders, strips, strict=True):
        tiles.label_columns(axes_, tile[1], _labels(order), "black")
        for tick in axes_.get_xticklabels()[order.active :]:
            tick.set_color(tiles.FAINT)
    _bar(picture, panels, norm, "standard deviation of intensity")
    return picture


def hessians(models: Mapping[str, ArrayLike], shares: Mapping[str, float]) -> Figure:
    """Draw the mean size of the entries of the Hessians of models, side by side.

    Each model has a colour scale of its own, from 0 to its largest entry.

    Args:
        models: Model → (latent, latent), at least 0: the mean of |H_ij| over pixels.
        shares: Model → the share of Hessians whose largest entry lies on the diagonal.

    Raises:
        TypeError, ValueError: No models, or an array not as described.
    """
    panels = {}
    for model, given in _checked(models).items():
        matrix = as_floats(given, f"models[{model!r}]", ["latent", "latent"])
        matrix = _not_negative(matrix, f"models[{model!r}]")
        panels[model] = matrix / (matrix.max() or 1)
    side = max(150, _ENTRY * max(len(matrix) for matrix in panels.values()))
    across = max(1, min(len(panels), _ACROSS // (side + 2 * _SPACE + 20)))
    down = ceil(len(panels) / across)
    note = (
        "Mean size of ∂²pixel/∂z_i∂z_j over pixels and images; white: 0, black: the model's "
        "largest entry. In brackets: pixels with their largest entry on the diagonal."
    )
    step = side + 2 * _SPACE + 20
    picture, top = tiles.framed(
        "Hessians of the pixels", note, max(520, across * step + _SPACE), down * (side + 50), 24
    )
    for number, (model, matrix) in enumerate(panels.items()):
        row, column = divmod(number, across)
        left = _SPACE + 20 + column * step
        axes = tiles.place(picture, left, top + row * (side + 50), side, side)
        axes.imshow(matrix, cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
        names = [f"z{i}" for i in range(len(matrix))]
        axes.set_xticks(range(len(names)), names, fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.tick_params(length=0)
        _head(axes, f"{model} ({100 * shares[model]:.0f} %)", 4)
    return picture


def _checked(models: Mapping[str, ArrayLike]) -> Mapping[str, ArrayLike]:
    if not models:
        raise ValueError(f"`models` must have at least one model, got {models}")
    return models


def _not_negative(values: Floats, name: str) -> Floats:
    if (values < 0).any():
        raise ValueError(f"`{name}` must not be negative, got {values.min():.4g}")
    return values


def _head(axes: Axes, name: str, above: int) -> None:
    """Write a model's name over its panel."""
    axes.annotate(name, (0, 1), (0, above), xycoords="axes fraction", textcoords="offset pixels",
                  fontsize=11, weight="bold", va="bottom")  # fmt: skip


def _label_axes(axes: Axes, order: Ordering, height: float) -> None:
    """Write each axis's name and activity beside its row, inactive ones grey."""
    tiles.label_rows(axes, height, _labels(order), "black")
    for tick in axes.get_yticklabels()[order.active :]:
        tick.set_color(tiles.FAINT)


def _labels(order: Ordering) -> list[str]:
    """Each axis's name, over the number of its activity."""
    numbers = [activity.rpartition(" ")[2] for activity in order.activities]
    return [f"{name}\n{number}" for name, number in zip(order.names, numbers, strict=True)]


def _norm(mosaics: list[Floats]) -> Normalize:
    values = np.concatenate([mosaic[~np.isnan(mosaic)] for mosaic in mosaics])
    return Normalize(0, float(np.percentile(values, 99.9)) or float(values.max()) or 1.0)


def _bar(picture: Figure, panels: list[Axes], norm: Normalize, label: str) -> None:
    """A colour bar to the right of the first panels."""
    across, down = picture.bbox.width, picture.bbox.height
    right = max(panel.get_position().x1 for panel in panels) * across
    top = down - panels[0].get_position().y1 * down
    height = min(220, down - top - 60)
    bar = colour_bar(picture, round(right + 16), round(top), round(height), norm, _SIZES, "max")
    bar.set_label(label, fontsize=9)
