"""How far from orthogonal the Jacobian's columns are."""

from math import isnan, nan
from typing import Unpack

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from axiswise.plots._inputs import ArrayLike, Floats, as_floats
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
    inactive ones last and past a line. The title gives the mean over pairs of different active
    axes.

    Args:
        cosines: (latent, latent), symmetric, in [0, 1]: |cos(J_i, J_j)|, averaged over images. NaN
            where it is undefined, because a column has length zero.
        activity: (latent,), how much each axis is used: its KL in nats, say.
        options: Of :class:`AxisOptions`.

    Raises:
        TypeError: An array does not hold real numbers.
        ValueError: Shapes that are wrong or do not fit each other, cosines outside [0, 1] or not
            symmetric, activity not finite, `max_axes` below 1.
    """
    matrix = as_cosines(cosines)
    order = order_axes(activity, len(matrix), **options)
    shown = matrix[np.ix_(order.indices, order.indices)]
    side = 2.6 + 0.5 * order.shown
    figure = chart(side + 0.9, side)
    axes = figure.add_subplot()
    picture = axes.imshow(shown, cmap="Blues", vmin=0, vmax=1)
    axes.set_facecolor("0.9")
    bar = figure.colorbar(picture, ax=axes, shrink=0.8)
    bar.set_label("mean |cos|")
    annotate(axes, shown)
    _label(axes, order)
    axes.set_title(_title(shown[: order.active, : order.active]), fontsize=11, loc="left")
    return figure


def _title(active: Floats) -> str:
    """Sum up the block of the active axes."""
    mean = mean_of_pairs(active)
    if isnan(mean):
        return "Jacobian columns: cosines"
    return f"Jacobian columns: mean |cos| {mean:.2f}\nbetween different active axes"


def as_cosines(cosines: ArrayLike) -> Floats:
    """A matrix of absolute cosines, which must be square, symmetric and within [0, 1]."""
    matrix = as_floats(cosines, "cosines", ["latent", "latent"], finite=False)
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"`cosines` must be square, got shape {matrix.shape}")
    low, high = float(np.nanmin(matrix, initial=1)), float(np.nanmax(matrix, initial=0))
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        raise ValueError(f"`cosines` must lie in [0, 1], got values from {low:.4g} to {high:.4g}")
    if not np.allclose(matrix, matrix.T, atol=_TOLERANCE, equal_nan=True):
        raise ValueError("`cosines` must be symmetric, got a matrix that is not")
    return matrix


def mean_of_pairs(cosines: Floats) -> float:
    """The mean off the diagonal, over those that are defined; NaN if there are none."""
    pairs = cosines[~np.eye(len(cosines), dtype=bool)]
    pairs = pairs[~np.isnan(pairs)]
    return float(pairs.mean()) if pairs.size else nan


def annotate(axes: Axes, matrix: Floats) -> None:
    """Write each value into its cell, without the leading zero; a dash where undefined."""
    for (row, column), value in np.ndenumerate(matrix):
        text = "–" if np.isnan(value) else f"{value:.2f}".removeprefix("0")
        colour = "white" if value > 0.6 else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)


def _label(axes: Axes, order: Ordering) -> None:
    """Name the axes, and part the active from the inactive ones."""
    ticks = range(order.shown)
    rows = [f"{n}  {a}" for n, a in zip(order.names, order.activities, strict=True)]
    axes.set_xticks(ticks, list(order.names), rotation=90, fontsize=9)
    axes.set_yticks(ticks, rows, fontsize=9)
    axes.tick_params(length=0)
    for label in [*axes.get_xticklabels()[order.active :], *axes.get_yticklabels()[order.active :]]:
        label.set_color(FAINT)
    if 0 < order.active < order.shown:
        axes.axhline(order.active - 0.5, color="0.3", linewidth=1)
        axes.axvline(order.active - 0.5, color="0.3", linewidth=1)
    axes.set_xlabel("axes in order of activity; grey: inactive", fontsize=9)
