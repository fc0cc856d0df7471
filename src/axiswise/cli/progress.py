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
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column

if TYPE_CHECKING:
    from axiswise.runs.sweeps import Outcome, PlannedRun
    from axiswise.runs.sweeps import Progress as SweepProgress
    from axiswise.support.progress import Progress as ReportProgress
    from axiswise.support.progress import StartBar


@contextmanager
def training_bar(steps: int) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """A bar that shows the terms of the loss and the images per second.

    Args:
        steps: Steps of the run.

    Yields:
        A function of the steps done and the last row of metrics.
    """
    with _progress("{task.fields[figures]}") as progress:
        task = progress.add_task("training", total=steps, figures="")

        def update(done: int, row: dict[str, float]) -> None:
            progress.update(task, completed=done, figures=_figures(row))

        yield update


SearchUpdate = Callable[[int, int, dict[str, float]], None]
StartSearch = Callable[[str], SearchUpdate]


@contextmanager
def searching_bar() -> Iterator[StartSearch]:
    """Bars for work that has figures to show while it goes on.

    Yields:
        A function that starts a bar of the given name, and returns what to call with the number
        done, the number in all, and figures by name.
    """
    with _progress("{task.fields[figures]}") as progress:

        def start(name: str) -> SearchUpdate:
            task: TaskID = progress.add_task(name, total=None, figures="")

            def update(done: int, total: int, figures: dict[str, float]) -> None:
                progress.update(task, completed=done, total=total)
                if figures:  # those of the search stay while what it found is measured
                    shown = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
                    progress.update(task, figures=shown)

            return update

        yield start


@contextmanager
def counting_bar() -> Iterator[StartBar]:
    """Bars for work that counts what it has done.

    Yields:
        A function that starts a bar of the given name, and returns what to call with the number
        done and the number in all, if that is known.
    """
    progress = _progress("")
    with ExitStack() as stack:

        def start(name: str, /) -> ReportProgress:
            if not progress.live.is_started:  # one that no bar came to would leave an empty line
                stack.enter_context(progress)
            task: TaskID = progress.add_task(name, total=None)

            def update(
                done: int, total: int | None, _figures: Mapping[str, float] | None = None, /
            ) -> None:
                progress.update(task, completed=done, total=total)

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
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        console=Console(stderr=True),
    ) as bars:
        total = bars.add_task("runs", total=count, figures="")
        tasks: dict[Path, TaskID] = {}
        ended = 0

        def show(progress: SweepProgress) -> None:
            nonlocal ended
            for outcome in progress.outcomes[ended:]:
                if outcome.state != "there":
                    bars.console.print(_line(outcome), soft_wrap=True, highlight=False)
            ended = len(progress.outcomes)
            bars.update(total, completed=ended, figures=_counts(progress))
            _show_running(bars, tasks, progress.running)

        yield show


def _show_running(
    bars: Progress, tasks: dict[Path, TaskID], running: Sequence[tuple[PlannedRun, int]]
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


def _counts(progress: SweepProgress) -> str:
    states = [outcome.state for outcome in progress.outcomes]
    counts: Sequence[tuple[str, int]] = [
        ("there before", states.count("there")),
        ("running", len(progress.running)),
        ("failed", states.count("failed")),
    ]
    return ", ".join(f"{number} {name}" for name, number in counts if number)


_NAME = len("training")  # of a bar: long figures wrap, and leave it legible


def _progress(figures: str) -> Progress:
    return Progress(
        TextColumn("{task.description}", table_column=Column(no_wrap=True, min_width=_NAME)),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn(figures),
        console=Console(stderr=True),
    )


def _figures(row: dict[str, float]) -> str:
    if not row:
        return ""
    # A row of metrics begins with the step, then come the terms of the loss, then the loss.
    names = list(row)
    terms = names[1 : names.index("loss")]
    shown = [f"{name} {row[name]:.4g}" for name in terms]
    if "active_axes" in row:
        shown.append(f"{row['active_axes']} axes")
    return "  ".join([*shown, f"{row['images_per_second']:.0f} images/s"])
