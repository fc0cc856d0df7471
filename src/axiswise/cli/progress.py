"""Progress bars, on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Column

if TYPE_CHECKING:
    from axiswise.runs.sweeps import Outcome, PlannedRun, SweepProgress
    from axiswise.support.progress import Progress, StartBar


@contextmanager
def bars() -> Iterator[StartBar]:
    """Bars for work that counts what it has done, and may have figures to show.

    Yields:
        A function that starts a bar of the given name, and returns what to call with the number
        done, the number in all, if that is known, and figures by name.
    """
    shown = _bars(TimeRemainingColumn())
    with ExitStack() as stack:

        def start(name: str, /) -> Progress:
            if not shown.live.is_started:  # one that no bar came to would leave an empty line
                stack.enter_context(shown)
            task = shown.add_task(name, total=None, figures="")

            def update(
                done: int, total: int | None, figures: Mapping[str, float] | None = None, /
            ) -> None:
                shown.update(task, completed=done, total=total)
                if figures:  # those of one stage stay while the next has none
                    words = (f"{name} {value:.4g}" for name, value in figures.items())
                    shown.update(task, figures="  ".join(words))

            return update

        yield start


@contextmanager
def sweep_bars(count: int) -> Iterator[Callable[[SweepProgress], None]]:
    """A bar for all runs and one for each that is at work; a line for each that ends.

    Args:
        count: How many runs there are.

    Yields:
        What to call as the sweep goes on.
    """
    with _bars() as shown:
        total = shown.add_task("runs", total=count, figures="")
        tasks: dict[Path, TaskID] = {}
        ended = 0

        def show(progress: SweepProgress) -> None:
            nonlocal ended
            for outcome in progress.outcomes[ended:]:
                if outcome.state != "there":
                    shown.console.print(_line(outcome), soft_wrap=True, highlight=False)
            ended = len(progress.outcomes)
            shown.update(total, completed=ended, figures=_counts(progress))
            _show_running(shown, tasks, progress.running)

        yield show


def _show_running(
    shown: Bars, tasks: dict[Path, TaskID], running: Sequence[tuple[PlannedRun, int]]
) -> None:
    for folder in tasks.keys() - {run.folder for run, _ in running}:
        shown.remove_task(tasks.pop(folder))
    for run, done in running:
        if run.folder not in tasks:
            tasks[run.folder] = shown.add_task(escape(run.folder.name), total=run.steps, figures="")
        figures = "scores" if done == run.steps else ""
        shown.update(tasks[run.folder], completed=done, figures=figures)


def _line(outcome: Outcome) -> str:
    if outcome.state == "failed":
        return escape(f"{outcome.run.folder}: failed: {outcome.reason} (log: {outcome.run.log})")
    return escape(f"{outcome.run.folder}: {outcome.state}")


def _counts(progress: SweepProgress) -> str:
    states = [outcome.state for outcome in progress.outcomes]
    counts: Sequence[tuple[str, int]] = [
        ("there before", states.count("there")),
        ("running", len(progress.running)),
        ("failed", states.count("failed")),
    ]
    return ", ".join(f"{number} {name}" for name, number in counts if number)


_NAME = len("training")  # of a bar: long figures wrap, and leave it legible


def _bars(*remaining: ProgressColumn) -> Bars:
    return Bars(
        TextColumn("{task.description}", table_column=Column(no_wrap=True, min_width=_NAME)),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        *remaining,
        TextColumn("{task.fields[figures]}"),
        console=Console(stderr=True),
    )
