"""Files from the network: resumable, checked, and either whole or not there."""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from io import BufferedRandom
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from axiswise.support.files import naming
from axiswise.support.progress import Progress, no_progress

_ATTEMPTS = 2
_SILENCE = 30  # seconds without a byte after which a connection counts as broken
_BLOCK = 2**18  # bytes
_NAMES = {"sha256": "SHA-256", "md5": "MD5"}


class DownloadError(OSError):
    """A file that could not be downloaded; the message says how else to get it."""


def default_data_dir() -> Path:
    """The folder of downloaded data: that which AXISWISE_DATA names, or ~/.cache/axiswise."""
    return Path(os.environ.get("AXISWISE_DATA") or "~/.cache/axiswise").expanduser()


def fetch(
    url: str,
    path: Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    progress: Progress = no_progress,
) -> None:
    """Fetch a file, unless it is at `path` already with the right checksum.

    An interrupted transfer resumes from `NAME.part`, in this call or a later one. The file takes
    its name when its checksum is right; a wrong one is fetched once more. A file at `path` with
    another checksum is kept as `NAME.wrong`, with a warning. Of several processes that fetch the
    same file one does, and the others wait.

    Without a checksum, any file at `path` is right, and one from the network is if it has the
    length that the server announced and is no web page; the caller then checks its layout.

    Args:
        url: http or https address.
        path: The file; its folder is made if need be.
        sha256: Its checksum, 64 hexadecimal digits in lower case.
        md5: The same by MD5, 32 digits: it shows damage, not malice.
        progress: Called with the bytes that have come and all, None where the server does not say.

    Raises:
        DownloadError: `url` cannot be reached, or sends another file; with two ways to get it.
        OSError: The folder cannot be written or the disk is full.
    """
    right = _Right("sha256", sha256) if sha256 is not None else _Right("md5", md5)
    if right.is_met_by(path):
        return
    with naming(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with _alone_with(part) as file:
        if right.is_met_by(path):  # another process was faster
            return
        problem = _fill(file, url, right, progress)
        if problem is not None:
            raise DownloadError(_explain(url, path, right.algorithm, problem))
        os.fsync(file.fileno())
        _set_aside(path)
        with naming(path):
            part.replace(path)


@dataclass(frozen=True)
class _Right:
    """The checksum of the right file; None where none is known, and any file is right."""

    algorithm: str
    digest: str | None

    def is_met_by(self, path: Path) -> bool:
        """Whether the file at `path` is it."""
        return (
            path.exists() if self.digest is None else self.digest == _checksum(path, self.algorithm)
        )


def _fill(file: BufferedRandom, url: str, right: _Right, progress: Progress) -> str | None:
    """Make `file` the whole file, or return what is wrong."""
    problem = None
    for _ in range(_ATTEMPTS):
        try:
            problem = _transfer(file, url, progress) or _fault(file, right)
        except HTTPError as error:
            with error:  # an error is a response too, to be closed
                return f"the server answers {error.code} {error.reason}"
        except _UnreachableError as error:
            return str(error)
        if problem is None:
            return None
    return problem


class _UnreachableError(Exception):
    """No answer from the server."""


def _transfer(file: BufferedRandom, url: str, progress: Progress) -> str | None:
    """Append what is missing, or return what is wrong with the answer."""
    there = file.seek(0, os.SEEK_END)
    request = Request(url, headers={"Range": f"bytes={there}-"} if there else {})
    try:
        response = urlopen(request, timeout=_SILENCE)
    except HTTPError as error:
        if error.code != 416:
            raise
        error.close()
        return None  # there is nothing beyond: all of it has come, or the checksum will be wrong
    except URLError as error:
        raise _UnreachableError(f"there is no answer ({error.reason})") from error
    except (OSError, HTTPException) as error:
        return f"the connection broke ({error or type(error).__name__})"
    with response:
        if response.headers.get_content_type() == "text/html":
            return "the server sends a web page (text/html) instead of the file"
        if response.status != 206:  # it does not do ranges
            there = 0
            file.truncate(0)
        promised = response.headers.get("Content-Length")
        total = None if promised is None else there + int(promised)
        try:
            for block in _blocks(response):
                with naming(Path(file.name)):
                    file.write(block)
                there += len(block)
                progress(there, total)
        except _BrokenError as error:
            return f"the connection broke after {there} bytes ({error})"
    if total is not None and there < total:
        return f"the connection broke after {there} of {total} bytes"
    return None


class _BrokenError(Exception):
    """A connection that was lost in the middle."""


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    """The response block by block; an error in reading it is a _BrokenError."""
    try:
        while block := response.read1(_BLOCK):
            yield block
    except (OSError, HTTPException) as error:
        raise _BrokenError(str(error) or type(error).__name__) from error


def _fault(file: BufferedRandom, right: _Right) -> str | None:
    """What is wrong with a file that has come in full, which is then emptied; None if nothing."""
    file.seek(0)
    start = file.read(100).lstrip().lower()
    is_page = start.startswith((b"<!doctype html", b"<html"))
    if right.digest is None and not is_page:
        return None
    file.seek(0)
    found = hashlib.file_digest(file, right.algorithm).hexdigest()
    if found == right.digest:
        return None
    size = file.tell()
    file.truncate(0)
    if is_page:
        return f"what came ({size} bytes) is a web page instead of the file"
    name = _NAMES[right.algorithm]
    return f"what came ({size} bytes) has the {name} checksum {found}, but must have {right.digest}"


def _checksum(path: Path, algorithm: str) -> str | None:
    """A file's checksum, None where there is no file."""
    try:
        with naming(path), path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()
    except FileNotFoundError:
        return None


def _set_aside(path: Path) -> None:
    """Rename a wrong file, with a warning: it may be the user's own."""
    if not path.exists():
        return
    aside = path.with_name(f"{path.name}.wrong")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.wrong{number}")
    with naming(path):
        path.rename(aside)
    warnings.warn(
        f"{path} had a wrong checksum and was fetched again; the old file is now {aside}",
        stacklevel=3,
    )


def _explain(url: str, path: Path, algorithm: str, problem: str) -> str:
    checksum = _checksum(path, algorithm)
    state = "is missing" if checksum is None else f"is there, but has the checksum {checksum}"
    return (
        f"{path} {state}, and cannot be fetched from {url}: {problem}. Two ways to get it: try "
        f"again with a network that reaches this address, or fetch it by hand and put it into "
        f"{path.parent} as {path.name}"
    )


@contextmanager
def _alone_with(part: Path) -> Iterator[BufferedRandom]:
    """Open a file for reading and appending that no other process has open so; wait if need be."""
    while True:
        with naming(part):
            file = part.open("a+b")
        with file:
            _lock(file)
            # The process that had locked it may have renamed or removed it.
            if not _is_at(part, file):
                continue
            try:
                yield file
            finally:
                if file.seek(0, os.SEEK_END) == 0:
                    part.unlink(missing_ok=True)
            return


def _is_at(path: Path, file: BufferedRandom) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _lock(file: BufferedRandom) -> None:
    """Wait until no other process has locked the file; closing it ends the lock."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
