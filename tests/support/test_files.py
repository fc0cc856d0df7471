"""Files are whole or not there."""

import errno
import os
import stat
from pathlib import Path

import pytest

from axiswise.support.files import (
    naming,
    open_here,
    remove_unfinished,
    replace_wrong,
    write_atomically,
)

pytestmark = pytest.mark.fsync


def test_the_content_is_written_and_replaces_what_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    write_atomically(path, b"old")
    write_atomically(path, bytes(range(256)) * 1000)
    assert path.read_bytes() == bytes(range(256)) * 1000
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_is_there_until_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    seen = []

    def replace(source: str, target: Path) -> None:
        seen.append((path.read_bytes(), Path(source).read_bytes(), Path(source).parent))
        Path(source).rename(target)

    monkeypatch.setattr(os, "replace", replace)
    write_atomically(path, b"new")
    assert seen == [(b"old", b"new", tmp_path)]  # same folder: a rename cannot become a copy
    assert path.read_bytes() == b"new"


def test_the_disk_has_the_content_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    seen = []
    flush = os.fsync

    def note(descriptor: int) -> None:
        flush(descriptor)
        seen.append((os.fstat(descriptor).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", note)
    write_atomically(path, b"new")
    assert seen == [(3, False)]


@pytest.mark.parametrize("call", ["fsync", "chmod", "replace"])
@pytest.mark.parametrize("kind", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_after_a_failure_the_old_file_stays_and_nothing_else_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, kind: BaseException
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise kind

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        with pytest.raises(type(kind)):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_new_files_can_be_read_by_whom_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_missing_folder_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing/file"):
        write_atomically(tmp_path / "missing" / "file", b"")


def test_errors_say_which_file_they_are_about() -> None:
    with pytest.raises(OSError, match=r"No space left.*'/some/file'") as caught:  # noqa: SIM117
        with naming(Path("/some/file")):
            raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(PermissionError, match="'/some/file'"), naming(Path("/some/file")):
        raise PermissionError(errno.EACCES, "Permission denied", "/some/.file.x1y2")


def test_a_wrong_file_is_kept_under_the_next_free_name(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for number in range(3):
        path.write_bytes(bytes([number]))
        kept = replace_wrong(path, b"right")
        assert kept.name == ["file.wrong", "file.wrong2", "file.wrong3"][number]
        assert kept.read_bytes() == bytes([number])
        assert path.read_bytes() == b"right"


def test_a_wrong_file_stays_where_it_is_if_nothing_can_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"wrong")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match=r"No space left.*file"):
        replace_wrong(path, b"right")
    assert path.read_bytes() == b"wrong"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_unfinished_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (
        ".a.txt.x1y2z3w4",
        ".step-5.pt.q",
        ".other.txt.x1",
        "a.txt",
        ".a.txt",
        "a.txt.wrong",
    ):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path / "a.txt", tmp_path / "step-*", tmp_path / "none" / "b")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {".other.txt.x1", "a.txt", ".a.txt", "a.txt.wrong"}


def test_what_a_link_names_elsewhere_is_not_written_to(tmp_path: Path) -> None:
    """As a lock, a log or a table in a folder of a stranger's might be."""
    precious, link = tmp_path / "precious", tmp_path / "link"
    precious.write_text("of the user's")
    for target in (precious, tmp_path / "missing"):
        link.symlink_to(target)
        for mode in ("ab", "wb", "a+b"):
            with pytest.raises(OSError, match=r"a link, through which nothing is written.*link'"):
                open_here(link, mode)
        link.unlink()
    assert precious.read_text() == "of the user's"
    assert not (tmp_path / "missing").exists()
    with open_here(tmp_path / "own", "ab") as file:
        file.write(b"row")
    assert (tmp_path / "own").read_bytes() == b"row"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe"):
        open_here(tmp_path / "pipe", "ab")
