"""Files that are either whole or not there."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast


class UnreadableFileError(ValueError):
    """A file that is damaged, or of another kind than expected."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is whole or absent, whatever reader or crash comes between.

    Args:
        path: The file; an existing one is replaced at the very end.
        content: All of it.

    Raises:
        OSError: The folder cannot be written or the disk is full. An existing file stays as it
            was, and no temporary file is left.
    """
    with naming(path):
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)  # noqa: PTH101 - mkstemp makes it private
            os.replace(temporary, path)  # noqa: PTH105 - both ends are plain strings here
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def remove_unfinished(*paths: Path) -> None:
    """Remove what `write_atomically` left of files where a process was killed.

    Args:
        paths: The files, which nobody else writes now; a name may be a pattern, as "step-*".
    """
    for path in paths:
        for left in path.parent.glob(f".{path.name}.*"):
            left.unlink(missing_ok=True)


def wrong_name(path: Path) -> Path:
    """The first of the names NAME.wrong, NAME.wrong2, … that nothing has."""
    aside, number = path.with_name(f"{path.name}.wrong"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.wrong{number}")
    return aside


def replace_wrong(path: Path, content: bytes) -> Path:
    """Write a file in place of a wrong one, which is kept under its `wrong_name`, the result.

    Raises:
        OSError: It cannot be written; the wrong one then stays where it is.
    """
    aside = wrong_name(path)
    with naming(path):
        shutil.copyfile(path, aside)
    try:
        write_atomically(path, content)
    except BaseException:
        aside.unlink()
        raise
    return aside


def open_here(path: Path, mode: str) -> BinaryIO:
    """Open a file to write into, made if missing, but none elsewhere that a link leads to.

    Args:
        path: The file.
        mode: As of `open`, binary.

    Raises:
        OSError: It is a link or a pipe, or cannot be written.
    """
    safe = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

    def opened(name: str, flags: int) -> int:
        return os.open(name, flags | safe, 0o666)

    if path.is_symlink():
        raise OSError(errno.ELOOP, "a link, through which nothing is written", str(path))
    return cast(BinaryIO, open(path, mode, opener=opened))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Within it, an OSError names the file, which that of a full disk, say, does not."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
