"""One writer at a time: locks of the operating system, which end with the process that has one."""

import os
import socket
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from errno import ENOLCK, ENOSYS, EOPNOTSUPP
from io import BufferedRandom
from pathlib import Path
from typing import cast

from axiswise.support.files import naming, open_here

_LOCK = ".lock"
_WITHOUT_LOCKS = (ENOLCK, ENOSYS, EOPNOTSUPP)  # errors of file systems that have none
_FAR = 2**30  # the byte that Windows locks, which nobody can read then: behind the content

# What this thread owns: within it, to own the same again is no conflict.
_owned: ContextVar[frozenset[Path]] = ContextVar("owned", default=frozenset())


class BusyError(OSError):
    """Another process, or another thread, writes there."""


@contextmanager
def owning(folder: str | Path, file: str = "", *, wait: bool = False) -> Iterator[None]:
    """Be the only writer of a folder, or of one file in it; who only reads needs no lock.

    Where the caller is that already, nothing happens. A lock that a killed process left is free.

    Args:
        folder: The folder. It is made if missing, and removed again if nothing came into it.
        file: Name of the file; what the folder is owned for if empty.
        wait: Whether to wait for another writer, instead of an error.

    Raises:
        BusyError: Somebody else writes there.
        OSError: The folder cannot be written.
    """
    place = Path(folder).resolve()
    path = place / (f"{_LOCK}-{file}" if file else _LOCK)
    if path in _owned.get():
        yield
        return
    missing = not place.exists()
    opened = _open(path, wait)
    if opened is None:
        where = Path(folder) / file if file else folder
        raise BusyError(
            f"{where} is in use: {_owner(path)} writes there; wait until it has ended, or choose "
            "another folder"
        )
    before = _owned.set(_owned.get() | {path})
    try:
        with suppress(OSError):  # a full disk: the lock stands all the same
            os.ftruncate(opened.fileno(), 0)
            os.write(opened.fileno(), f"{os.getpid()} {socket.gethostname()}".encode())
        yield
    finally:
        _owned.reset(before)
        _remove(path, opened)
        if missing:
            with suppress(OSError):  # something is in it
                place.rmdir()


def is_free(folder: Path, besides: Collection[str] = ()) -> bool:
    """Whether nothing is at a path, or a folder that has nothing but `besides`, and locks."""
    if not folder.is_dir():
        return not folder.exists()
    names = [path.name for path in folder.iterdir()]
    return all(name == _LOCK or name.startswith(f"{_LOCK}-") or name in besides for name in names)


def lock(path: Path, *, wait: bool = False) -> BufferedRandom | None:
    """Open a file for reading and appending, made if missing, that nobody else has locked.

    Closing the file ends the lock, as does the end of the process.

    Args:
        path: The file.
        wait: Whether to wait for another one's lock to end.

    Returns:
        The file; None if another one has locked it.
    """
    while True:
        with naming(path):
            file = cast(BufferedRandom, open_here(path, "a+b"))
        try:
            if not _locked(file, wait):
                file.close()
                return None
            if _is_at(path, file):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # who had locked it has renamed or removed it


def _open(path: Path, wait: bool) -> BufferedRandom | None:
    """Lock a file in a folder that is made if missing, and may be removed at any time."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise FileExistsError(f"{path.parent} exists already, and is a file") from error
        with suppress(FileNotFoundError):
            return lock(path, wait=wait)


def _locked(file: BufferedRandom, wait: bool) -> bool:
    """Lock a file; False if another one has, and `wait` is false."""
    if sys.platform == "win32":
        import msvcrt

        while True:
            file.seek(_FAR)
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError:
                if wait:  # it tries for ten seconds only
                    continue
                return False
            return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
    return True


def _is_at(path: Path, file: BufferedRandom) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _owner(path: Path) -> str:
    """Who has a lock, as far as is known."""
    try:
        process, host = path.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return "another process"
    return f"process {process} on {host}"


def _remove(path: Path, file: BufferedRandom) -> None:
    """Remove a lock: as long as it is ours, unless the system removes no open files."""
    with suppress(OSError):
        if _is_at(path, file):
            if sys.platform == "win32":
                file.close()
            path.unlink()
    file.close()
