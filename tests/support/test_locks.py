"""One writer of a folder at a time, whatever becomes of the others."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from axiswise.support.locks import BusyError, is_free, lock, owning

WAIT = """
import sys, time
from axiswise.support.locks import owning
with owning(sys.argv[1]):
    print("owned", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path) -> "subprocess.Popen[str]":
    """A process that owns tmp_path/run."""
    words = [sys.executable, "-c", WAIT, str(tmp_path / "run")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "owned\n"
    return process


def test_a_folder_has_one_owner_and_a_killed_one_is_none(
    tmp_path: Path, other: "subprocess.Popen[str]"
) -> None:
    run = tmp_path / "run"
    with other:
        link = tmp_path / "link"
        link.symlink_to(run)
        for name in (run, link, f"{run}/", run / ".." / "run"):
            message = f"run/?.* is in use: process {other.pid} on .* writes there"
            with (
                pytest.raises(BusyError, match=message if name != link else "is in use"),
                owning(name),
            ):
                pass
        other.send_signal(signal.SIGKILL)
    with owning(run):
        assert [path.name for path in run.iterdir()] == [".lock"]
    assert list(run.iterdir()) == []


def test_a_folder_that_was_made_for_nothing_does_not_stay(tmp_path: Path) -> None:
    with owning(tmp_path / "a" / "b"):
        assert is_free(tmp_path / "a" / "b")
    assert not (tmp_path / "a" / "b").exists()
    with owning(tmp_path / "c"):
        (tmp_path / "c" / "file").touch()
        assert not is_free(tmp_path / "c")
        assert is_free(tmp_path / "c", ["file"])
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["file"]
    (tmp_path / "there").mkdir()
    with owning(tmp_path / "there"):
        pass
    assert (tmp_path / "there").is_dir()


def test_who_owns_a_folder_may_own_it_again_but_no_other_thread(tmp_path: Path) -> None:
    refused = []

    def try_it() -> None:
        try:
            with owning(tmp_path):
                pass
        except BusyError as error:
            refused.append(str(error))

    with owning(tmp_path), owning(tmp_path), owning(tmp_path / "." / "x" / ".."):
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
    assert f"process {os.getpid()}" in refused[0]
    with owning(tmp_path):
        pass


def test_files_of_a_folder_have_owners_of_their_own_and_can_be_waited_for(tmp_path: Path) -> None:
    done = []

    def wait() -> None:
        with owning(tmp_path, "table", wait=True):
            done.append(1)

    with owning(tmp_path), owning(tmp_path, "page"), owning(tmp_path, "table"):
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(0.05)
        assert not done
    thread.join()
    assert done
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_start_at_once_one_at_a_time_is_the_owner(tmp_path: Path) -> None:
    """Each removes the lock at its end."""
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(50):
            try:
                with owning(tmp_path / "run"):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except BusyError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert is_free(tmp_path / "run")


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(FileExistsError, match="file exists already, and is a file"),
        owning(tmp_path / "file"),
    ):
        pass


def test_a_file_system_without_locks_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    import errno

    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with owning(tmp_path / "run"):
        assert (tmp_path / "run").is_dir()


def test_a_full_disk_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with owning(tmp_path), pytest.raises(BusyError, match="another process writes there"):
        threading_error(tmp_path)


def threading_error(folder: Path) -> None:
    """Raise here what another thread meets."""
    errors: list[BaseException] = []

    def own() -> None:
        try:
            with owning(folder):
                pass
        except BusyError as error:
            errors.append(error)

    thread = threading.Thread(target=own)
    thread.start()
    thread.join()
    raise errors[0]


def test_a_locked_file_is_left_alone_and_free_when_closed(tmp_path: Path) -> None:
    first = lock(tmp_path / "file")
    assert first is not None
    assert lock(tmp_path / "file") is None
    (tmp_path / "file").unlink()
    second = lock(tmp_path / "file")  # another file, of the same name
    assert second is not None
    first.close()
    second.close()
    third = lock(tmp_path / "file")
    assert third is not None
    third.close()
