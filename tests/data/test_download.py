"""Downloads against a server that does all that servers and networks do."""

import hashlib
import random
import re
import socket
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from axiswise.data.download import DownloadError, default_data_dir, fetch

CONTENT = random.Random(0).randbytes(1_000_000)
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()
PAGE = b"<!DOCTYPE html><title>Sign in to the guest network</title>"


class Server(ThreadingHTTPServer):
    """Serves CONTENT. It keeps to `plan` for the first requests, and behaves from then on."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan: list[str] = []
        self.ranges: list[str | None] = []  # what each request asked for
        self.sent = 0  # bytes of bodies

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file.npz"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.server.ranges.append(asked)
        step = self.server.plan.pop(0) if self.server.plan else "well"
        kind = "application/octet-stream"
        if step == "missing":
            return self.send_error(404, "Not Found")
        if step == "hung up":
            return None
        if step == "page":
            return self.answer(200, PAGE, "text/html; charset=utf-8")
        if step == "page in disguise":
            return self.answer(200, PAGE, kind)
        if step == "altered":
            return self.answer(200, CONTENT[:5000] + b"?" + CONTENT[5001:], kind)
        if step == "another":
            return self.answer(200, b"something else", kind)
        if step == "cut, of no announced size":
            return self.answer(200, CONTENT[:500_000], kind, size=None)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if start >= len(CONTENT):
            return self.send_error(416, "Range Not Satisfiable")
        if step == "no ranges":
            return self.answer(200, CONTENT, kind)
        rest = CONTENT[start:]
        part = rest if step == "well" else rest[: len(rest) // 2]
        self.answer(206 if asked else 200, part, kind, size=len(rest))
        if step == "reset":
            self.wfile.flush()
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
        return None

    def answer(self, status: int, body: bytes, kind: str, size: int | None = -1) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if size is not None:
            self.send_header("Content-Length", str(len(body) if size == -1 else size))
        self.end_headers()
        self.wfile.write(body)
        self.server.sent += len(body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address at which nobody listens."""
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}/file.npz"


def check(folder: Path, *others: str) -> None:
    """The file is there and whole, and nothing else but these."""
    assert (folder / "file.npz").read_bytes() == CONTENT
    assert {path.name for path in folder.iterdir()} == {"file.npz", *others}


def test_a_file_comes_whole_and_progress_is_told(tmp_path: Path, server: Server) -> None:
    told: list[tuple[int, int | None]] = []
    path = tmp_path / "new" / "folder" / "file.npz"
    fetch(server.url, path, sha256=CHECKSUM, progress=lambda *done: told.append(done))
    check(path.parent)
    assert told[-1] == (1_000_000, 1_000_000)
    assert told == sorted(told)
    assert len(told) > 1
    assert server.ranges == [None]


def test_a_file_in_place_needs_no_network(tmp_path: Path, nowhere: str) -> None:
    (tmp_path / "file.npz").write_bytes(CONTENT)
    fetch(nowhere, tmp_path / "file.npz", sha256=CHECKSUM)
    check(tmp_path)


def test_an_interrupted_transfer_goes_on_where_it_was(tmp_path: Path, server: Server) -> None:
    (tmp_path / "file.npz.part").write_bytes(CONTENT[:600_000])
    told: list[tuple[int, int | None]] = []
    fetch(
        server.url,
        tmp_path / "file.npz",
        sha256=CHECKSUM,
        progress=lambda *done: told.append(done),
    )
    check(tmp_path)
    assert server.ranges == ["bytes=600000-"]
    assert server.sent == 400_000
    assert told[-1] == (1_000_000, 1_000_000)


def test_a_server_without_ranges_sends_it_all(tmp_path: Path, server: Server) -> None:
    (tmp_path / "file.npz.part").write_bytes(CONTENT[:600_000])
    server.plan = ["no ranges"]
    fetch(server.url, tmp_path / "file.npz", sha256=CHECKSUM)
    check(tmp_path)
    assert len(server.ranges) == 1


def test_a_part_that_is_the_whole_file_is_taken(tmp_path: Path, server: Server) -> None:
    (tmp_path / "file.npz.part").write_bytes(CONTENT)
    fetch(server.url, tmp_path / "file.npz", sha256=CHECKSUM)
    check(tmp_path)
    assert server.sent == 0


@pytest.mark.parametrize("stale", [b"of another file", CONTENT + b"more"])
def test_a_part_of_something_else_is_thrown_away(
    tmp_path: Path, server: Server, stale: bytes
) -> None:
    (tmp_path / "file.npz.part").write_bytes(stale)
    fetch(server.url, tmp_path / "file.npz", sha256=CHECKSUM)
    check(tmp_path)
    assert server.ranges[-1] is None


@pytest.mark.parametrize("how", ["truncated", "reset", "hung up"])
def test_a_broken_connection_is_taken_up_again(tmp_path: Path, server: Server, how: str) -> None:
    server.plan = [how]
    fetch(server.url, tmp_path / "file.npz", sha256=CHECKSUM)
    check(tmp_path)
    assert len(server.ranges) == 2
    if how == "truncated":  # a reset may overtake bytes that were sent
        assert server.ranges[1] == "bytes=500000-"


def test_what_came_before_connections_broke_is_kept(tmp_path: Path, server: Server) -> None:
    server.plan = ["truncated", "truncated"]
    with pytest.raises(DownloadError, match="connection broke after 750000 of 1000000 bytes"):
        fetch(server.url, tmp_path / "file.npz", sha256=CHECKSUM)
    assert [path.name for path in tmp_path.iterdir()] == ["file.npz.part"]
    fetch(server.url, tmp_path / "file.npz", sha256=CHECKSUM)
    check(tmp_path)
    assert server.ranges == [None, "bytes=500000-", "bytes=750000-"]


FAULTS = {
    "page": r"sends a web page \(text/html\) instead of the file",
    "page in disguise": r"what came \(58 bytes\) is a web page instead of the file",
    "altered": rf"what came \(1000000 bytes\) has the SHA-256 .* but must have {CHECKSUM}",
    "another": rf"what came \(14 bytes\) has the SHA-256 .* but must have {CHECKSUM}",
    "cut, of no announced size": r"what came \(500000 bytes\) has the SHA-256 checksum",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_the_file_is_fetched_again(tmp_path: Path, server: Server, fault: str) -> None:
    server.plan = [fault]
    fetch(server.url, tmp_path / "file.npz", sha256=CHECKSUM)
    check(tmp_path)
    assert server.ranges == [None, None]


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_the_file_twice_is_refused_and_removed(
    tmp_path: Path, server: Server, fault: str
) -> None:
    server.plan = [fault, fault]
    with pytest.raises(DownloadError, match=FAULTS[fault]) as caught:
        fetch(server.url, tmp_path / "file.npz", sha256=CHECKSUM)
    says_how_to_get_the_file(caught.value, server.url, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(server.ranges) == 2


def says_how_to_get_the_file(error: DownloadError, url: str, folder: Path) -> None:
    message = str(error)
    assert url in message
    assert str(folder / "file.npz") in message
    assert "a network that reaches this address" in message
    assert re.search(rf"by hand and put it into {re.escape(str(folder))} as file\.npz", message)


def test_a_web_page_does_not_cost_what_came_before(tmp_path: Path, server: Server) -> None:
    (tmp_path / "file.npz.part").write_bytes(CONTENT[:900_000])
    server.plan = ["page", "page"]
    with pytest.raises(DownloadError, match="web page"):
        fetch(server.url, tmp_path / "file.npz", sha256=CHECKSUM)
    fetch(server.url, tmp_path / "file.npz", sha256=CHECKSUM)
    check(tmp_path)
    assert server.ranges[-1] == "bytes=900000-"


def test_an_address_that_is_gone_is_an_error_at_once(tmp_path: Path, server: Server) -> None:
    server.plan = ["missing"]
    with pytest.raises(DownloadError, match="the server answers 404 Not Found") as caught:
        fetch(server.url, tmp_path / "file.npz", sha256=CHECKSUM)
    says_how_to_get_the_file(caught.value, server.url, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(server.ranges) == 1


def test_without_a_network_the_error_says_how_to_get_the_file(tmp_path: Path, nowhere: str) -> None:
    with pytest.raises(DownloadError, match=r"is missing, .* no answer \(.*refused") as caught:
        fetch(nowhere, tmp_path / "file.npz", sha256=CHECKSUM)
    says_how_to_get_the_file(caught.value, nowhere, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_file_in_place_is_kept_aside(tmp_path: Path, server: Server) -> None:
    for aside in ("file.npz.wrong", "file.npz.wrong2"):
        (tmp_path / "file.npz").write_bytes(aside.encode())
        with pytest.warns(UserWarning, match=rf"wrong checksum .* is now .*{aside}$"):
            fetch(server.url, tmp_path / "file.npz", sha256=CHECKSUM)
        assert (tmp_path / aside).read_bytes() == aside.encode()
    check(tmp_path, "file.npz.wrong", "file.npz.wrong2")


def test_a_wrong_file_stays_in_place_while_there_is_no_other(tmp_path: Path, nowhere: str) -> None:
    (tmp_path / "file.npz").write_bytes(b"mine")
    checksum = hashlib.sha256(b"mine").hexdigest()
    with pytest.raises(DownloadError, match=f"is there, but has the checksum {checksum}"):
        fetch(nowhere, tmp_path / "file.npz", sha256=CHECKSUM)
    assert (tmp_path / "file.npz").read_bytes() == b"mine"


def test_ctrl_c_leaves_a_part_to_go_on_from(tmp_path: Path, server: Server) -> None:
    def interrupt(_done: int, _total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(server.url, tmp_path / "file.npz", sha256=CHECKSUM, progress=interrupt)
    kept = (tmp_path / "file.npz.part").read_bytes()
    assert 0 < len(kept) < len(CONTENT)
    assert not (tmp_path / "file.npz").exists()
    fetch(server.url, tmp_path / "file.npz", sha256=CHECKSUM)
    check(tmp_path)
    assert server.ranges == [None, f"bytes={len(kept)}-"]


def test_of_several_at_once_one_fetches_and_the_others_wait(tmp_path: Path, server: Server) -> None:
    errors: list[BaseException] = []

    def work(path: Path) -> None:
        try:
            fetch(server.url, path, sha256=CHECKSUM)
        except BaseException as error:
            errors.append(error)

    rounds = 30  # a file that vanishes between a look and an opening shows here
    for number in range(rounds):
        folder = tmp_path / str(number)
        threads = [threading.Thread(target=work, args=(folder / "file.npz",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        check(folder)
    assert server.ranges == [None] * rounds


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, nowhere: str) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(OSError, match="taken"):
        fetch(nowhere, tmp_path / "taken" / "file.npz", sha256=CHECKSUM)


def test_an_md5_checksum_serves_as_well(tmp_path: Path, server: Server) -> None:
    right = hashlib.md5(CONTENT).hexdigest()
    server.plan = ["altered", "altered"]
    with pytest.raises(DownloadError, match=f"has the MD5 checksum .* but must have {right}"):
        fetch(server.url, tmp_path / "file.npz", md5=right)
    fetch(server.url, tmp_path / "file.npz", md5=right)
    check(tmp_path)


def test_with_no_checksum_what_is_there_is_taken(tmp_path: Path, nowhere: str) -> None:
    (tmp_path / "file.npz").write_bytes(b"whatever")
    fetch(nowhere, tmp_path / "file.npz")
    assert (tmp_path / "file.npz").read_bytes() == b"whatever"


def test_with_no_checksum_what_comes_must_have_its_announced_length(
    tmp_path: Path, server: Server
) -> None:
    server.plan = ["truncated", "truncated"]
    with pytest.raises(DownloadError, match="connection broke after 750000 of 1000000 bytes"):
        fetch(server.url, tmp_path / "file.npz")
    assert not (tmp_path / "file.npz").exists()
    fetch(server.url, tmp_path / "file.npz")
    check(tmp_path)
    assert server.ranges[-1] == "bytes=750000-"


@pytest.mark.parametrize("fault", ["page", "page in disguise"])
def test_with_no_checksum_a_web_page_is_refused_still(
    tmp_path: Path, server: Server, fault: str
) -> None:
    server.plan = [fault, fault]
    with pytest.raises(DownloadError, match="a web page"):
        fetch(server.url, tmp_path / "file.npz")
    assert not (tmp_path / "file.npz").exists()


def test_the_data_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AXISWISE_DATA", str(tmp_path))
    assert default_data_dir() == tmp_path
    monkeypatch.delenv("AXISWISE_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_data_dir() == tmp_path / ".cache" / "axiswise"
