"""How much each latent changes the image, model beside model."""

from collections.abc import Mapping
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from axiswise.plots import _tiles as tiles
from axiswise.plots._colour import SERIES
from axiswise.plots._inputs import ArrayLike, Floats, as_floats
from axiswise.plots._ordering import Ordering, order_axes

MAX_BARS = 64
"""Bars of a model at most: with more of them the names beneath could no longer be read."""

# Lengths in pixels.
_ACROSS = 1600
_PANEL_HEIGHT = 260
_SIDE = 80  # beside the bars of a panel: the scale and its name, margins
_LEAST_BARS = 220
_WIDEST_BAR = 26  # with the space between it and the next
_NARROWEST_BAR = 10.8  # the height of the smallest names, which are then upright


def activeness(models: Mapping[str, ArrayLike]) -> Figure:
    """Draw how much each latent changes the image: Wei et al., ICCV 2021, arXiv 2108.07668.

    A panel for each model, a bar for each latent in descending order, its name (z0, z1, …) beneath.
    All panels share one vertical scale, which starts at 0; they are side by side as far as the
    width allows. Of a model with more than 64 latents the 64 most active are drawn.

    Args:
        models: Model → activeness, (latent,), at least 0, as `axiswise.metrics.activeness` gives
            it. Models may differ in their number of latents.

    Raises:
        TypeError, ValueError: No models, or values not as described.
    """
    if not models:
        raise ValueError(f"`models` must have at least one model, got {models}")
    values = {model: _checked(given, f"models[{model!r}]") for model, given in models.items()}
    orders = {
        model: order_axes(v, len(v), active_above=0, max_axes=MAX_BARS)
        for model, v in values.items()
    }
    bars = max(order.shown for order in orders.values())
    pitch = max(_NARROWEST_BAR, min(_WIDEST_BAR, 480 / bars))
    panel_width = max(_LEAST_BARS, pitch * bars)
    down = ceil(len(models) / max(1, int(_ACROSS / (panel_width + _SIDE))))
    across = ceil(len(models) / down)
    width = max(480, round(across * (panel_width + _SIDE)))
    note = tiles.wrap_note(_note(orders), width)
    height = down * _PANEL_HEIGHT + tiles.note_height(note)
    picture = tiles.chart(width / tiles.DPI, height / tiles.DPI)
    grid = picture.subplots(down, across, sharey=True, squeeze=False)
    for spare in grid.flat[len(models) :]:
        spare.remove()
    for axes, (model, order) in zip(grid.flat, orders.items(), strict=False):
        _bars(axes, values[model][list(order.indices)], order.names, panel_width / bars)
        axes.set_xlim(-0.6, bars - 0.4)
        axes.set_title(tiles.wrap_title(model, round(panel_width)), fontsize=11, loc="left")
    for first in grid[:, 0]:
        first.set_ylabel("activeness", fontsize=10)
    highest = max(float(v.max()) for v in values.values())
    grid[0, 0].set_ylim(0, 1.05 * highest or 1)
    picture.supxlabel(note, x=16 / width, ha="left", fontsize=9.5, color=tiles.MUTED)
    return picture


def _checked(given: ArrayLike, name: str) -> Floats:
    values = as_floats(given, name, ["latent"])
    if (values < 0).any():
        raise ValueError(f"`{name}` must not be negative, got {values.min():.4g}")
    return values


def _bars(axes: Axes, heights: Floats, names: tuple[str, ...], pitch: float) -> None:
    """Draw a bar of each height, `pitch` pixels apart, with its name beneath."""
    axes.bar(np.arange(len(heights)), heights, width=0.8, color=SERIES[0])
    upright = pitch < _WIDEST_BAR * 0.9
    axes.set_xticks(
        range(len(names)),
        names,
        rotation=90 if upright else 0,
        fontsize=float(np.clip(0.6 * pitch, 6.5, 9)) if upright else 9,
    )
    axes.tick_params(axis="x", length=0)
    axes.tick_params(axis="y", labelsize=9)
    # No common factor above the scale, where the model's name is.
    axes.yaxis.set_major_formatter("{x:g}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)


def _note(orders: Mapping[str, Ordering]) -> str:
    """What is drawn, and of which models not all latents are."""
    cut = [f"{m} ({o.shown} of {o.total})" for m, o in orders.items() if o.shown < o.total]
    some = f" Only the most active latents of {', '.join(cut)}." if cut else ""
    return (
        "Activeness: variance of the image when one latent changes, the others stay. Latents in "
        f"descending order{', one vertical scale for all models' if len(orders) > 1 else ''}.{some}"
    )
