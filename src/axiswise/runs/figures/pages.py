"""The page of a figure: pictures and tables, beside the paper's numbers."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from matplotlib.figure import Figure as Picture

from axiswise import plots
from axiswise.plots.report import Cell
from axiswise.runs.compare import deviation_of
from axiswise.runs.evaluation import flat_scores
from axiswise.runs.figures.figure import Figure
from axiswise.runs.run import Run
from axiswise.runs.show import columns_of

_IMAGES = 4  # rows in the pictures of Jacobian columns
_RADIUS = "0.1"  # at which methods are compared

# Model → the evaluation of each of its runs, by seed.
Evaluations: TypeAlias = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Drawing:
    """A picture of the page: its file name, the picture, and a sentence about it."""

    file: str
    picture: Picture
    caption: str


Part: TypeAlias = Drawing | plots.Table


def page_parts(figure: Figure, evaluations: Evaluations, pictured: Mapping[str, Run]) -> list[Part]:
    """Draw a figure's page: pictures and tables, in order.

    Args:
        figure: The figure.
        evaluations: The evaluations of its runs; a model may have none yet.
        pictured: A run of each model, for pages with Jacobian columns.
    """
    there = {model: found for model, found in evaluations.items() if found}
    if not there:
        return []
    if figure.page == "columns":
        return [*_columns(pictured), _measures(there), _runs(there, "column_")]
    if figure.page == "radius":
        return [_curves(figure, there), *_by_radius(figure, there), _runs(there, "local_")]
    return [_strips(figure, there), *_tests(figure, there), _runs(there, "local_")]


def _columns(pictured: Mapping[str, Run]) -> list[Part]:
    return [
        Drawing(
            f"columns-{number}.png",
            _column_picture(run),
            f"{model}, seed {run.recipe.seed}: four images, and what a small step along each axis "
            "adds (red) and takes (blue).",
        )
        for number, (model, run) in enumerate(pictured.items())
    ]


def _column_picture(run: Run) -> Picture:
    z = run.latents(_IMAGES)
    columns, images = columns_of(run, z), run.generate(z).cpu()
    return plots.jacobian_columns(columns, images, run.activity, active_above=run.threshold)


def _measures(evaluations: Evaluations) -> plots.Table:
    """Numbers about columns, a row for each model."""
    names = _names(evaluations, "column_")
    rows = [
        [model, *(_cell(_values(found, name)) for name in names), len(found)]
        for model, found in evaluations.items()
    ]
    return plots.Table(
        ["model", *(_title(name.removeprefix("column_")) for name in names), "runs"],
        rows,
        "Columns of active axes at 500 images each, mean ± standard deviation over seeds.",
    )


def _curves(figure: Figure, evaluations: Evaluations) -> Drawing:
    curves: dict[str, dict[str, tuple[list[float], list[float], list[float]]]] = {}
    for model, found in evaluations.items():
        for score in figure.published:
            radii = list(found[0]["scores"][score])
            values = [_values(found, f"{score} {radius}") for radius in radii]
            means = [statistics.mean(seeds) for seeds in values]
            curve = ([float(radius) for radius in radii], means, list(map(deviation_of, values)))
            curves.setdefault(model, {})[_title(score)] = curve
    references = {
        model: {
            _title(score): (list(known[model]), list(known[model].values()))
            for score, known in figure.published.items()
            if model in known
        }
        for model in evaluations
    }
    return Drawing(
        "radius.png",
        plots.scores_against_radius(curves, references),
        "Mean and standard deviation over seeds; dashed, the paper's medians.",
    )


def _by_radius(figure: Figure, evaluations: Evaluations) -> list[Part]:
    tables: list[Part] = []
    for score, known in figure.published.items():
        radii = list(next(iter(evaluations.values()))[0]["scores"][score])
        rows: list[list[Cell]] = []
        for model, found in evaluations.items():
            cells = [_cell(_values(found, f"{score} {radius}")) for radius in radii]
            rows.append([model, len(found), *cells])
            paper = [known.get(model, {}).get(float(radius)) for radius in radii]
            rows.append([f"{model}, paper", None, *paper])
        title = _title(score)
        tables.append(plots.Table([title, "runs", *radii], rows, f"{title} by radius."))
    return tables


def _strips(figure: Figure, evaluations: Evaluations) -> Drawing:
    groups = {
        model: {_title(score): _values(found, f"{score} {_RADIUS}") for score in figure.published}
        for model, found in evaluations.items()
    }
    references = {
        model: {
            _title(score): known[model][float(_RADIUS)]
            for score, known in figure.published.items()
            if model in known
        }
        for model in groups
    }
    return Drawing(
        "methods.png",
        plots.comparison(groups, references),
        f"At radius {_RADIUS}: a dot for each seed, mean and standard deviation; the diamonds are "
        "the paper's medians.",
    )


def _tests(figure: Figure, evaluations: Evaluations) -> list[Part]:
    """Each model beside the paper's numbers, and a t-test of the first one against each other."""
    from scipy.stats import ttest_ind

    first = next(iter(figure.scales["fast"].models))
    tables: list[Part] = []
    for score, known in figure.published.items():
        rows: list[list[Cell]] = []
        own = _values(evaluations.get(first, []), f"{score} {_RADIUS}")
        for model, found in evaluations.items():
            values = _values(found, f"{score} {_RADIUS}")
            test: list[Cell] = [None, None]
            if model != first and min(len(own), len(values)) > 1:
                result = ttest_ind(own, values, equal_var=False)
                test = [f"{result.statistic:.2f}", f"{result.pvalue:.2g}"]
            paper = known.get(model, {}).get(float(_RADIUS))
            median = f"{statistics.median(values):.3f}"
            rows.append([model, len(found), _cell(values), median, paper, *test])
        title = _title(score)
        tables.append(
            plots.Table(
                [title, "runs", "mean", "median", "paper's median", "t", "p"],
                rows,
                f"{title} at radius {_RADIUS}; t and p of Welch's test, {first} against each.",
            )
        )
    return tables


def _title(score: str) -> str:
    """A score's name for people."""
    return score.replace("_", " ").replace("mig", "MIG")


def _runs(evaluations: Evaluations, prefix: str) -> plots.Table:
    """Every run by itself."""
    names = _names(evaluations, prefix)
    rows: list[list[Cell]] = []
    for model, found in evaluations.items():
        for evaluation in found:
            scores = flat_scores(evaluation["scores"])
            values = [_number(scores.get(name)) for name in names]
            rows.append([model, evaluation["seed"], scores["active_axes"], *values])
    header = [_title(name.removeprefix(prefix)) for name in names]
    return plots.Table(["model", "seed", "active axes", *header], rows, "Each run.")


def _names(evaluations: Evaluations, prefix: str) -> list[str]:
    """Scores that some run has, but for those over active axes alone."""
    names = {
        name: None
        for found in evaluations.values()
        for evaluation in found
        for name in flat_scores(evaluation["scores"])
        if name.startswith(prefix) and "_active" not in name and name != "column_length"
    }
    return list(names)


def _values(found: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    scores = (flat_scores(evaluation["scores"]) for evaluation in found)
    return [own[name] for own in scores if name in own]


def _cell(values: Sequence[float]) -> str | None:
    if not values:
        return None
    deviation = f" ± {deviation_of(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


def _number(value: float | None) -> str | None:
    return None if value is None or math.isnan(value) else f"{value:.3f}"
