"""The run folder: made once, and readable after a crash."""

import errno
import os
from pathlib import Path

import pytest

from axiswise.runs.folder import RunFolder
from axiswise.support.files import UnreadableFileError

ROWS = [{"step": 5 * i, "loss": 1 / 3 / i, "active_axes": i} for i in (1, 2, 3, 4)]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder.create(tmp_path / "run", "seed: 3\n")
    for row in ROWS:
        run.append_metrics(row)
    return run


def _columns(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_a_new_folder_holds_the_config_and_nothing_else(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "runs" / "new", "seed: 3 # ü\n")
    assert [path.name for path in run.path.iterdir()] == ["config.yaml"]
    assert run.config.read_text(encoding="utf-8") == "seed: 3 # ü\n"
    assert RunFolder.open(run.path).path == run.path
    assert run.read_metrics() == {}


def test_an_empty_folder_may_become_a_run(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert RunFolder.create(tmp_path / "empty", "").config.is_file()


def test_a_folder_with_something_in_it_is_refused_and_left_alone(
    tmp_path: Path, run: RunFolder
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.png").write_bytes(b"x")
    (tmp_path / "file").write_bytes(b"y")
    for path in (tmp_path / "mine", tmp_path / "file", run.path):
        with pytest.raises(FileExistsError, match=f"{path} exists already"):
            RunFolder.create(path, "seed: 4\n")
    assert (tmp_path / "mine" / "photo.png").read_bytes() == b"x"
    assert (tmp_path / "file").read_bytes() == b"y"
    assert run.config.read_text() == "seed: 3\n"


def test_a_folder_without_config_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} is no run folder.*config.yaml"):
        RunFolder.open(tmp_path)


def test_metrics_come_back_as_they_were_written(run: RunFolder) -> None:
    assert run.read_metrics() == _columns(ROWS)
    assert run.metrics.read_text().splitlines()[0] == "step,loss,active_axes"


@pytest.mark.parametrize("cut", [1, 2, 5, 20])
def test_a_last_row_that_a_crash_cut_short_is_left_out(run: RunFolder, cut: int) -> None:
    content = run.metrics.read_bytes()
    last = content.rstrip(b"\n").rindex(b"\n") + 1
    run.metrics.write_bytes(content[: max(last, len(content) - cut)])
    assert run.read_metrics() == _columns(ROWS[:-1])


@pytest.mark.parametrize("content", ["", "step,lo", "step,loss,active_axes\n"])
def test_a_crash_before_the_first_row_leaves_no_values(run: RunFolder, content: str) -> None:
    run.metrics.write_text(content)
    assert not any(run.read_metrics().values())
    run.truncate_metrics(10)
    assert not run.metrics.exists()
    run.append_metrics(ROWS[0])
    assert run.read_metrics() == _columns(ROWS[:1])


@pytest.mark.parametrize("step", [10, 12, 14])
def test_truncating_keeps_the_rows_up_to_a_step_byte_for_byte(run: RunFolder, step: int) -> None:
    lines = run.metrics.read_bytes().splitlines(keepends=True)
    run.truncate_metrics(step)
    assert run.metrics.read_bytes() == b"".join(lines[:3])


def test_truncating_drops_a_row_that_was_cut_short(run: RunFolder) -> None:
    whole = run.metrics.read_bytes()
    run.metrics.write_bytes(whole + b"25,0.0")
    run.truncate_metrics(100)
    assert run.metrics.read_bytes() == whole


def test_truncating_before_the_first_row_starts_anew(run: RunFolder) -> None:
    run.truncate_metrics(0)
    assert not run.metrics.exists()
    run.truncate_metrics(0)


def test_a_crash_while_truncating_loses_nothing(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run.metrics.read_bytes()

    def crash(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match=r"No space left.*metrics\.csv"):
        run.truncate_metrics(10)
    assert run.metrics.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b"step,loss\n5,1.0\n10\n",
        b"step,loss\n5,1.0,2.0\n",
        b"step,loss\n5,much\n",
        b"step,loss\n\n5,1.0\n",
        b"loss\n1.0\n",
        b"\xff\xfe\x00\n",
        b"\x89PNG\r\n\x1a\n\x00\x00\n",
    ],
)
def test_what_is_no_table_of_metrics_is_refused_by_name_and_kept(
    run: RunFolder, content: bytes
) -> None:
    run.metrics.write_bytes(content)
    with pytest.raises(UnreadableFileError, match=r"metrics\.csv is no table"):
        run.read_metrics()
    with pytest.raises(UnreadableFileError, match=r"metrics\.csv is no table"):
        run.truncate_metrics(5)
    assert run.metrics.read_bytes() == content
