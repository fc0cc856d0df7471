"""dSprites from a small file of the published layout: served, verified, unpacked, drawn."""

import hashlib
import io
import pickle
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path

import jsonargparse
import numpy as np
import numpy.typing as npt
import pytest
import torch

from axiswise.data import (
    DownloadError,
    DSprites,
    FactorData,
    ImageSource,
    Sprites,
    dsprites,
    stored,
)
from axiswise.support.files import UnreadableFileError

NAME = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
SIZES = (1, 3, 2, 4, 2, 5)
ROWS = list(product(*map(range, SIZES)))  # the published order: the last factor runs fastest
Arrays = dict[str, npt.NDArray[np.generic]]


class Bomb:
    """What the metadata of a malicious file may do when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return pytest.fail, ("metadata was unpickled",)


def arrays() -> Arrays:
    images = np.random.default_rng(0).integers(0, 2, (len(ROWS), 64, 64), dtype=np.uint8)
    return {
        "imgs": images,
        "latents_values": np.zeros((len(ROWS), 6)),
        "latents_classes": np.array(ROWS),
        "metadata": np.array(Bomb(), dtype=object),
    }


def content_of(arrays: Arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=True, **arrays)
    return file.getvalue()


IMAGES = arrays()["imgs"]
CONTENT = content_of(arrays())


def publish(monkeypatch: pytest.MonkeyPatch, content: bytes, url: str) -> None:
    checksum = hashlib.sha256(content).hexdigest()
    published = replace(dsprites._FILE, url=url, sha256=checksum)
    monkeypatch.setattr(DSprites, "_file", published)
    monkeypatch.setattr(DSprites, "_sizes", SIZES)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """The small file, published at an address at which nobody listens."""
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/{NAME}"
    publish(monkeypatch, CONTENT, url)
    return url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder into which somebody has put the file by hand."""
    (tmp_path / NAME).write_bytes(CONTENT)
    return tmp_path


@pytest.fixture
def server(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    web = tmp_path_factory.mktemp("web")
    (web / NAME).write_bytes(CONTENT)
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    handler = partial(SimpleHTTPRequestHandler, directory=web)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        publish(monkeypatch, CONTENT, f"http://127.0.0.1:{server.server_port}/{NAME}")
        yield
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("size", [64, 32, 16])
def test_each_row_of_factors_is_the_image_in_that_place_of_the_file(
    folder: Path, size: int
) -> None:
    """Smaller images against means of blocks of pixels."""
    images = DSprites(folder, size).render(torch.tensor(ROWS))
    step = 64 // size
    blocks = IMAGES.reshape(-1, size, step, size, step).astype(np.float64).mean(axis=(2, 4))
    assert images.dtype == torch.float32
    assert images.shape == (240, 1, size, size)
    torch.testing.assert_close(images[:, 0].double(), torch.from_numpy(blocks), rtol=0, atol=1e-6)


def test_any_rows_in_any_order_and_type(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = DSprites(folder)
    chosen = torch.tensor([7, 239, 0, 7, 100])
    factors = torch.tensor(ROWS)[chosen]
    expected = torch.from_numpy(IMAGES)[chosen, None].float()
    assert torch.equal(data.render(factors.to(torch.uint8)), expected)
    assert data.render(factors[:0]).shape == (0, 1, 64, 64)
    monkeypatch.setattr(stored, "_CHUNK", 2 * 64**2)  # two images in one go
    assert torch.equal(DSprites(folder).render(factors), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("size", [64, 16])
def test_images_come_on_the_device_of_the_factors(folder: Path, size: int) -> None:
    data = DSprites(folder, size)
    factors = torch.tensor(ROWS)
    images = data.render(factors.cuda())
    assert images.is_cuda
    torch.testing.assert_close(images.cpu(), data.render(factors), rtol=0, atol=1e-6)


@pytest.mark.usefixtures("server")
def test_is_downloaded_at_the_first_draw(tmp_path: Path) -> None:
    data = DSprites(tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()
    assert data.draw(0).shape == (0, 6)
    assert (tmp_path / "new" / "folder" / NAME).read_bytes() == CONTENT
    assert torch.equal(data.render(torch.tensor(ROWS[5:6]))[0, 0].byte(), torch.tensor(IMAGES[5]))


@pytest.mark.usefixtures("server")
def test_progress_of_the_download_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    DSprites(tmp_path).load(progress=lambda *done: told.append(done))
    assert (len(CONTENT), len(CONTENT)) in told  # bytes that have come
    assert told[-1] == (240, 240)  # images unpacked


def test_without_file_and_network_the_error_names_both_ways(tmp_path: Path, nowhere: str) -> None:
    data = DSprites(tmp_path)
    for use in (data.load, lambda: data.draw(0), lambda: data.render(torch.tensor(ROWS))):
        with pytest.raises(DownloadError, match="Two ways to get it") as caught:
            use()
        assert nowhere in str(caught.value)
        assert f"by hand and put it into {tmp_path}" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_refused_by_name(folder: Path) -> None:
    damaged = CONTENT[:-1000] + bytes(1000)
    (folder / NAME).write_bytes(damaged)
    checksum = hashlib.sha256(damaged).hexdigest()
    with pytest.raises(DownloadError, match=f"{NAME} is there, but has the checksum {checksum}"):
        DSprites(folder).load()


@pytest.mark.usefixtures("server")
def test_a_damaged_file_is_replaced_and_kept_aside(folder: Path) -> None:
    (folder / NAME).write_bytes(b"damaged")
    with pytest.warns(UserWarning, match=f"{NAME} had a wrong checksum and was fetched again"):
        DSprites(folder).load()
    assert (folder / NAME).read_bytes() == CONTENT
    assert (folder / f"{NAME}.wrong").read_bytes() == b"damaged"


def unpacked(folder: Path) -> Path:
    (path,) = folder.glob("*.npy")
    return path


def test_is_verified_and_unpacked_once(folder: Path) -> None:
    """The second time, the published file is not needed any more."""
    first = DSprites(folder).render(torch.tensor(ROWS))
    assert unpacked(folder).stat().st_size < len(ROWS) * 512 + 200  # a bit for each pixel
    (folder / NAME).unlink()
    assert torch.equal(DSprites(folder).render(torch.tensor(ROWS)), first)


@pytest.mark.parametrize("how", ["cut", "empty", "garbage", "other shape", "pickled"])
def test_damaged_unpacked_images_are_unpacked_again(folder: Path, how: str) -> None:
    DSprites(folder).load()
    path = unpacked(folder)
    right = path.read_bytes()
    if how == "other shape":
        np.save(path, np.zeros((3, 512), np.uint8))
    elif how == "pickled":
        np.save(path, np.array([Bomb()], dtype=object), allow_pickle=True)
    else:
        path.write_bytes({"cut": right[:-1], "empty": b"", "garbage": b"garbage"}[how])
    DSprites(folder).load()
    assert path.read_bytes() == right


def test_images_unpacked_from_another_file_are_not_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unpacked file is bound to the checksum that is asked for."""
    DSprites(folder).load()
    changed = arrays()
    changed["imgs"] = 1 - IMAGES
    other = content_of(changed)
    publish(monkeypatch, other, "http://127.0.0.1:1")
    (folder / NAME).write_bytes(other)
    images = DSprites(folder).render(torch.tensor(ROWS))
    assert torch.equal(images[:, 0].byte(), torch.from_numpy(1 - IMAGES))


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("latents_classes", np.array(ROWS)[::-1], "latents_classes must count through factors"),
        ("latents_classes", np.array(ROWS)[:-1], "latents_classes must count through factors"),
        (
            "imgs",
            IMAGES[:, :32],
            r"uint8 of shape \(240, 64, 64\), got uint8 of \(240, 32, 64\)",
        ),
        ("imgs", IMAGES.astype(np.int64), r"got int64 of \(240, 64, 64\)"),
        ("imgs", 255 * IMAGES, "imgs must be whole, and of 0 and 1"),
    ],
)
def test_a_file_of_another_layout_is_refused_by_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    array: npt.NDArray[np.generic],
    message: str,
) -> None:
    content = content_of({**arrays(), name: array})
    publish(monkeypatch, content, "http://127.0.0.1:1")
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(UnreadableFileError, match=message) as caught:
        DSprites(tmp_path).load()
    assert str(tmp_path / NAME) in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_factors_are_those_of_sprites(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    data, drawn = DSprites(), Sprites()
    assert isinstance(data, FactorData)
    assert data.factor_sizes == drawn.factor_sizes == (1, 3, 6, 40, 32, 32)
    assert data.factor_names == drawn.factor_names
    assert data.shape == (1, 64, 64)
    rng = (torch.Generator().manual_seed(0) for _ in "ab")
    assert torch.equal(data.sample_factors(9, next(rng)), drawn.sample_factors(9, next(rng)))


def test_the_published_address_ends_in_the_files_name_and_its_checksum_is_one() -> None:
    published = dsprites._FILE
    assert published.name == NAME
    assert published.url is not None
    assert published.url.startswith("https://")
    assert published.url.endswith(f"/{NAME}")
    assert re.fullmatch("[0-9a-f]{64}", str(published.sha256))


def test_drawing_is_seeded_and_in_range(folder: Path) -> None:
    data = DSprites(folder)
    draws = data.draw(500, torch.Generator().manual_seed(0))
    assert torch.equal(draws, data.draw(500, torch.Generator().manual_seed(0)))
    assert (draws.amax(0) + 1).tolist() == list(SIZES)
    with pytest.raises(ValueError, match="n must be 0 or more, got -1"):
        data.draw(-1)
    with pytest.raises(ValueError, match=r"factors\[:, 1\] must be in 0 \.\.\. 2"):
        data.render(torch.tensor([[0, 3, 0, 0, 0, 0]]))


def test_the_images_may_be_written_to(folder: Path) -> None:
    data = DSprites(folder)
    images = data.render(torch.tensor(ROWS))
    images.fill_(0.5)
    assert torch.equal(data.render(torch.tensor(ROWS))[:, 0].byte(), torch.from_numpy(IMAGES))


def test_pickles_hold_no_images(folder: Path) -> None:
    data = DSprites(folder, 32)
    images = data.render(torch.tensor(ROWS))
    pickled = pickle.dumps(data)
    assert len(pickled) < 1000
    assert torch.equal(pickle.loads(pickled).render(torch.tensor(ROWS)), images)


def test_is_built_from_plain_configuration_values_with_nothing_read(tmp_path: Path) -> None:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=ImageSource)
    words = f"--data axiswise.data.DSprites --data.data_dir {tmp_path}/none --data.size 32"
    data = parser.instantiate(parser.parse_args(words.split())).data
    assert isinstance(data, DSprites)
    assert data.shape == (1, 32, 32)
    assert repr(data) == f"DSprites('{tmp_path}/none', size=32)"
    assert not (tmp_path / "none").exists()


def test_the_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AXISWISE_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", "/home/somebody")
    assert DSprites().data_dir == tmp_path
    assert DSprites("~/data").data_dir == Path("/home/somebody/data")


def test_another_size_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="size must be 16, 32 or 64, got 48"):
        DSprites(size=48)
