"""`evaluate`, `show` and `compare`, for folders of runs and for folders of directions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from axiswise.runs.directions_folder import is_directions, open_directions
from axiswise.support.progress import StartBar, no_bars

# What each imports loads a part of the package that the others do without, such as plots.

Rows = list[list[str]]


def evaluate(
    folder: str,
    metrics: Sequence[str] | None = None,
    seed: int = 0,
    start_bar: StartBar = no_bars,
    *,
    radius: Sequence[float] | None = None,
    held: Sequence[str] | None = None,
    features: str | None = None,
    generator: str | None = None,
    trust: bool = False,
) -> Rows:
    """Score a folder, and return the scores as a table of text, a header first.

    `radius`, `held` and `features` are options for runs, `generator` is one for directions. With
    `trust`, code that the folder names is run.
    """
    if is_directions(folder):
        from axiswise.runs.evaluate_directions import evaluate_directions, score_table

        _refuse("runs", radius=radius, held=held, features=features)
        found = evaluate_directions(folder, generator, metrics, seed, start_bar, trust=trust)
        return score_table(found["scores"])
    from axiswise.runs.evaluate import evaluate_run
    from axiswise.runs.run import load_run
    from axiswise.runs.show import score_rows

    _refuse("directions", generator=generator)
    run = load_run(folder, trust=trust)
    found = evaluate_run(run, metrics, radius, seed, start_bar, features, held)
    return score_rows(found["scores"])


def show(
    folder: str,
    seed: int = 0,
    start_bar: StartBar = no_bars,
    generator: str | None = None,
    *,
    trust: bool = False,
    **options: Any,
) -> Path:
    """Draw the pictures of a folder, and return the path of its report.

    `generator` and `options`, those of `show_directions` that are not None, are for directions.
    With `trust`, code that the folder names is run.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if is_directions(folder):
        from axiswise.runs.show_directions import show_directions

        _, loaded, _ = open_directions(folder, generator, trust=trust)
        return show_directions(Path(folder), loaded, seed=seed, start_bar=start_bar, **given)
    from axiswise.runs.run import load_run
    from axiswise.runs.show import show_run

    _refuse("directions", **given, generator=generator)
    return show_run(load_run(folder, trust=trust), seed, start_bar)


def compare(
    folders: Sequence[str],
    out: Path,
    scores: Sequence[str] | None = None,
    udr: bool | None = None,
    start_bar: StartBar = no_bars,
    *,
    trust: bool = False,
) -> Rows:
    """Compare folders, write the comparison to `out`, and return its table of text.

    `scores` and `udr` are options for runs. With `trust`, `udr` runs code that they name.
    """
    kinds = {is_directions(folder) for folder in folders}
    if len(kinds) > 1:
        raise ValueError("FOLDER … must be runs or directions, and not both")
    if kinds.pop():
        from axiswise.runs.compare_directions import compare_directions, write_agreement

        _refuse("runs", scores=scores, udr=udr)
        agreement = compare_directions(folders, start_bar=start_bar)
        write_agreement(agreement, folders, out)
        return agreement.rows
    from axiswise.runs.compare import compare_runs

    return compare_runs(folders, out, scores, udr, start_bar, trust=trust)


def _refuse(kind: str, **options: Any) -> None:
    """Refuse options that are for folders of another kind."""
    for name, value in options.items():
        if value is not None:
            raise ValueError(f"--{name} is for folders of {kind}, which this is not")
