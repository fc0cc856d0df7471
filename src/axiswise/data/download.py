"""Files from the network: resumable, checked, and either whole or not there."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.client import HTTPException, HTTPMessage, HTTPResponse
from io import BufferedRandom
from pathlib import Path
from typing import IO
from urllib import request as requests
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request

from axiswise.support.files import naming, wrong_name
from axiswise.support.locks import lock
from axiswise.support.progress import Progress, no_progress

_ATTEMPTS = 2
_SILENCE = 30  # seconds without a byte after which a connection counts as broken
_BLOCK = 2**18  # bytes
_HASHED = 2**26  # bytes between two words on the progress of a checksum
MOST = 2**34  # bytes of a file whose size is not known any better
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
    most: int = MOST,
    progress: Progress = no_progress,
) -> None:
    """Fetch a file, unless it is at `path` already with the right checksum.

    An interrupted transfer resumes from `NAME.part`, in this call or a later one. The file takes
    its name when its checksum is right; a wrong one is fetched once more. A file at `path` with
    another checksum is kept as `NAME.wrong`, with a warning. Of several processes that fetch the
    same file one does, and the others wait.

    Without a checksum, any file at `path` is right, and one from the network is if it has the
    length that the server announced and is no web page; the caller then checks its layout. A part
    of it is thrown away where the server says that its file has changed since.

    Only http and https are spoken, and a secure address is not left for another by redirection. A
    transfer of more than `most` bytes, or than the server announced, is stopped.

    Args:
        url: http or https address.
        path: The file; its folder is made if need be.
        sha256: Its checksum, 64 hexadecimal digits in lower case.
        md5: The same by MD5, 32 digits: it shows damage, not malice.
        most: Bytes that the file has at most.
        progress: Called with the bytes that have come and all, None where the server does not say;
            then with those of which the checksum is taken.

    Raises:
        DownloadError: `url` is none of http, cannot be reached, or sends another file; with two
            ways to get it.
        OSError: The folder cannot be written or the disk is full.
    """
    right = _Right("sha256", sha256) if sha256 is not None else _Right("md5", md5)
    if right.is_met_by(path, progress):
        return
    with naming(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with _alone_with(part) as file:
        if right.is_met_by(path):  # another process was faster
            return
        problem = _fill(file, url, right, most, progress)
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

    def is_met_by(self, path: Path, progress: Progress = no_progress) -> bool:
        """Whether the file at `path` is it."""
        if self.digest is None:
            return path.exists()
        return self.digest == _checksum(path, self.algorithm, progress)


def _fill(
    file: BufferedRandom, url: str, right: _Right, most: int, progress: Progress
) -> str | None:
    """Make `file` the whole file, or return what is wrong."""
    if urlsplit(url).scheme not in ("http", "https"):
        return "the address must begin with https:// or http://"
    problem = None
    for _ in range(_ATTEMPTS):
        try:
            problem = _transfer(file, url, right, most, progress) or _fault(file, right, progress)
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


class _Redirected(requests.HTTPRedirectHandler):
    """Follows redirections, but from https to nothing else."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        allowed = ("https",) if req.type == "https" else ("http", "https")
        if urlsplit(newurl).scheme not in allowed:
            raise HTTPError(
                req.full_url, code, f"with a redirection to {newurl}, which is refused", headers, fp
            )
        fp.close()  # it would be read to its end, wherever that is
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(request: Request) -> HTTPResponse:
    """Send a request by http or https: the opener of the standard library reads files too."""
    opener = requests.OpenerDirector()
    for handler in (
        *(requests.ProxyHandler(), requests.HTTPHandler(), requests.HTTPSHandler(), _Redirected()),
        *(requests.HTTPDefaultErrorHandler(), requests.HTTPErrorProcessor()),
        requests.UnknownHandler(),
    ):
        opener.add_handler(handler)
    response = opener.open(request, timeout=_SILENCE)
    assert isinstance(response, HTTPResponse)
    return response


def _transfer(
    file: BufferedRandom, url: str, right: _Right, most: int, progress: Progress
) -> str | None:
    """Append what is missing, or return what is wrong with the answer."""
    there = file.seek(0, os.SEEK_END)
    if there > most:  # of another file
        there = file.truncate(0)
    request = Request(url)
    if there:
        since = formatdate(os.fstat(file.fileno()).st_mtime, usegmt=True)
        request.add_header("Range", f"bytes={there}-")
        request.add_header("If-Unmodified-Since", since)  # a part of a newer file would not fit
    try:
        response = _open(request)
    except HTTPError as error:
        if not there or error.code not in (412, 416):
            raise
        with error:
            if error.code == 416 and _ends_at(there, error, right):
                return None
        return _start_anew(file, "the server has another file by now")
    except URLError as error:
        raise _UnreachableError(f"there is no answer ({error.reason})") from error
    except (OSError, HTTPException) as error:
        return f"the connection broke ({error or type(error).__name__})"
    with response:
        if response.headers.get_content_type() == "text/html":
            return "the server sends a web page (text/html) instead of the file"
        if response.status == 206 and not _follows(there, response, right):
            return _start_anew(file, "the server sends another part of the file than the missing")
        if response.status == 200:  # all of it
            there = 0
            file.truncate(0)
        elif response.status != 206:
            return f"the server answers {response.status} {response.reason}"
        return _append(file, there, response, right, most, progress)


def _append(
    file: BufferedRandom,
    there: int,
    response: HTTPResponse,
    right: _Right,
    most: int,
    progress: Progress,
) -> str | None:
    """Write what comes after the bytes that are there, or return what is wrong with it."""
    total = None if response.length is None else there + response.length
    if total is not None and total > most:
        return f"the server announces {total} bytes, but the file has {most} at most"
    if total is None and right.digest is None and not response.chunked:
        return "the server does not say how long the file is, so that nothing shows that all came"
    try:
        for block in _blocks(response):
            there += len(block)
            if there > most:
                return _start_anew(file, f"more than {most} bytes came, which the file has at most")
            with naming(Path(file.name)):
                file.write(block)
            progress(there, total)
    except _BrokenError as error:
        return f"the connection broke after {there} bytes ({error})"
    if total is not None and there < total:
        return f"the connection broke after {there} of {total} bytes"
    return None


def _start_anew(file: BufferedRandom, problem: str) -> str:
    """Empty the file, so that the next attempt fetches all of it; return the problem."""
    file.truncate(0)
    return problem


def _ends_at(there: int, error: HTTPError, right: _Right) -> bool:
    """Whether an answer "beyond the end" says, or a checksum will, that the file has come whole."""
    said = error.headers.get("Content-Range")
    return right.digest is not None if said is None else said.strip() == f"bytes */{there}"


def _follows(there: int, response: HTTPResponse, right: _Right) -> bool:
    """Whether a part is all the rest; one that does not say so needs a checksum afterwards."""
    said = response.headers.get("Content-Range")
    if said is None:
        return there > 0 and right.digest is not None
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", said.strip())
    if found is None or not there or int(found[1]) != there:
        return False
    end = int(found[2]) + 1
    whole = right.digest is not None if found[3] == "*" else end == int(found[3])
    return whole and response.length in (None, end - there)


class _BrokenError(Exception):
    """A connection that was lost in the middle."""


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    """The response block by block; an error in reading it is a _BrokenError."""
    try:
        while block := response.read1(_BLOCK):
            yield block
    except (OSError, HTTPException) as error:
        raise _BrokenError(str(error) or type(error).__name__) from error


def _fault(file: BufferedRandom, right: _Right, progress: Progress) -> str | None:
    """What is wrong with a file that has come in full, which is then emptied; None if nothing."""
    file.seek(0)
    start = file.read(100).lstrip().lower()
    is_page = start.startswith((b"<!doctype html", b"<html"))
    if right.digest is None and not is_page:
        return None
    found = _digest(file, right.algorithm, progress)
    if found == right.digest:
        return None
    size = file.seek(0, os.SEEK_END)
    file.truncate(0)
    if is_page:
        return f"what came ({size} bytes) is a web page instead of the file"
    name = _NAMES[right.algorithm]
    return f"what came ({size} bytes) has the {name} checksum {found}, but must have {right.digest}"


def _checksum(path: Path, algorithm: str, progress: Progress = no_progress) -> str | None:
    """A file's checksum, None where there is no file."""
    try:
        with naming(path), path.open("rb") as file:
            return _digest(file, algorithm, progress)
    except FileNotFoundError:
        return None


def _digest(file: IO[bytes] | BufferedRandom, algorithm: str, progress: Progress) -> str:
    """The checksum of an open file, from its start."""
    digest, size = hashlib.new(algorithm), file.seek(0, os.SEEK_END)
    file.seek(0)
    while block := file.read(_HASHED):
        digest.update(block)
        progress(file.tell(), size)
    return digest.hexdigest()


def _set_aside(path: Path) -> None:
    """Rename a wrong file, with a warning: it may be the user's own."""
    if not path.exists():
        return
    aside = wrong_name(path)
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
    file = lock(part, wait=True)
    assert file is not None
    with file:
        try:
            yield file
        finally:
            if file.seek(0, os.SEEK_END) == 0:
                part.unlink(missing_ok=True)
