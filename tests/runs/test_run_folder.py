"""The run folder: made once, and readable after a crash."""

import errno
import os
from collections.abc import Callable
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


def _cut(content: bytes) -> bytes:
    return content[: content.index(b"\n15,")]


LOST: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "emptied": (lambda _: b"", "lacked 4 of 4 rows, of steps 5 to 20"),
    "cut at a row": (lambda c: _cut(c) + b"\n", "lacked 2 of 4 rows, of steps 15 to 20"),
    "cut in a row": (lambda c: c[:-3], "lacked 1 of 4 rows, of steps 20 to 20"),
    "zeros after a power cut": (
        lambda c: _cut(c) + b"\n" + bytes(64),
        "lacked 2 of 4 rows, of steps 15 to 20",
    ),
    "a row in the middle changed": (
        lambda c: c.replace(b"10,", b"11,", 1),
        "lacked 1 of 4 rows, of steps 10 to 10",
    ),
    "another header": (lambda c: c.replace(b"loss", b"cost"), "has others than the checkpoint"),
    "a further column": (
        lambda c: b"".join(line + b",1\n" for line in c.splitlines()),
        "lacked 4 of 4 rows, of steps 5 to 20",
    ),
    "a further row": (
        lambda c: c.replace(b"\n10,", b"\n7,1,1\n10,"),
        "lacked 1 of 4 rows, of steps 20 to 20",  # it is behind as many lines as there were
    ),
}


@pytest.mark.parametrize("fault", LOST)
def test_rows_that_were_lost_come_back_from_the_checkpoint_and_it_says_so(
    run: RunFolder, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    damage, words = LOST[fault]
    mark, whole = run.save_metrics(20), run.metrics.read_bytes()
    damaged = damage(whole)
    run.metrics.write_bytes(damaged)
    run.restore_metrics(20, mark)
    assert run.metrics.read_bytes() == whole
    said = capsys.readouterr().err
    assert f"{run.metrics} " in said
    assert words in said
    kept = run.path / "metrics.csv.wrong"
    assert kept.exists() == bool(damaged)
    if damaged:
        assert str(kept) in said
        assert kept.read_bytes() == damaged


def test_rows_after_the_checkpoint_go_without_a_word(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    mark, whole = run.save_metrics(20), run.metrics.read_text()
    for more in ("", "25,0.5,1\n", "25,0.5,1\n30,0.", "25,0.5,1\n\0\0\0"):
        run.metrics.write_text(whole + more)
        run.restore_metrics(20, mark)
        assert run.metrics.read_text() == whole
    run.metrics.write_text(whole.replace("\n", "\r\n"))  # of another system
    run.restore_metrics(20, mark)
    assert run.metrics.read_text() == whole
    assert capsys.readouterr().err == ""
    assert sorted(path.name for path in run.path.rglob("*")) == [
        "checkpoints",
        "config.yaml",
        "metrics.csv",
        "step-00000020.csv",
    ]


def test_a_checkpoint_before_the_first_row_has_no_rows(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "seed: 3\n")
    mark = run.save_metrics(2)
    run.append_metrics(ROWS[0])
    run.restore_metrics(2, mark)
    assert not run.metrics.exists()
    run.restore_metrics(2, mark)
    assert [path.name for path in run.path.iterdir()] == ["config.yaml"]


def test_a_missing_table_comes_back(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    mark, whole = run.save_metrics(20), run.metrics.read_text()
    run.metrics.unlink()
    run.restore_metrics(20, mark)
    assert run.metrics.read_text() == whole
    assert "lacked 4 of 4 rows" in capsys.readouterr().err


@pytest.mark.parametrize("copy", [None, b"", b"step,loss\n\xff"])
def test_rows_that_cannot_come_back_are_named(
    run: RunFolder, capsys: pytest.CaptureFixture[str], copy: bytes | None
) -> None:
    mark, path = run.save_metrics(20), run.checkpoints / "step-00000020.csv"
    path.unlink() if copy is None else path.write_bytes(copy)
    run.metrics.write_bytes(_cut(run.metrics.read_bytes()) + b"\n")
    run.restore_metrics(20, mark)
    assert run.read_metrics()["step"] == [5, 10]
    said = capsys.readouterr().err
    assert f"{run.metrics} lacks rows up to step 20" in said
    assert f"they are lost, as {path} is missing or damaged" in said


def test_what_is_no_table_is_not_replaced(run: RunFolder) -> None:
    mark = run.save_metrics(20)
    run.metrics.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\n")
    before = run.metrics.read_bytes()
    with pytest.raises(UnreadableFileError, match=r"metrics\.csv is no table.*move it away"):
        run.restore_metrics(20, mark)
    assert run.metrics.read_bytes() == before


def test_rows_are_known_by_all_but_how_fast_they_were(tmp_path: Path) -> None:
    marks = []
    for speed, loss in ((1.5, 2.0), (99.0, 2.0), (1.5, 2.5)):
        run = RunFolder.create(tmp_path / f"{speed} {loss}", "")
        run.append_metrics({"step": 5, "images_per_second": speed, "loss": loss})
        marks.append(run.save_metrics(5))
    assert marks[0] == marks[1] != marks[2]


def test_saved_rows_are_on_the_disk(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append(os.fstat(number).st_ino))
    run.save_metrics(20)
    assert flushed[0] == run.metrics.stat().st_ino


def test_a_table_that_was_emptied_gets_its_header_again(run: RunFolder) -> None:
    run.metrics.write_text("")
    run.append_metrics(ROWS[0])
    assert run.read_metrics() == _columns(ROWS[:1])


CONFIG = """
name: a
steps: 10
seed: 0
data: {class_path: axiswise.data.ImageFolder, init_args: {path: /there/photos, size: 64}}
objective: {beta: 2.0}
evaluation: {bins: 5}
"""


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("name: a", "name: b", True),
        ("steps: 10", "steps: 20", True),
        ("bins: 5", "bins: 6", True),
        ("/there/photos", "elsewhere/photos", True),
        ("{beta: 2.0}", "\n  beta: 2.0 # as in the paper", True),
        ("/there/photos", "/there/drawings", False),
        ("size: 64", "size: 32", False),
        ("seed: 0", "seed: 1", False),
        ("beta: 2.0", "beta: 2.5", False),
        ("ImageFolder", "NpzImages", False),
    ],
)
def test_recipes_are_told_apart_by_what_makes_weights_what_they_are(
    tmp_path: Path, old: str, new: str, same: bool
) -> None:
    digests = []
    for name, text in (("a", CONFIG), ("b", CONFIG.replace(old, new))):
        assert name == "a" or text != CONFIG
        digests.append(RunFolder.create(tmp_path / name, text).recipe_digest())
    assert (digests[0] == digests[1]) == same
    assert RunFolder(tmp_path / "none").recipe_digest() == ""
