"""`axiswise compare`: scores of several runs, grouped by recipe."""

import csv
import io
import math
import re
import shlex
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError

from axiswise import plots
from axiswise.metrics import METRICS
from axiswise.runs.evaluation import flat_scores, read_evaluation_file, stale, stale_words
from axiswise.runs.folder import RunFolder
from axiswise.runs.protocol import read_settings
from axiswise.runs.run import flat_config
from axiswise.runs.table import TABLE, TableRow, read_table
from axiswise.support.files import UnreadableFileError, remove_unfinished, write_atomically
from axiswise.support.locks import owning
from axiswise.support.notes import note
from axiswise.support.progress import StartBar, no_bars
from axiswise.support.reading import read_text, value_of
from axiswise.training.recipe import read_keys

# score → recipe → value of each seed
Values = dict[str, dict[str, list[float]]]


def compare_runs(
    sources: Sequence[str],
    out: Path,
    scores: Sequence[str] | None = None,
    udr: bool | None = None,
    start_bar: StartBar = no_bars,
    *,
    trust: bool = False,
) -> list[list[str]]:
    """Compare runs, write the comparison to a folder, and return its table of text.

    Args:
        sources: What `read_evaluations` takes.
        out: The folder.
        scores: Names of the scores that are compared; all if None.
        udr: Whether runs of one config are scored by each other too, by `add_udr`.
        start_bar: Starts a progress bar.
        trust: Whether code that is not ours may be run for `udr`, if configs name any.

    It raises what `read_evaluations` and `choose_scores` raise.
    """
    evaluations = read_evaluations(sources, start_bar)
    if udr:
        from axiswise.runs.udr import SIMILARITIES, add_udr

        # A wrong name is found before images are encoded.
        choose_scores(evaluations, [name for name in scores or () if name not in SIMILARITIES])
        evaluations = add_udr(evaluations, start_bar, trust=trust)
    if scores:
        evaluations = choose_scores(evaluations, scores)
    write_comparison(evaluations, sources, out)
    return comparison_rows(group_by_recipe(evaluations))


def read_evaluations(sources: Sequence[str], start_bar: StartBar = no_bars) -> list[dict[str, Any]]:
    """Read the evaluations of runs, by recipe and seed.

    Args:
        sources: Run folders that were evaluated, evaluation.json files, or sweeps: folders, or
            their CSV files.
        start_bar: Starts a progress bar.

    Returns:
        The evaluation of each run, without runs of a sweep that have no scores: flat scores, and
        "folder" where it is known. A run that is named twice counts once, as does a copy of one; a
        line on standard error says so. Runs of one recipe with different configs are named by the
        difference, as "three-dots-jl1 terms.jl1.weight=0.1"; the config of a file outside of a run
        folder is not known.

    Raises:
        FileNotFoundError: A source is missing or was not evaluated.
        UnreadableFileError: A file is damaged, or scores are not of the weights beside them.
        ValueError: Scores of one name have different protocols, or a sweep has no scores yet.
    """
    progress, known, configs = start_bar("evaluations"), list[_Known](), _Configs()
    for source in sources:
        for run in _read(Path(source), configs):
            known.append(run)
            progress(len(known), None)
    progress(len(known), len(known))
    found = _without_copies(_tell_apart(_without_repeated(known)))
    _check_protocols(found)
    return sorted(found, key=lambda evaluation: (evaluation["name"], evaluation.get("seed", 0)))


# A run's evaluation, its config (dotted keys and values, none where it is not known), and the real
# path of its evaluation.json, whatever it was named by.
_Known = tuple[dict[str, Any], dict[str, str], Path]


# Flat configs that were read before, by their text without name and seed.
_Configs = dict[str, dict[str, str]]


def _read(source: Path, configs: _Configs) -> Iterator[_Known]:
    if (source / TABLE).is_file():
        yield from _read_sweep(source / TABLE, configs)
    elif source.suffix == ".csv" and source.is_file():
        yield from _read_sweep(source, configs)
    else:
        folder = {"folder": str(source)} if source.is_dir() else {}
        yield _read_run(_evaluation_path(source), folder, configs)


def _read_run(path: Path, about: dict[str, str], configs: _Configs) -> _Known:
    """A run by its evaluation, which must be of the weights that are there, if any are."""
    evaluation = read_evaluation_file(path)
    evaluation["scores"] = flat_scores(evaluation["scores"])
    run = RunFolder(path.parent)
    if path != run.evaluation or not run.config.is_file():
        return {**evaluation, **about}, {}, path.resolve()
    if why := stale(run, evaluation):
        raise UnreadableFileError(stale_words(run, why))
    return {**evaluation, **about}, _config(run.config, configs), path.resolve()


def _config(path: Path, known: _Configs) -> dict[str, str]:
    """A run's config, flat. To check one takes long, and those of many seeds are alike."""
    text = re.sub(r"^(name: [\w.-]+|seed: \d+)$", "", read_text(path), flags=re.MULTILINE)
    if text not in known:
        known[text] = flat_config(_settings(path))
    return known[text]


def _settings(config: Path) -> dict[str, Any]:
    """A run's config in today's form, so that runs of earlier versions compare."""
    try:
        return read_settings(config).tree()
    except (ArgumentError, ImportError, TypeError, ValueError):  # its classes are not ours
        return read_keys(config)


def _read_sweep(path: Path, configs: _Configs) -> Iterator[_Known]:
    rows = [row for row in read_table(path) if row.scores]
    if not rows:
        raise ValueError(f"FOLDER … must have scores, but {path} has no run that was evaluated")
    for row in rows:
        try:
            found = _read_row(row, path.parent, configs)
        except KeyError as error:
            raise UnreadableFileError(
                f"{path} is no table of `axiswise sweep`: no {error}"
            ) from error
        yield found


def _read_row(row: TableRow, beside: Path, configs: _Configs) -> _Known:
    """A run of a sweep: by its folder, as long as that is there, for its scores of today."""
    for folder in (beside / Path(row.folder).name, Path(row.folder)):
        run = RunFolder(folder)
        if run.config.is_file():
            about = {"folder": str(folder)}
            found, _, place = _read_run(_evaluation_path(folder), about, configs)
            return found, row.config, place
    return (
        _evaluation(row),
        row.config,
        RunFolder(beside / Path(row.folder).name).evaluation.resolve(),
    )


def _without_repeated(runs: Sequence[_Known]) -> list[_Known]:
    """Runs, each once, however often and by what links it was named."""
    found: dict[Path, _Known] = {}
    for run in runs:
        evaluation, _, place = run
        if place in found:
            note(f"{place.parent} is named twice, and counted once")
        if place not in found or "folder" in evaluation:
            found[place] = run
    return list(found.values())


def _without_copies(evaluations: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Evaluations without copies, with which the number of seeds would be wrong."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for evaluation in evaluations:
        mark = evaluation.get("weights") or (evaluation.get("seed"), evaluation["scores"])
        first = found.setdefault((evaluation["name"], str(mark)), evaluation)
        if first is not evaluation:
            what = "weights" if "weights" in evaluation else "seed and scores"
            names = [one.get("folder", f"a file of {one['name']}") for one in (evaluation, first)]
            note(f"{names[0]} has the same {what} as {names[1]}: it is a copy, and not counted")
    return list(found.values())


def _tell_apart(runs: Sequence[_Known]) -> list[dict[str, Any]]:
    """The evaluations, those of one recipe named by the keys in which their configs differ."""
    by_recipe: dict[str, list[dict[str, str]]] = {}
    for evaluation, config, _ in runs:
        by_recipe.setdefault(evaluation["name"], []).append(config)
    varied = {recipe: _varied(configs) for recipe, configs in by_recipe.items()}
    named = []
    for evaluation, config, _ in runs:
        recipe = evaluation["name"]
        words = [f"{key}={config[key]}" for key in varied[recipe] if config.get(key)]
        named.append({**evaluation, "name": " ".join([recipe, *words])})
    return named


def _varied(configs: Sequence[dict[str, str]]) -> list[str]:
    """The keys in which the configs of one recipe differ, of those that are known."""
    known = [config for config in configs if config]
    keys = dict.fromkeys(key for config in known for key in config if key not in _ASIDE)
    return [key for key in keys if len({config.get(key, "") for config in known}) > 1]


def _evaluation(row: TableRow) -> dict[str, Any]:
    """A row of a sweep's table, as `axiswise evaluate` would have written it."""
    under = "evaluation."
    return {
        "name": row.recipe,
        "seed": row.seed,
        "step": int(row.config["steps"]),
        "folder": row.folder,
        "protocol": {
            key.removeprefix(under): value_of(value)
            for key, value in row.config.items()
            if key.startswith(under)
        },
        "scores": row.scores,
    }


# Keys that change nothing about what a run learns; nor are fine-tuned runs told apart by more than
# the recipe of the runs that they start from, each from one of its own seed.
_ASIDE = (
    *("description", "source", "accelerator", "devices", "log_every", "checkpoint_every"),
    *("init.run", "init.step", "init.weights"),
)


def _check_protocols(evaluations: Sequence[dict[str, Any]]) -> None:
    """Refuse scores of one metric by different settings, where the metric has settings."""
    for score in METRICS.names():
        for key in METRICS.find(score).settings.values():
            values = {
                str(evaluation.get("protocol", {}).get(key))
                for evaluation in evaluations
                if any(_metric_of(name) == score for name in evaluation["scores"])
            }
            if len(values) > 1:
                raise ValueError(
                    f"FOLDER … must have scores by one protocol, but {score} was taken with "
                    f"evaluation.{key} {' and '.join(sorted(values))}"
                )


def _metric_of(score: str) -> str:
    """The metric that a score is of, such as vp of vp_std; "" if of none of ours."""
    name = f"{score.removeprefix('local_')}_"
    return max((own for own in METRICS.names() if name.startswith(f"{own}_")), key=len, default="")


def choose_scores(
    evaluations: Sequence[dict[str, Any]], scores: Sequence[str]
) -> list[dict[str, Any]]:
    """Evaluations with these scores alone, in this order; a ValueError if none has one of them."""
    there = list(dict.fromkeys(name for found in evaluations for name in found["scores"]))
    if unknown := [name for name in scores if name not in there]:
        raise ValueError(f"scores must be out of {', '.join(there)}; got {', '.join(unknown)}")
    return [
        {
            **evaluation,
            "scores": {
                name: evaluation["scores"][name] for name in scores if name in evaluation["scores"]
            },
        }
        for evaluation in evaluations
    ]


def group_by_recipe(evaluations: Sequence[dict[str, Any]]) -> Values:
    """Score → recipe → one value for each seed."""
    values: Values = {}
    for evaluation in evaluations:
        for score, value in evaluation["scores"].items():
            values.setdefault(score, {}).setdefault(evaluation["name"], []).append(value)
    return values


def comparison_rows(values: Values) -> list[list[str]]:
    """Scores as a table of text, a header first; recipes go down where they are more than scores.

    A cell is "mean ± sample standard deviation over seeds (number of seeds)", "–" without a score.
    """
    recipes = sorted({recipe for by_recipe in values.values() for recipe in by_recipe})
    rows = [["score", *recipes]]
    for score, by_recipe in values.items():
        rows.append([score, *(_cell(by_recipe.get(recipe, [])) for recipe in recipes)])
    if len(recipes) > len(values):
        rows = [["recipe", *rows[0][1:]], *rows[1:]]
        return [list(column) for column in zip(*rows, strict=True)]
    return rows


def write_comparison(
    evaluations: Sequence[dict[str, Any]], sources: Sequence[str], out: Path
) -> None:
    """Write the comparison of runs.

    comparison.md has mean and standard deviation over seeds, runs.csv each run's scores;
    comparison.png, radius.png (local scores) and activeness.png (GANs, the first run of each
    recipe) are plots.
    """
    with owning(out):
        remove_unfinished(out / "comparison.md", out / "runs.csv", out / "*.png")
        _write_comparison(evaluations, sources, out)


def _write_comparison(
    evaluations: Sequence[dict[str, Any]], sources: Sequence[str], out: Path
) -> None:
    values = group_by_recipe(evaluations)
    rows = comparison_rows(values)
    about = "Mean ± sample standard deviation over seeds (number of seeds)."
    made = f"Made by `axiswise compare {shlex.join(sources)}`."
    lines = [markdown_table(rows), "", about, "", made]
    write_atomically(out / "comparison.md", ("\n".join(lines) + "\n").encode())
    write_atomically(out / "runs.csv", _csv(evaluations, list(values)).encode())

    groups: dict[str, dict[str, list[float]]] = {}
    for score, by_recipe in values.items():
        for recipe, seeds in by_recipe.items():
            groups.setdefault(recipe, {})[score] = seeds
    chosen = [score for score in values if " " not in score or score.endswith(" 0.1")]
    # An infinite contrast (of columns that are linearly dependent) has no place on an axis.
    shown = {
        recipe: {
            score: scores[score]
            for score in chosen
            if score in scores and all(map(math.isfinite, scores[score]))
        }
        for recipe, scores in groups.items()
    }
    if any(shown.values()):
        plots.save(plots.comparison(shown), out / "comparison.png")
    curves = {recipe: _curves(scores) for recipe, scores in groups.items()}
    if any(curves.values()):
        plots.save(plots.scores_against_radius(curves), out / "radius.png")
    activeness: dict[str, list[float]] = {}
    for evaluation in evaluations:
        if "activeness_per_axis" in evaluation:
            activeness.setdefault(evaluation["name"], evaluation["activeness_per_axis"])
    if activeness:
        plots.save(plots.activeness(activeness), out / "activeness.png")


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, of cells of text, a header first."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    return "\n".join(lines)


def _csv(evaluations: Sequence[dict[str, Any]], scores: list[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["recipe", "seed", "step", *scores])
    for evaluation in evaluations:
        about = [evaluation["name"], evaluation.get("seed"), evaluation.get("step")]
        writer.writerow([*about, *(evaluation["scores"].get(score, "") for score in scores)])
    return text.getvalue()


def _evaluation_path(source: Path) -> Path:
    if source.is_file():
        return source
    path = RunFolder.open(source).evaluation
    if not path.is_file():
        raise FileNotFoundError(
            f"{source} was not evaluated yet: run `axiswise evaluate {shlex.quote(str(source))}` "
            "first"
        )
    return path


def _cell(seeds: list[float]) -> str:
    if not seeds:
        return "–"
    deviation = f" ± {deviation_of(seeds):.2g}" if len(seeds) > 1 else ""
    return f"{statistics.mean(seeds):.4g}{deviation} ({len(seeds)})"


def deviation_of(seeds: Sequence[float]) -> float:
    """Sample standard deviation of one value or more; 0 for one, NaN where one is infinite."""
    if not all(map(math.isfinite, seeds)):
        return math.nan
    return statistics.stdev(seeds) if len(seeds) > 1 else 0.0


Curve = tuple[list[float], list[float], list[float]]


def _curves(scores: dict[str, list[float]]) -> dict[str, Curve]:
    """Local scores of one recipe against radius: mean and standard deviation over seeds."""
    curves: dict[str, Curve] = {}
    for name, seeds in scores.items():
        score, _, radius = name.partition(" ")
        if radius and all(map(math.isfinite, seeds)):
            radii, means, deviations = curves.setdefault(score, ([], [], []))
            radii.append(float(radius))
            means.append(statistics.mean(seeds))
            deviations.append(deviation_of(seeds))
    return curves
