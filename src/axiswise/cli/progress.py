"""Progress on standard error: bars on a terminal, lines in a file."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO, cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichBars
from rich.table import Column

from axiswise.cli._parts import console, visible

if TYPE_CHECKING:
    from axiswise.runs.sweeps import Outcome, PlannedRun, SweepProgress
    from axiswise.support.progress import Progress, StartBar

_TICK, _FIRST, _EVERY = 1.0, 2.0, 60.0  # seconds to a look at the clock, a first line, the next


@contextmanager
def bars() -> Iterator[StartBar]:
    """Bars for work that counts what it has done, and may have figures to show.

    Where standard error is no terminal there is a line in place of a bar: after two seconds, every
    minute, and at the end.

    Yields:
        A function that starts a bar of the given name, and returns what to call with the number
        done, the number in all, if that is known, and figures by name.
    """
    with _shown(TimeRemainingColumn()) as shown:

        def start(name: str, /) -> Progress:
            bar = shown.add(name)

            def update(
                done: int, total: int | None, figures: Mapping[str, float] | None = None, /
            ) -> None:
                words = [f"{name} {value:.4g}" for name, value in (figures or {}).items()]
                # Those of one stage stay while the next has none.
                bar(done, total, "  ".join(words) if words else None)

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
    with _shown() as shown:
        total = shown.add("runs")
        total(0, count, "")
        running: dict[Path, Bar] = {}
        ended = 0

        def show(progress: SweepProgress) -> None:
            nonlocal ended
            for outcome in progress.outcomes[ended:]:
                if outcome.state != "there":
                    shown.say(_line(outcome))
            ended = len(progress.outcomes)
            total(ended, count, _counts(progress))
            _show_running(shown, running, progress.running)

        yield show


def _show_running(
    shown: _Shown, bars: dict[Path, Bar], running: Sequence[tuple[PlannedRun, int]]
) -> None:
    for folder in bars.keys() - {run.folder for run, _ in running}:
        shown.remove(bars.pop(folder))
    for run, done in running:
        if run.folder not in bars:
            bars[run.folder] = shown.add(run.folder.name)
        bars[run.folder](done, run.steps, "scores" if done == run.steps else "")


def _line(outcome: Outcome) -> str:
    if outcome.state == "failed":
        return f"{outcome.run.folder}: failed: {outcome.reason} (log: {outcome.run.log})"
    return f"{outcome.run.folder}: {outcome.state}"


def _counts(progress: SweepProgress) -> str:
    states = [outcome.state for outcome in progress.outcomes]
    counts: Sequence[tuple[str, int]] = [
        ("there before", states.count("there")),
        ("running", len(progress.running)),
        ("failed", states.count("failed")),
    ]
    return ", ".join(f"{number} {name}" for name, number in counts if number)


# ------------------------------------------------ where they are shown

# Takes what is done, what there is to do, if that is known, and figures as text; None: as before.
Bar = Callable[[int, "int | None", "str | None"], None]


class _Shown(Protocol):
    """Where bars are shown."""

    def add(self, name: str) -> Bar:
        """Start a bar."""

    def remove(self, bar: Bar) -> None:
        """Take away a bar whose work is over or not to be shown any more."""

    def say(self, line: str) -> None:
        """Write a line that stays."""


@contextmanager
def _shown(*columns: ProgressColumn) -> Iterator[_Shown]:
    there = console(cast(TextIO, _Lasting(sys.stderr)))
    moving = there.is_terminal and not there.is_dumb_terminal
    shown = _Bars(there, columns) if moving else _Lines(there)
    try:
        yield shown
    finally:
        shown.stop()


class _Lasting:
    """A stream whose reader may go: hours of work must not end because a log is closed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


_NAME = len("training")  # of a bar: long figures wrap, and leave it legible


class _Bars:
    """Bars on a terminal."""

    def __init__(self, there: Console, columns: Sequence[ProgressColumn]) -> None:
        name = Column(no_wrap=True, min_width=_NAME)
        self._bars = RichBars(
            TextColumn("{task.description}", markup=False, table_column=name),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            *columns,
            TextColumn("{task.fields[figures]}", markup=False),
            console=there,
        )
        self._tasks: dict[Bar, Any] = {}

    def add(self, name: str) -> Bar:
        if not self._bars.live.is_started:  # one that no bar came to would leave an empty line
            self._bars.start()
        task = self._bars.add_task(visible(name), total=None, figures="")

        def update(done: int, total: int | None, figures: str | None) -> None:
            more: dict[str, Any] = {} if figures is None else {"figures": visible(figures)}
            self._bars.update(task, completed=done, total=total, **more)

        self._tasks[update] = task
        return update

    def remove(self, bar: Bar) -> None:
        self._bars.remove_task(self._tasks.pop(bar))

    def say(self, line: str) -> None:
        self._bars.console.print(visible(line), soft_wrap=True)

    def stop(self) -> None:
        if self._bars.live.is_started:
            self._bars.stop()


class _Work:
    """What a line is about."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.done, self.total, self.figures = 0, cast("int | None", None), ""
        self.begin()

    def begin(self) -> None:
        self.began = self.said = time.monotonic()
        self.first, self.ended, self.before = True, False, 0

    @property
    def is_due(self) -> bool:
        """Whether a line should say where it is."""
        since = time.monotonic() - self.said
        return not self.ended and since >= (_FIRST if self.first else _EVERY)

    @property
    def lasted(self) -> bool:
        """Whether it took long enough for a line."""
        return time.monotonic() - self.began >= _FIRST

    def line(self) -> str:
        """Where it is, how fast, and how long it will take."""
        now = time.monotonic()
        rate = 0.0 if self.first else (self.done - self.before) / (now - self.said)
        self.first, self.said, self.before = False, now, self.done
        parts = [self._so_far()]
        if rate > 0:
            parts.append(f"{rate:.3g} a second")
            if self.total is not None:
                parts.append(f"{duration((self.total - self.done) / rate)} left")
        return self._with_figures(", ".join(parts))

    def last_line(self) -> str:
        """What was done, and how long that took."""
        return self._with_figures(
            f"{self._so_far()} after {duration(time.monotonic() - self.began)}"
        )

    def _so_far(self) -> str:
        if self.total is None:
            return f"{self.name} {self.done}" if self.done else self.name
        share = f" ({self.done / self.total:.0%})" if 0 < self.done < self.total else ""
        return f"{self.name} {self.done}/{self.total}{share}"

    def _with_figures(self, line: str) -> str:
        return f"{line}; {self.figures}" if self.figures else line


def duration(seconds: float) -> str:
    """A time in words: 12 s, 3 min, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class _Lines:
    """Lines in a file."""

    def __init__(self, there: Console) -> None:
        self._file = there.file
        self._works: dict[Bar, _Work] = {}
        self._lock, self._over = threading.Lock(), threading.Event()
        threading.Thread(target=self._repeat, daemon=True).start()

    def add(self, name: str) -> Bar:
        work = _Work(name)

        def update(done: int, total: int | None, figures: str | None) -> None:
            with self._lock:
                if work.ended and done == work.done:
                    return
                if work.ended or done < work.done:  # another stage of it
                    work.begin()
                work.done, work.total = done, total
                work.figures = work.figures if figures is None else figures
                if done == total:
                    work.ended = True
                    if work.figures or work.lasted:
                        self.say(work.last_line())

        with self._lock:
            self._works[update] = work
        return update

    def remove(self, bar: Bar) -> None:
        with self._lock:
            del self._works[bar]

    def say(self, line: str) -> None:
        self._file.write(visible(line) + "\n")
        self._file.flush()

    def stop(self) -> None:
        self._over.set()
        with self._lock:
            for work in self._works.values():
                if not work.ended and work.lasted:
                    self.say(work.last_line())

    def _repeat(self) -> None:
        while not self._over.wait(_TICK):
            with self._lock:
                for work in self._works.values():
                    if work.is_due:
                        self.say(work.line())
