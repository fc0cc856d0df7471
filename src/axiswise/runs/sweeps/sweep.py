"""A sweep from its file to its table."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal

from axiswise.runs.evaluation import flat_scores, read_evaluation_file, stale
from axiswise.runs.run import flat_config
from axiswise.runs.sweeps.plan import plan, read_sweep
from axiswise.runs.sweeps.planned import Outcome, PlannedRun, SweepProgress
from axiswise.runs.sweeps.run_all import OnProgress, run_all
from axiswise.runs.table import TABLE, TableRow, write_table
from axiswise.support.checks import check_folder_name
from axiswise.support.files import UnreadableFileError
from axiswise.support.progress import StartBar, no_bars
from axiswise.training.stops import TrainingStoppedError

# Opens progress bars for a number of runs.
Bars = Callable[[int], AbstractContextManager[OnProgress]]


def no_sweep_bars(_count: int) -> AbstractContextManager[OnProgress]:
    """Show nothing."""
    return nullcontext(lambda _: None)


def sweep(
    file: str,
    out: str | None = None,
    workers: int | None = None,
    engine: Literal["local", "ray"] = "local",
    bars: Bars = no_sweep_bars,
    planning: Callable[[], AbstractContextManager[StartBar]] = lambda: nullcontext(no_bars),
    *,
    trust: bool = False,
) -> Path:
    """Train and score the missing runs of a sweep's file, and return the path of their table.

    `out` is runs/NAME after the file's if None; `workers` and `engine` are those of `run_all`. The
    table is written too when runs failed (a TrainingStoppedError) or after Ctrl-C. With `trust`,
    code that the file or its recipes name is run.
    """
    settings = read_sweep(file)
    name = Path(file).stem
    if out is None:
        check_folder_name("the name of FILE", name)
    folder = Path("runs") / name if out is None else Path(out)
    with planning() as start_bar:
        runs = plan(settings, folder, start_bar("configs"), trust=trust)
    outcomes: Sequence[Outcome] = ()

    def note(progress: SweepProgress) -> None:
        nonlocal outcomes
        outcomes = progress.outcomes
        show(progress)

    try:
        with bars(len(runs)) as show:
            outcomes = run_all(runs, workers, engine, note, settings.resources, settings.retries)
    finally:
        write_table(table_rows(runs, outcomes), folder / TABLE)
    if failed := [outcome.run for outcome in outcomes if outcome.state == "failed"]:
        raise TrainingStoppedError(
            f"{len(failed)} of {len(runs)} runs failed: "
            + "; ".join(f"{run.folder} (log: {run.log})" for run in failed)
            + "; the same command tries them again"
        )
    return folder / TABLE


def table_rows(runs: Sequence[PlannedRun], outcomes: Sequence[Outcome]) -> list[TableRow]:
    """A row for each run, whether the sweep has come to it or not."""
    states = {outcome.run.folder: outcome.state for outcome in outcomes}
    return [
        TableRow(
            run.name,
            run.seed,
            str(run.folder),
            flat_config(run.settings),
            states.get(run.folder, "missing"),
            _scores(run),
        )
        for run in runs
    ]


def _scores(run: PlannedRun) -> dict[str, float]:
    """The scores of a run, none if it was not evaluated, or trained anew since."""
    try:
        found = read_evaluation_file(run.files.evaluation)
        return {} if stale(run.files, found) else flat_scores(found["scores"])
    except (OSError, UnreadableFileError):
        return {}
