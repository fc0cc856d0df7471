"""How far from orthogonal the Jacobian's columns are."""

from math import isnan, nan
from typing import Unpack

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from axiswise.plots._inputs import ArrayLike, Floats, as_cosines
from axiswise.plots._ordering import AxisOptions, Ordering, order_axes
from axiswise.plots._tiles import FAINT, chart

_TOLERANCE = 1e-3


def column_cosines(
    cosines: ArrayLike,
    activity: ArrayLike,
    **options: Unpack[AxisOptions],
) -> Figure:
    """Draw the matrix of mean absolute cosines between the Jacobian's columns.

    White is orthogonal, dark is parallel; the scale runs from 0 to 1. Axes in order of activity,
    inactive ones last, behind a line. The title gives the mean over pairs of different active
    axes.

    Args:
        cosines: (latent, latent), symmetric, in [0, 1]: |cos(J_i, J_j)|, averaged over images. NaN
            where it is undefined, because a column has length zero.
        activity: (latent,), how much each axis is used: its KL in nats, say.
        options: Of :class:`AxisOptions`.

    Raises:
        TypeError, ValueError: An array is not as described, or `max_axes` is below 1.
    """
    matrix = symmetric_cosines(cosines)
    order = order_axes(activity, len(matrix), **options)
    shown = matrix[np.ix_(order.indices, order.indices)]
    side = 2.6 + 0.5 * order.shown
    picture = chart(side + 0.9, side)
    axes = draw_cosines(picture, shown)
    _label(axes, order)
    mean = mean_of_pairs(shown[: order.active, : order.active])
    found = "cosines" if isnan(mean) else f"mean |cos| {mean:.2f}\nbetween different active axes"
    axes.set_title(f"Jacobian columns: {found}", fontsize=11, loc="left")
    return picture


def symmetric_cosines(cosines: ArrayLike) -> Floats:
    """A matrix of absolute cosines, which must be square, symmetric and within [0, 1]."""
    matrix = as_cosines(cosines, "cosines", "latent", finite=False)
    if not np.allclose(matrix, matrix.T, atol=_TOLERANCE, equal_nan=True):
        raise ValueError("`cosines` must be symmetric, got a matrix that is not")
    return matrix


def mean_of_pairs(cosines: Floats) -> float:
    """The mean off the diagonal, over those that are defined; NaN if there are none."""
    pairs = cosines[~np.eye(len(cosines), dtype=bool)]
    pairs = pairs[~np.isnan(pairs)]
    return float(pairs.mean()) if pairs.size else nan


def draw_cosines(picture: Figure, matrix: Floats, written: bool = True) -> Axes:
    """Draw a matrix with its scale; values in the cells, a dash where they are undefined."""
    axes = picture.add_subplot()
    shown = axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set_facecolor("0.9")
    axes.tick_params(length=0)
    picture.colorbar(shown, ax=axes, shrink=0.8).set_label("mean |cos|")
    if not written:
        return axes
    for (row, column), value in np.ndenumerate(matrix):
        text = "–" if np.isnan(value) else f"{value:.2f}".removeprefix("0")
        colour = "white" if value > 0.6 else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    return axes


def _label(axes: Axes, order: Ordering) -> None:
    """Name the axes, with a line between the active and the inactive ones."""
    ticks = range(order.shown)
    rows = [f"{n}  {a}" for n, a in zip(order.names, order.activities, strict=True)]
    axes.set_xticks(ticks, list(order.names), rotation=90, fontsize=9)
    axes.set_yticks(ticks, rows, fontsize=9)
    for label in [*axes.get_xticklabels()[order.active :], *axes.get_yticklabels()[order.active :]]:
        label.set_color(FAINT)
    if 0 < order.active < order.shown:
        axes.axhline(order.active - 0.5, color="0.3", linewidth=1)
        axes.axvline(order.active - 0.5, color="0.3", linewidth=1)
    axes.set_xlabel("axes in order of activity; grey: inactive", fontsize=9)
