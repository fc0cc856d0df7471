"""The page of a figure: pictures and tables, beside the paper's numbers."""

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from axiswise import plots
from axiswise.plots.report import Cell
from axiswise.runs.compare import deviation_of
from axiswise.runs.evaluation import flat_scores
from axiswise.runs.figures.axes import (
    activeness,
    columns,
    films,
    heat_maps,
    hessians,
    traversals,
)
from axiswise.runs.figures.figure import Figure
from axiswise.runs.figures.linear import linear
from axiswise.runs.figures.parts import Drawing, Page, Part
from axiswise.runs.figures.searches import directions
from axiswise.support.progress import late_bar

_INITIALS = re.compile(r"\b(mig|vp|ppl|fid|kid)\b")
_RADIUS = "0.1"  # at which methods are compared


def page_parts(page: Page) -> list[Part]:
    """Draw a figure's page: pictures, films and tables, in order; nothing without any scores.

    What needs runs is left out where there are only scores.
    """
    there = {model: found for model, found in page.evaluations.items() if found}
    page = replace(page, evaluations=there)
    drawn = [name for name in page.figure.draws if page.pictured or name in _OF_SCORES]
    draws = drawn if there else []
    progress, parts = late_bar(page.start_bar, "page"), list[Part]()
    for done, name in enumerate(draws, start=1):
        parts += DRAWN[name](page)
        progress(done, len(draws))
    return parts


def needs_runs(figure: Figure) -> bool:
    """Whether its page needs trained models, beside scores."""
    return not set(figure.draws) <= set(_OF_SCORES)


def _means(page: Page) -> list[Part]:
    """The scores shown, a row for each model."""
    names = _names(page)
    rows: list[list[Cell]] = [
        [model, *(_cell(_values(found, name), _digits(name)) for name in names), len(found)]
        for model, found in page.evaluations.items()
    ]
    of = f"{page.figure.measured}, mean" if page.figure.measured else "Mean"
    caption = f"{of} ± standard deviation over seeds."
    return [plots.Table(["model", *map(_short, names), "runs"], rows, caption)]


def _comparison(page: Page) -> list[Part]:
    """The same as a picture."""
    groups = {
        model: {
            _short(name): finite
            for name in _names(page)
            if (finite := list(filter(math.isfinite, _values(found, name))))
        }
        for model, found in page.evaluations.items()
    }
    caption = "A dot for each seed, mean and standard deviation."
    drawn = plots.comparison(groups) if any(groups.values()) else None
    return [Drawing("scores.png", drawn, caption)] if drawn else []


def _curves(page: Page) -> list[Part]:
    figure, evaluations = page.figure, page.evaluations
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
    picture = plots.scores_against_radius(curves, references)
    caption = f"Mean and standard deviation over seeds; dashed, the paper's {figure.statistic}s."
    return [Drawing("radius.png", picture, caption)]


def _by_radius(page: Page) -> list[Part]:
    figure, evaluations = page.figure, page.evaluations
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


def _strips(page: Page) -> list[Part]:
    figure, evaluations = page.figure, page.evaluations
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
    caption = (
        f"At radius {_RADIUS}: a dot for each seed, and a box from their first to their third "
        f"quartile with a line at the median; the diamonds are the paper's {figure.statistic}s."
    )
    picture = plots.comparison(groups, references, boxes=True)
    return [Drawing("methods.png", picture, caption)]


def _tests(page: Page) -> list[Part]:
    """Each model beside the paper's numbers, and t-tests of the first one against each other."""
    from scipy.stats import ttest_ind

    figure, evaluations, first = page.figure, page.evaluations, next(iter(page.scale.models))
    tables: list[Part] = []
    for score, known in figure.published.items():
        rows: list[list[Cell]] = []
        own = _values(evaluations.get(first, []), f"{score} {_RADIUS}")
        for model, found in evaluations.items():
            values = _values(found, f"{score} {_RADIUS}")
            tests: list[Cell] = [None] * 4
            if model != first and min(len(own), len(values)) > 1:
                both = [ttest_ind(own, values, equal_var=equal) for equal in (False, True)]
                tests = [text for test in both for text in _result(test)]
            paper = known.get(model, {}).get(float(_RADIUS))
            median = f"{statistics.median(values):.3f}"
            rows.append([model, len(found), _cell(values), median, paper, *tests])
        title = _title(score)
        known_as = ["mean", "median", f"paper's {figure.statistic}"]
        header = [title, "runs", *known_as, "t", "p", "Student's t", "Student's p"]
        caption = (
            f"{title} at radius {_RADIUS}; {first} against each: t and p of Welch's test, and of "
            "Student's, which the paper took."
        )
        tables.append(plots.Table(header, rows, caption))
    return tables


def _result(test: Any) -> list[str]:
    return [f"{test.statistic:.2f}", f"{test.pvalue:.2g}"]


def _title(score: str) -> str:
    """A score's name for people."""
    return _INITIALS.sub(lambda word: word[0].upper(), score.replace("_", " "))


def _short(score: str) -> str:
    """Its name in a table of its kind."""
    return _title(score.removeprefix("column_").removeprefix("local_"))


def _runs(page: Page) -> list[Part]:
    """Every run by itself."""
    names = _names(page)
    rows: list[list[Cell]] = []
    for model, found in page.evaluations.items():
        for evaluation in found:
            scores = flat_scores(evaluation["scores"])
            values = [_cell([scores.get(name, math.nan)], _digits(name)) for name in names]
            rows.append([model, evaluation["seed"], scores.get("active_axes"), *values])
    header = ["model", "seed", "active axes", *map(_short, names)]
    return [plots.Table(header, rows, "Each run.")]


def _names(page: Page) -> list[str]:
    """Scores shown that some run has, in order, but for those over active axes alone."""
    there = {
        name: None
        for found in page.evaluations.values()
        for evaluation in found
        for name in flat_scores(evaluation["scores"])
        if "_active" not in name and name != "column_length"
    }
    return [
        name
        for shown in page.figure.shows
        for name in there
        if name == shown or (shown.endswith("_") and name.startswith(shown))
    ]


def _values(found: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    scores = (flat_scores(evaluation["scores"]) for evaluation in found)
    return [own[name] for own in scores if name in own]


def _cell(values: Sequence[float], digits: str = ".3f") -> str | None:
    if not values or math.isnan(values[0]):
        return None
    deviation = f" ± {deviation_of(values):{digits}}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{digits}}{deviation}"


def _digits(score: str) -> str:
    """How a score is written: small ones of no fixed scale by their leading digits."""
    return ".2g" if score.startswith("activeness") else ".3f"


# Name in a figure's file → what draws it. Those of the first group need no model, but scores.
_OF_SCORES: dict[str, Callable[[Page], list[Part]]] = {
    "means": _means,
    "comparison": _comparison,
    "radius": _curves,
    "by-radius": _by_radius,
    "methods": _strips,
    "tests": _tests,
    "runs": _runs,
    "activeness": activeness,
    "directions": directions,
}
DRAWN: dict[str, Callable[[Page], list[Part]]] = {
    **_OF_SCORES,
    "linear": linear,
    "columns": columns,
    "traversals": traversals,
    "heat-maps": heat_maps,
    "hessians": hessians,
    "films": films,
}
