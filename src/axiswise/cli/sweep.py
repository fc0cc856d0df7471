"""`axiswise sweep`: many runs from one file, and one table of them all."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from axiswise.runs.sweeps import (
    TABLE,
    Outcome,
    PlannedRun,
    Progress,
    plan,
    read_sweep,
    run_all,
    write_table,
)
from axiswise.training.stops import TrainingStoppedError


def sweep(
    file: str,
    out: str | None = None,
    workers: int | None = None,
    engine: Literal["local", "ray"] = "local",
) -> Path:
    """Train and score the runs of a sweep that are missing, and write the table of all.

    Args:
        file: The sweep's YAML file.
        out: Folder of the runs and the table, sweep.csv; runs/NAME after the file's if None.
        workers: How many runs at once; as many as there is room for if None.
        engine: "local" or "ray".

    Returns:
        Path of the table.

    Raises:
        FileNotFoundError: If there is no such file or recipe.
        ValueError: If anything in the file is wrong; no run has started then.
        TrainingStoppedError: If runs failed; all others were done, and the table is written.
        KeyboardInterrupt: On Ctrl-C or SIGTERM; the table is written.
        ImportError: If Ray is wanted and not installed.
        OSError: If something cannot be read or written.
    """
    told = read_sweep(file)
    folder = Path("runs") / Path(file).stem if out is None else Path(out)
    runs = plan(told, folder)
    seen: tuple[Outcome, ...] = ()

    def note(progress: Progress) -> None:
        nonlocal seen
        seen = progress.outcomes
        show(progress)

    table = folder / TABLE
    try:
        with sweep_bars(len(runs)) as show:
            outcomes = run_all(runs, workers, engine, note, told.resources, told.retries)
    except KeyboardInterrupt:
        write_table(runs, seen, table)
        raise
    write_table(runs, outcomes, table)
    if failed := [outcome for outcome in outcomes if outcome.state == "failed"]:
        raise TrainingStoppedError(
            f"{len(failed)} of {len(runs)} runs failed: "
            + "; ".join(f"{outcome.run.folder} (log: {outcome.log})" for outcome in failed)
            + "; the same command tries them again"
        )
    return table


@contextmanager
def sweep_bars(count: int) -> Iterator[Callable[[Progress], None]]:
    """A bar for all runs and one for each that is at work; a line for each that ends.

    Args:
        count: How many runs there are.

    Yields:
        What to call as the sweep goes on.
    """
    with Bars(
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        console=Console(stderr=True),
    ) as bars:
        total = bars.add_task("runs", total=count, figures="")
        tasks: dict[Path, TaskID] = {}
        ended = 0

        def show(progress: Progress) -> None:
            nonlocal ended
            for outcome in progress.outcomes[ended:]:
                if outcome.state != "there":
                    bars.console.print(_line(outcome), soft_wrap=True, highlight=False)
            ended = len(progress.outcomes)
            bars.update(total, completed=ended, figures=_counts(progress))
            _show_running(bars, tasks, progress.running)

        yield show


def _show_running(
    bars: Bars, tasks: dict[Path, TaskID], running: Sequence[tuple[PlannedRun, int]]
) -> None:
    for folder in tasks.keys() - {run.folder for run, _ in running}:
        bars.remove_task(tasks.pop(folder))
    for run, done in running:
        if run.folder not in tasks:
            tasks[run.folder] = bars.add_task(escape(run.folder.name), total=run.steps, figures="")
        figures = "scores" if done == run.steps else ""
        bars.update(tasks[run.folder], completed=done, figures=figures)


def _line(outcome: Outcome) -> str:
    if outcome.state == "failed":
        return escape(f"{outcome.run.folder}: failed: {outcome.reason} (log: {outcome.log})")
    return escape(f"{outcome.run.folder}: {outcome.state}")


def _counts(progress: Progress) -> str:
    states = [outcome.state for outcome in progress.outcomes]
    counts: Sequence[tuple[str, int]] = [
        ("there before", states.count("there")),
        ("running", len(progress.running)),
        ("failed", states.count("failed")),
    ]
    return ", ".join(f"{number} {name}" for name, number in counts if number)
