"""Numbers over runs: scores against radius, losses over time, recipes side by side."""

from collections.abc import Mapping, Sequence
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
    """Draw local scores against radius, with spread: Figure 4 of Rhodes & Lee, NeurIPS 2021.

    One panel for each score, a line with a band of ± std for each model. The vertical scale starts
    at 0 where the lowest mean is less than half of the highest, and where the values lie otherwise.

    Args:
        curves: Model → score → (radii, mean, std), each (radius,): radii as shares of the factors'
            range, mean over centres or seeds and standard deviation of the score.
        references: Model → score → (radii, values): the paper's numbers, say, as dashed lines. A
            reference named like a model takes its colour.

    Raises:
        TypeError: An array does not hold real numbers.
        ValueError: No curves, arrays of unequal length, values that are not finite, std below 0.
    """
    lines = _checked("curves", curves, "mean", "std")
    if not any(lines.values()):
        raise ValueError(f"`curves` must hold at least one score of one model, got {curves}")
    dashed = _checked("references", references or {}, "values")
    panels = list(dict.fromkeys(score for scores in lines.values() for score in scores))
    models = list(dict.fromkeys([*lines, *dashed]))
    across = min(_ACROSS, len(panels))
    figure = chart(4.6 * across, 4.2 * ceil(len(panels) / across))
    for axes, score in zip(_panels(figure, len(panels), across), panels, strict=True):
        for model, scores in lines.items():
            if score in scores:
                _band(axes, model, models.index(model), *scores[score])
        for model, known in dashed.items():
            if score in known:
                _dashed(axes, f"{model} (reference)", models.index(model), *known[score])
        axes.set_title(score, fontsize=11, loc="left")
        axes.set_xlabel("radius (share of each factor's range)")
        _fit_scale(axes, [s[score][1] for s in lines.values() if score in s])
    _shared_legend(figure)
    return figure


def loss_curves(history: Mapping[str, ArrayLike]) -> Figure:
    """Draw every logged column against the step, one small panel each.

    The vertical scale is logarithmic where all values are positive and the largest is at least 20
    times the smallest. Where there are 100 values or more, a running mean over a fiftieth of them
    is drawn over the raw values.

    Args:
        history: Column name → values, (row,) each, with a column "step". NaN marks a row in which
            the column was not logged; it and infinite values are left out.

    Raises:
        TypeError: A column does not hold real numbers.
        ValueError: No column "step" or nothing but it, a step that is not finite, columns of
            unequal length.
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
    figure = chart(3.6 * across, 2.4 * ceil(len(columns) / across))
    panels = _panels(figure, len(columns), across)
    for axes, (name, values) in zip(panels, columns.items(), strict=True):
        _history(axes, name, steps, values)
    return figure


def comparison(
    groups: Mapping[str, Mapping[str, ArrayLike]],
    references: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Draw each score of each recipe: every seed a dot, the mean a line, ± std a bar.

    One panel for each score, a row for each recipe; beside the row stand mean, standard deviation
    (of a sample: n − 1) and number of seeds. A recipe that lacks a score has an empty row there.

    Args:
        groups: Recipe → score → values, (seed,).
        references: Recipe → score → a value to compare with, as the paper's: a diamond.

    Raises:
        TypeError: Values that are not real numbers.
        ValueError: No recipes or no scores, values that are not finite, an empty list.
    """
    values = {
        recipe: {s: as_floats(v, f"groups[{recipe!r}][{s!r}]", ["seed"]) for s, v in scores.items()}
        for recipe, scores in groups.items()
    }
    panels = list(dict.fromkeys(score for scores in values.values() for score in scores))
    if not panels:
        raise ValueError(f"`groups` must hold at least one score of one recipe, got {groups}")
    across = min(_ACROSS, len(panels))
    down = ceil(len(panels) / across)
    known = references or {}
    figure = chart(2.2 + 3.6 * across, down * (1.1 + 0.62 * len(values)) + 0.3 * bool(known))
    for number, (axes, score) in enumerate(
        zip(_panels(figure, len(panels), across), panels, strict=True)
    ):
        for row, (recipe, scores) in enumerate(values.items()):
            if score in scores:
                _seeds(axes, row, scores[score], SERIES[row % len(SERIES)])
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
        _shared_legend(figure)
    return figure


def _checked(
    name: str, lines: Mapping[str, Mapping[str, tuple[ArrayLike, ...]]], *parts: str
) -> dict[str, dict[str, list[Floats]]]:
    """Model → score → the radii and what stands at each, all of one length, std not negative."""
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


def _panels(figure: Figure, count: int, across: int) -> list[Axes]:
    """Axes in a grid, in reading order, each with a light frame."""
    panels = [figure.add_subplot(ceil(count / across), across, i + 1) for i in range(count)]
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=9)
    return panels


def _band(axes: Axes, label: str, number: int, radii: Floats, mean: Floats, std: Floats) -> None:
    colour = SERIES[number % len(SERIES)]
    marker = _MARKERS[number % len(_MARKERS)]
    axes.fill_between(radii, mean - std, mean + std, color=colour, alpha=0.15, linewidth=0)
    axes.plot(radii, mean, color=colour, marker=marker, markersize=5, label=label)


def _dashed(axes: Axes, label: str, number: int, radii: Floats, values: Floats) -> None:
    colour = SERIES[number % len(SERIES)]
    axes.plot(radii, values, "--o", color=colour, linewidth=1.3, markersize=5,
              markerfacecolor="white", label=label)  # fmt: skip


def _fit_scale(axes: Axes, means: Sequence[Floats]) -> None:
    lowest, highest = min(float(m.min()) for m in means), max(float(m.max()) for m in means)
    if 0 <= lowest < highest / 2:
        axes.set_ylim(bottom=0)


def _shared_legend(figure: Figure) -> None:
    """One legend below all panels, each label once."""
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=2 if len(figure.axes) < 3 else 3,
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


def _seeds(axes: Axes, row: int, values: Floats, colour: str) -> None:
    """Draw one recipe's seeds, their mean and spread, and write the numbers above."""
    mean = float(values.mean())
    several = len(values) > 1
    spread = float(values.std(ddof=1)) if several else 0.0
    axes.plot([mean - spread, mean + spread], [row, row], color=colour, linewidth=7, alpha=0.25,
              solid_capstyle="butt")  # fmt: skip
    axes.plot([mean, mean], [row - 0.2, row + 0.2], color=colour, linewidth=2)
    axes.plot(values, np.full(len(values), row), "o", color=colour, markersize=5, alpha=0.8,
              markeredgecolor="white", markeredgewidth=0.5)  # fmt: skip
    text = f"{mean:.4g} ± {spread:.2g}  (n = {len(values)})" if several else f"{mean:.4g}  (n = 1)"
    axes.text(0.02, row - 0.25, text, transform=axes.get_yaxis_transform(), va="bottom",
              fontsize=8.5, color="0.25")  # fmt: skip


def _reference(axes: Axes, row: int, value: float) -> None:
    axes.plot([value], [row], "D", color="0.25", markersize=6, markerfacecolor="none",
              markeredgewidth=1.3, linestyle="none", label="reference")  # fmt: skip
