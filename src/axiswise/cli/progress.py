"""Progress bars, on standard error."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column


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
def counting_bar() -> Iterator[Callable[[str], Callable[[int, int | None], None]]]:
    """Bars for work that counts what it has done.

    Yields:
        A function that starts a bar of the given name, and returns what to call with the number
        done and the number in all, if that is known.
    """
    progress = _progress("")
    with ExitStack() as stack:

        def start(name: str) -> Callable[[int, int | None], None]:
            if not progress.live.is_started:  # one that no bar came to would leave an empty line
                stack.enter_context(progress)
            task: TaskID = progress.add_task(name, total=None)

            def update(done: int, total: int | None) -> None:
                progress.update(task, completed=done, total=total)

            return update

        yield start


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
