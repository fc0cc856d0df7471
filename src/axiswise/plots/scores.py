"""Numbers over runs: scores against radius, losses over time, recipes side by side."""

from collections.abc import Mapping
from math import ceil
from typing import TypeAlias

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from axiswise.plots._colour import SERIES
from axiswise.plots._inputs import ArrayLike, Floats, as_floats
from axiswise.plots._tiles import chart

Curves: TypeAlias = Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]]]
References: TypeAlias = Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]]

_ACROSS = 4  # panels in a row
_MARKERS = "osD^vP*"
_SMOOTH_FROM = 100  # values from which a running mean is drawn over the raw line
_LOG_FROM = 20.0  # ratio of largest to smallest from which the scale is logarithmic


def scores_against_radius(curves: Curves, references: References | None = None) -> Figure:
    """Draw local scores against radius, with std: Figure 4 of Rhodes & Lee, NeurIPS 2021.

    One panel for each score, a line with a band of ± std for each model. The vertical scale starts
    at 0 where the lowest mean is less than half of the highest, and where the values lie otherwise.

    Args:
        curves: Model → score → (radii, mean, std), each (radius,): radii as shares of the factors'
            range, mean over centres or seeds and standard deviation of the score.
        references: Model → score → (radii, values): the paper's numbers, say, as dashed lines. A
            reference named like a model takes its colour.

    Raises:
        TypeError, ValueError: No curves, or an array not as described.
    """
    lines = _checked("curves", curves, "mean", "std")
    if not any(lines.values()):
        raise ValueError(f"`curves` must have at least one score of one model, got {curves}")
    dashed = _checked("references", references or {}, "values")
    panels = list(dict.fromkeys(score for scores in lines.values() for score in scores))
    models = list(dict.fromkeys([*lines, *dashed]))
    across = min(_ACROSS, len(panels))
    picture = chart(4.6 * across, 4.2 * ceil(len(panels) / across))
    for axes, score in zip(_panels(picture, len(panels), across), panels, strict=True):
        means = []
        for number, model in enumerate(models):
            colour, marker = SERIES[number % len(SERIES)], _MARKERS[number % len(_MARKERS)]
            if score in lines.get(model, {}):
                radii, mean, std = lines[model][score]
                means.append(mean)
                axes.fill_between(radii, mean - std, mean + std, color=colour, alpha=0.15,
                                  linewidth=0)  # fmt: skip
                axes.plot(radii, mean, color=colour, marker=marker, markersize=5, label=model)
        for number, model in enumerate(models):
            if score in dashed.get(model, {}):
                axes.plot(*dashed[model][score], "--o", color=SERIES[number % len(SERIES)],
                          linewidth=1.3, markersize=5, markerfacecolor="white",
                          label=f"{model} (reference)")  # fmt: skip
        axes.set_title(score, fontsize=11, loc="left")
        axes.set_xlabel("radius (share of each factor's range)")
        lowest, highest = np.min(np.concatenate(means)), np.max(np.concatenate(means))
        if 0 <= lowest < highest / 2:
            axes.set_ylim(bottom=0)
    _shared_legend(picture)
    return picture


def loss_curves(history: Mapping[str, ArrayLike]) -> Figure:
    """Draw every logged column against the step, one small panel each.

    The vertical scale is logarithmic where all values are positive and the largest is at least 20
    times the smallest. Where there are 100 values or more, a running mean over a fiftieth of them
    is drawn over the raw values.

    Args:
        history: Column name → values, (row,) each, with a column "step". NaN marks a row in which
            the column was not logged; it and infinite values are left out.

    Raises:
        TypeError, ValueError: No column "step" or no other, or a column not as described.
    """
    if "step" not in history or len(history) < 2:
        raise ValueError(
            f"`history` must have a column 'step' and at least one other, got {list(history)}"
        )
    steps = as_floats(history["step"], "history['step']", ["row"])
    columns = {
        name: _same_length(values, f"history[{name!r}]", steps, finite=False)
        for name, values in history.items()
        if name != "step"
    }
    across = min(3, len(columns))
    picture = chart(3.6 * across, 2.4 * ceil(len(columns) / across))
    panels = _panels(picture, len(columns), across)
    for axes, (name, values) in zip(panels, columns.items(), strict=True):
        _history(axes, name, steps, values)
    return picture


def comparison(
    groups: Mapping[str, Mapping[str, ArrayLike]],
    references: Mapping[str, Mapping[str, float]] | None = None,
    *,
    boxes: bool = False,
) -> Figure:
    """Draw each score of each recipe: every seed a dot, the mean a line, ± std a bar.

    With `boxes`, a box from the first to the third quartile takes the place of the bar: its line is
    the median, and its whiskers end at the farthest seeds within 1.5 times its length.

    One panel for each score, a row for each recipe; in the row are mean, standard deviation
    (of a sample: n − 1) and number of seeds. A recipe that lacks a score has an empty row there.

    Args:
        groups: Recipe → score → values, (seed,).
        references: Recipe → score → a value to compare with, as the paper's: a diamond.
        boxes: Whether box plots are drawn.

    Raises:
        TypeError, ValueError: No recipes or no scores, or values not as described.
    """
    values = {
        recipe: {s: as_floats(v, f"groups[{recipe!r}][{s!r}]", ["seed"]) for s, v in scores.items()}
        for recipe, scores in groups.items()
    }
    panels = list(dict.fromkeys(score for scores in values.values() for score in scores))
    if not panels:
        raise ValueError(f"`groups` must have at least one score of one recipe, got {groups}")
    across = min(_ACROSS, len(panels))
    down = ceil(len(panels) / across)
    known = references or {}
    picture = chart(2.2 + 3.6 * across, down * (1.1 + 0.62 * len(values)) + 0.3 * bool(known))
    for number, (axes, score) in enumerate(
        zip(_panels(picture, len(panels), across), panels, strict=True)
    ):
        for row, (recipe, scores) in enumerate(values.items()):
            if score in scores:
                _seeds(axes, row, scores[score], SERIES[row % len(SERIES)], boxes=boxes)
            if score in known.get(recipe, {}):
                _reference(axes, row, known[recipe][score])
        axes.set_title(score, fontsize=11, loc="left")
        axes.set_yticks(
            range(len(values)), list(values) if number % across == 0 else [""] * len(values)
        )
        axes.set_ylim(len(values) - 0.45, -0.65)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.12)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4))  # numbers such as 0.00125 are long
    if known:
        _shared_legend(picture)
    return picture


def _checked(
    name: str, lines: Mapping[str, Mapping[str, tuple[ArrayLike, ...]]], *parts: str
) -> dict[str, dict[str, list[Floats]]]:
    """Model → score → radii and `parts`, all of one length, std not negative."""
    checked: dict[str, dict[str, list[Floats]]] = {}
    for model, scores in lines.items():
        checked[model] = {}
        for score, (radii, *values) in scores.items():
            where = f"{name}[{model!r}][{score!r}]"
            arrays = [as_floats(radii, f"{where} radii", ["radius"])]
            for part, given in zip(parts, values, strict=True):
                arrays.append(_same_length(given, f"{where} {part}", arrays[0]))
                if part == "std" and (arrays[-1] < 0).any():
                    least = arrays[-1].min()
                    raise ValueError(f"`{where} std` must not be negative, got {least:.4g}")
            checked[model][score] = arrays
    return checked


def _same_length(value: ArrayLike, name: str, like: Floats, *, finite: bool = True) -> Floats:
    array = as_floats(value, name, ["row"], finite=finite)
    if len(array) != len(like):
        raise ValueError(f"`{name}` must have {len(like)} entries, got {len(array)}")
    return array


def _panels(picture: Figure, count: int, across: int) -> list[Axes]:
    """Axes in a grid, in reading order, each with a light frame."""
    panels = [picture.add_subplot(ceil(count / across), across, i + 1) for i in range(count)]
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=9)
    return panels


def _shared_legend(picture: Figure) -> None:
    """One legend below all panels, each label once."""
    handles: dict[str, Artist] = {}
    for axes in picture.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    picture.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=2 if len(picture.axes) < 3 else 3,
        frameon=False,
        fontsize=9,
    )


def _history(axes: Axes, name: str, steps: Floats, values: Floats) -> None:
    logged = np.isfinite(values)
    steps, values = steps[logged], values[logged]
    axes.set_title(name, fontsize=10, loc="left")
    axes.set_xlabel("step", fontsize=9)
    if not len(values):
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no finite values", transform=axes.transAxes, ha="center", color="0.5")
        return
    smooth = len(values) >= _SMOOTH_FROM
    axes.plot(steps, values, color=SERIES[0], linewidth=1.2, alpha=0.3 if smooth else 1)
    if smooth:
        window = len(values) // 50
        mean = np.convolve(values, np.ones(window) / window, "valid")
        start = (window - 1) // 2
        axes.plot(steps[start : start + len(mean)], mean, color=SERIES[0], linewidth=1.6)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    if values.min() > 0 and values.max() >= _LOG_FROM * values.min():
        axes.set_yscale("log")


def _seeds(axes: Axes, row: int, values: Floats, colour: str, *, boxes: bool) -> None:
    """Draw one recipe's seeds with bar or box, and write mean and standard deviation above."""
    mean = float(values.mean())
    several = len(values) > 1
    std = float(values.std(ddof=1)) if several else 0.0
    if boxes:
        line = {"color": colour, "linewidth": 1.2}
        axes.boxplot([values], positions=[row], widths=0.34, orientation="horizontal",
                     manage_ticks=False, showfliers=False, boxprops=line, whiskerprops=line,
                     capprops=line, medianprops={**line, "linewidth": 2})  # fmt: skip
    else:
        axes.plot([mean - std, mean + std], [row, row], color=colour, linewidth=7, alpha=0.25,
                  solid_capstyle="butt")  # fmt: skip
        axes.plot([mean, mean], [row - 0.2, row + 0.2], color=colour, linewidth=2)
    axes.plot(values, np.full(len(values), row), "o", color=colour, markersize=5, alpha=0.8,
              markeredgecolor="white", markeredgewidth=0.5)  # fmt: skip
    text = f"{mean:.4g} ± {std:.2g}  (n = {len(values)})" if several else f"{mean:.4g}  (n = 1)"
    axes.text(0.02, row - 0.25, text, transform=axes.get_yaxis_transform(), va="bottom",
              fontsize=8.5, color="0.25")  # fmt: skip


def _reference(axes: Axes, row: int, value: float) -> None:
    axes.plot([value], [row], "D", color="0.25", markersize=6, markerfacecolor="none",
              markeredgewidth=1.3, linestyle="none", label="reference")  # fmt: skip
