"""Bars on a terminal, lines in a file."""

import io
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from axiswise.cli import progress
from axiswise.cli._parts import print_table
from axiswise.cli.progress import bars, duration, sweep_bars
from axiswise.runs.sweeps.planned import Outcome, PlannedRun, SweepProgress

ODD = [
    "[/b]",
    "[bold]x",
    ":cat:",
    "a\nb",
    "\x1b[31mred",
    "\udcff",
    "猫" * 300,
    "{task}",
    "%s",
    "🙂",
]


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute is a tenth of a second."""
    for name, seconds in (("_TICK", 0.01), ("_FIRST", 0.04), ("_EVERY", 0.1)):
        monkeypatch.setattr(progress, name, seconds)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("fast")
def test_a_log_gets_a_line_at_first_every_minute_and_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with bars() as start:
        update = start("training")
        update(0, 4000)
        for step in range(1, 41):
            time.sleep(0.01)
            update(step * 100, 4000, {"loss": 1 / step, "active axes": 6})
    first, *minutes, last = capsys.readouterr().err.splitlines()
    assert first.startswith("training ")
    assert "a second" not in first
    assert 2 <= len(minutes) <= 5
    for line in minutes:
        assert "/4000 (" in line
        assert "a second, " in line
        assert " s left; loss 0." in line
        assert line.endswith("active axes 6")
    assert last == "training 4000/4000 after 0 s; loss 0.025  active axes 6"


@pytest.mark.usefixtures("fast")
def test_a_log_gets_its_lines_while_work_reports_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with bars() as start:
        start("dci")
        time.sleep(0.35)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["dci", "dci"]
    assert lines[-1].startswith("dci after ")


def test_work_of_no_time_leaves_no_line_but_its_figures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with bars() as start:
        start("pictures")(8, 8)
        start("training")(3, 3, {"loss": 2.0})
        start("never begun")
    assert capsys.readouterr().err == "training 3/3 after 0 s; loss 2\n"


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stderr", there := Terminal())
    with bars() as start:
        start("training")(3, 3, {"loss": 2.0})
    assert there.getvalue() == "training 3/3 after 0 s; loss 2\n"


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("terminal", [True, False])
def test_names_are_shown_as_they_are(
    monkeypatch: pytest.MonkeyPatch, name: str, terminal: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "2000")
    monkeypatch.setattr(sys, "stderr", there := Terminal() if terminal else io.StringIO())
    with bars() as start:
        start(name)(2, 2, {name: 1.0})
    shown = there.getvalue()
    assert "\x1b[31mred" not in shown
    plain = {"a\nb": "a\\nb", "\x1b[31mred": "\\x1b[31mred", "\udcff": "\\udcff"}.get(name, name)
    assert plain in shown


def _run(folder: Path) -> Any:
    class Run:
        def __init__(self) -> None:
            self.folder, self.log, self.steps = folder, folder / "log.txt", 40

    return Run()


@pytest.mark.parametrize("name", ODD[:3])
@pytest.mark.parametrize("terminal", [True, False])
def test_names_of_runs_are_shown_as_they_are(
    monkeypatch: pytest.MonkeyPatch, name: str, terminal: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "stderr", there := Terminal() if terminal else io.StringIO())
    run: PlannedRun = _run(Path(name))
    with sweep_bars(2) as show:
        show(SweepProgress((), ((run, 3),)))
        show(SweepProgress((Outcome(run, "failed", f"no {name}"),), ()))
    assert f"{name}: failed: no {name} (log: {Path(name) / 'log.txt'})" in there.getvalue()


@pytest.mark.parametrize("name", ODD)
def test_a_table_shows_names_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "2000")
    print_table([["score", name], [name, "0.5"]])
    plain = {"a\nb": "a\\nb", "\x1b[31mred": "\\x1b[31mred", "\udcff": "\\udcff"}.get(name, name)
    assert capsys.readouterr().out.count(plain) == 2


def test_work_goes_on_when_nobody_reads_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Closed())
    with bars() as start:
        start("training")(3, 3, {"loss": 2.0})


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.4, "59 s"), (61, "1 min"), (3600, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
