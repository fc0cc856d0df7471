"""`axiswise compare`: scores of several runs, grouped by recipe."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from axiswise import plots
from axiswise.commands.show import read_evaluation_file
from axiswise.files import write_atomically
from axiswise.training.run_folder import RunFolder

# score → recipe → value of each seed
Values = dict[str, dict[str, list[float]]]


def read_values(sources: Sequence[str]) -> Values:
    """Collect the scores of runs.

    Args:
        sources: Run folders that were evaluated, or evaluation.json files.

    Returns:
        Score (local ones by radius, as "local_mig 0.1") → recipe → one value for each seed.

    Raises:
        FileNotFoundError: If a source is missing or was not evaluated.
        UnreadableFileError: If a file is damaged.
    """
    values: Values = {}
    for source in sources:
        evaluation = read_evaluation_file(_evaluation_path(Path(source)))
        for score, value in _flat(evaluation["scores"]).items():
            values.setdefault(score, {}).setdefault(evaluation["name"], []).append(value)
    return values


def comparison_rows(values: Values) -> list[list[str]]:
    """Scores as a table of text: a row for each, a column for each recipe, a header first.

    Args:
        values: What `read_values` returned.

    Returns:
        Cells "mean ± sample standard deviation (number of seeds)"; "–" where a recipe lacks it.
    """
    recipes = sorted({recipe for by_recipe in values.values() for recipe in by_recipe})
    rows = [["score", *recipes]]
    for score, by_recipe in values.items():
        rows.append([score, *(_cell(by_recipe.get(recipe, [])) for recipe in recipes)])
    return rows


def write_comparison(values: Values, sources: Sequence[str], out: Path) -> None:
    """Write comparison.md, comparison.png and, where there are local scores, radius.png.

    Args:
        values: What `read_values` returned.
        sources: What was compared, for the table's caption.
        out: Folder; made if missing.

    Raises:
        OSError: If something cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = comparison_rows(values)
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    lines += ["", "Made by `axiswise compare " + " ".join(sources) + "`."]
    write_atomically(out / "comparison.md", ("\n".join(lines) + "\n").encode())

    groups: dict[str, dict[str, list[float]]] = {}
    for score, by_recipe in values.items():
        for recipe, seeds in by_recipe.items():
            groups.setdefault(recipe, {})[score] = seeds
    chosen = [score for score in values if " " not in score or score.endswith(" 0.1")]
    shown = {
        recipe: {score: scores[score] for score in chosen if score in scores}
        for recipe, scores in groups.items()
    }
    plots.save(plots.comparison(shown), out / "comparison.png")
    curves = {recipe: _curves(scores) for recipe, scores in groups.items()}
    if any(curves.values()):
        plots.save(plots.scores_against_radius(curves), out / "radius.png")


def _evaluation_path(source: Path) -> Path:
    if source.is_file():
        return source
    path = RunFolder.open(source).evaluation
    if not path.is_file():
        raise FileNotFoundError(
            f"{source} was not evaluated yet: run `axiswise evaluate {source}` first"
        )
    return path


def _flat(scores: dict[str, Any]) -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in scores.items():
        if isinstance(value, dict):
            flat |= {f"{name} {radius}": row["mean"] for radius, row in value.items()}
        else:
            flat[name] = value
    return flat


def _cell(seeds: list[float]) -> str:
    if not seeds:
        return "–"
    spread = f" ± {statistics.stdev(seeds):.2g}" if len(seeds) > 1 else ""
    return f"{statistics.mean(seeds):.4g}{spread} ({len(seeds)})"


Curve = tuple[list[float], list[float], list[float]]


def _curves(scores: dict[str, list[float]]) -> dict[str, Curve]:
    """Local scores of one recipe against radius, with mean and spread over its seeds."""
    curves: dict[str, Curve] = {}
    for name, seeds in scores.items():
        score, _, radius = name.partition(" ")
        if radius:
            radii, means, spreads = curves.setdefault(score, ([], [], []))
            radii.append(float(radius))
            means.append(statistics.mean(seeds))
            spreads.append(statistics.stdev(seeds) if len(seeds) > 1 else 0.0)
    return curves
