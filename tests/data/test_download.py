"""Downloads against a server that does all that servers and networks do."""

import hashlib
import io
import random
import re
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request

import pytest

from axiswise.data.download import DownloadError, _Redirected, default_data_dir, fetch

CONTENT = random.Random(0).randbytes(1_000_000)
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()
FOREIGN = {
    "another offset": "bytes 500000-899999/1000000",
    "another end": "bytes 600000-899999/1000000",
    "another length": "bytes 600000-999998/999999",
    "no range": "pages 1-2",
}
PAGE = b"<!DOCTYPE html><title>Sign in to the guest network</title>"


class Server(ThreadingHTTPServer):
    """Serves CONTENT. It keeps to `plan` for the first requests, and behaves from then on."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan: list[str] = []
        self.ranges: list[str | None] = []  # what each request asked for
        self.sent = 0  # bytes of bodies
        self.place = ""  # where a redirection leads

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
        if step == "redirected":
            self.send_response(302)
            self.send_header("Location", self.server.place)
            return self.end_headers()
        if step == "endless":
            return self.stream(lambda: b"x" * 100_000)
        if step == "in chunks":
            return self.stream(iter([CONTENT[:400_000], CONTENT[400_000:], b""]).__next__)
        if step in FOREIGN:
            return self.answer(206, CONTENT[-400_000:], kind, part=FOREIGN[step])
        if step == "odd status":
            return self.answer(203, CONTENT, kind)
        if step == "changed":
            return self.send_error(412, "Precondition Failed")
        if step == "beyond":
            return self.answer(416, b"", kind, part="bytes */500")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if start >= len(CONTENT):
            return self.send_error(416, "Range Not Satisfiable")
        if step == "no ranges":
            return self.answer(200, CONTENT, kind)
        rest = CONTENT[start:]
        part = rest if step == "well" else rest[: len(rest) // 2]
        said = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}" if asked else None
        self.answer(206 if asked else 200, part, kind, size=len(rest), part=said)
        if step == "reset":
            self.wfile.flush()
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
        return None

    def stream(self, more: Callable[[], bytes]) -> None:
        """Chunk after chunk, until an empty one, or until the client has enough."""
        self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        with suppress(OSError):
            while chunk := more():
                self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")

    def answer(
        self, status: int, body: bytes, kind: str, size: int | None = -1, part: str | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if part is not None:
            self.send_header("Content-Range", part)
        if size is not None:
            self.send_header("Content-Length", str(len(body) if size == -1 else size))
        self.end_headers()
        self.server.sent += len(body)  # before the client can have it all and look
        try:
            self.wfile.write(body)
        except OSError:
            self.server.sent -= len(body)
            raise


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


@pytest.mark.parametrize("step", [*FOREIGN, "changed", "beyond"])
@pytest.mark.parametrize("checksum", [CHECKSUM, None])
def test_a_part_that_does_not_fit_has_the_file_fetched_anew(
    tmp_path: Path, server: Server, step: str, checksum: str | None
) -> None:
    (tmp_path / "file.npz.part").write_bytes(b"?" * 600_000)
    server.plan = [step]
    fetch(server.url, tmp_path / "file.npz", sha256=checksum)
    check(tmp_path)
    assert server.ranges == ["bytes=600000-", None]


@pytest.mark.parametrize("step", FOREIGN)
def test_a_part_that_nobody_asked_for_is_refused(tmp_path: Path, server: Server, step: str) -> None:
    server.plan = [step, step]
    with pytest.raises(DownloadError, match="another part of the file"):
        fetch(server.url, tmp_path / "file.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_whole_part_without_a_checksum_counts_only_if_the_server_says_its_length(
    tmp_path: Path, server: Server
) -> None:
    (tmp_path / "file.npz.part").write_bytes(CONTENT)
    fetch(server.url, tmp_path / "file.npz")  # the server says nothing of it
    check(tmp_path)
    assert server.ranges == ["bytes=1000000-", None]


@pytest.mark.parametrize("checksum", [CHECKSUM, None])
def test_no_more_comes_than_the_file_has_at_most(
    tmp_path: Path, server: Server, checksum: str | None
) -> None:
    server.plan = ["endless", "endless"]
    with pytest.raises(
        DownloadError, match="more than 2000000 bytes came, which the file has at m"
    ):
        fetch(server.url, tmp_path / "file.npz", sha256=checksum, most=2_000_000)
    with pytest.raises(DownloadError, match="announces 1000000 bytes, but the file has 999999 at"):
        fetch(server.url, tmp_path / "file.npz", sha256=checksum, most=999_999)
    assert list(tmp_path.iterdir()) == []
    assert server.sent <= 2_000_000


def test_a_part_of_more_than_the_file_has_is_thrown_away(tmp_path: Path, server: Server) -> None:
    (tmp_path / "file.npz.part").write_bytes(b"?" * 1_500_000)
    fetch(server.url, tmp_path / "file.npz", most=1_200_000)
    check(tmp_path)


def test_without_length_and_checksum_a_file_must_come_in_chunks(
    tmp_path: Path, server: Server
) -> None:
    server.plan = ["cut, of no announced size"] * 2
    with pytest.raises(DownloadError, match="does not say how long the file is"):
        fetch(server.url, tmp_path / "file.npz")
    assert list(tmp_path.iterdir()) == []
    server.plan = ["in chunks"]
    fetch(server.url, tmp_path / "file.npz")
    check(tmp_path)


def test_an_answer_that_is_neither_all_nor_a_part_is_refused(
    tmp_path: Path, server: Server
) -> None:
    server.plan = ["odd status", "odd status"]
    with pytest.raises(DownloadError, match="the server answers 203"):
        fetch(server.url, tmp_path / "file.npz")


def test_redirections_are_followed_to_http_alone(tmp_path: Path, server: Server) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"mine")
    folder = tmp_path / "data"
    for place in (secret.as_uri(), "ftp://127.0.0.1:9/file", "data:,mine", "gopher://127.0.0.1:9/"):
        server.plan, server.place = ["redirected"], place
        with pytest.raises(DownloadError, match=r"the server answers 302 .*edirection"):
            fetch(server.url, folder / "file.npz")
        assert list(folder.iterdir()) == []
    server.plan, server.place = ["redirected"], server.url
    fetch(server.url, folder / "file.npz", sha256=CHECKSUM)
    check(folder)


def test_a_secure_address_leads_to_no_other() -> None:
    secure = Request("https://example.org/file", headers={"Range": "bytes=5-"})
    follow = _Redirected().redirect_request
    arguments = io.BytesIO(b""), 302, "Found", HTTPMessage()
    with pytest.raises(HTTPError, match=r"redirection to http:.*, which is refused"):
        follow(secure, *arguments, "http://example.org/file")
    followed = follow(secure, *arguments, "https://example.org/other")
    assert followed is not None
    assert (followed.full_url, followed.headers) == ("https://example.org/other", secure.headers)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x", "/etc/x"])
def test_other_addresses_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="the address must begin with https:// or http://"):
        fetch(url, tmp_path / "file.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_checksum_shows_its_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axiswise.data.download._HASHED", 400_000)
    (tmp_path / "file.npz").write_bytes(CONTENT)
    shown = list[tuple[int, int | None]]()
    fetch(
        "http://nowhere.invalid",
        tmp_path / "file.npz",
        sha256=CHECKSUM,
        progress=lambda *done: shown.append(done),
    )
    assert shown == [(400_000, 1_000_000), (800_000, 1_000_000), (1_000_000, 1_000_000)]


def test_a_full_disk_is_named_and_the_part_kept(tmp_path: Path, server: Server) -> None:
    """A file of a limited size stands in for a disk: its writes fail just so."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        with pytest.raises(OSError, match=r"File too large.*file\.npz\.part"):
            fetch(server.url, tmp_path / "file.npz", sha256=CHECKSUM)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert [path.name for path in tmp_path.iterdir()] == ["file.npz.part"]
    fetch(server.url, tmp_path / "file.npz", sha256=CHECKSUM)
    check(tmp_path)
