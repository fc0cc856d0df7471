"""3D Shapes, 3D Cars, SmallNORB and MPI3D from small files of the published layouts."""

import errno
import gzip
import hashlib
import io
import os
import pickle
import socket
import struct
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import jsonargparse
import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.io import savemat
from torch import Tensor
from torch.nn import functional

from axiswise.data import (
    MPI3D,
    Cars3D,
    DownloadError,
    FactorData,
    Grid,
    ImageSource,
    MPI3DMulti,
    Shapes3D,
    SmallNORB,
)
from axiswise.data.stored import Stored
from axiswise.support.files import UnreadableFileError

Pixels = npt.NDArray[np.uint8]
Make = Callable[[Path], Pixels]


def random_images(*shape: int) -> Pixels:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def all_factors(data: FactorData) -> Tensor:
    return torch.tensor(list(product(*map(range, data.factor_sizes))))


def check(data: FactorData, expected: Pixels) -> None:
    """Every image of a data set, against (*factor_sizes, height, width, channel)."""
    images = data.render(all_factors(data)).permute(0, 2, 3, 1)
    flat = expected.reshape(-1, *expected.shape[-3:])
    torch.testing.assert_close(images, torch.from_numpy(flat) / 255, rtol=0, atol=1e-7)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data sets of the same layout with few values, whose addresses nobody listens at."""
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/file"
    monkeypatch.setattr(Shapes3D, "_sizes", (2, 1, 2, 3, 1, 2))
    monkeypatch.setattr(Shapes3D, "_file", replace(Shapes3D._file, url=url, md5=None))
    monkeypatch.setattr(Cars3D, "_sizes", (2, 3, 4))
    monkeypatch.setattr(Cars3D, "_file", replace(Cars3D._file, url=url, md5=None))
    monkeypatch.setattr(SmallNORB, "_sizes", (2, 4, 2, 3, 2))
    halves = tuple(
        {kind: replace(file, url=url, md5=None) for kind, file in half.items()}
        for half in SmallNORB._halves
    )
    monkeypatch.setattr(SmallNORB, "_halves", halves)
    monkeypatch.setattr(MPI3D, "_sizes", (2, 1, 2, 1, 3, 2, 2))
    monkeypatch.setattr(MPI3D, "_complex_sizes", (1, 2, 1, 1, 2, 2, 2))
    files = {
        name: file if file.url is None else replace(file, url=url)
        for name, file in MPI3D._files.items()
    }
    monkeypatch.setattr(MPI3D, "_files", files)


def make_shapes(folder: Path) -> Pixels:
    images = random_images(2, 1, 2, 3, 1, 2, 64, 64, 3)
    with h5py.File(folder / "3dshapes.h5", "w") as file:
        file.create_dataset("images", data=images.reshape(-1, 64, 64, 3), compression="gzip")
        file.create_dataset("labels", data=np.zeros((24, 6)))
    return images


def make_cars(folder: Path, names: str = "cabd") -> Pixels:
    """As published: a MATLAB file for each car, (row, column, colour, azimuth, elevation)."""
    cars = random_images(4, 128, 128, 3, 3, 2)
    with tarfile.open(folder / "nips2015-analogy-data.tar.gz", "w:gz") as archive:
        for name in names:
            content = io.BytesIO()
            car = cars["abcd".index(name)]
            savemat(content, {"im": car, "mask": np.zeros((1, 1))}, do_compression=True)
            add(archive, f"data/cars/car_{name}_mesh.mat", content.getvalue())
        add(archive, "data/cars/list.txt", b"car_a_mesh")
        add(archive, "data/shapes48.mat", b"something else")
    return np.asarray(cars.transpose(5, 4, 0, 1, 2, 3))


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def matrix(values: npt.NDArray[Any]) -> bytes:
    """NORB's format: a magic number, dimensions, at least three sizes, little endian."""
    magic = 0x1E3D4C55 if values.dtype == np.uint8 else 0x1E3D4C54
    sizes = (*values.shape, 1, 1, 1)[: max(3, values.ndim)]
    header = struct.pack(f"<Ii{len(sizes)}i", magic, values.ndim, *sizes)
    return gzip.compress(header + values.tobytes(), 1)


def make_norb(folder: Path) -> Pixels:
    """Two halves with two instances each, in disorder, in pairs of a left and a right image."""
    images = random_images(2, 4, 2, 3, 2, 96, 96, 1)
    rng = np.random.default_rng(0)
    for half, instances in zip(SmallNORB._halves, ((1, 3), (0, 2)), strict=True):
        rows = [row for row in product(*map(range, images.shape[:5])) if row[1] in instances]
        factors = rng.permutation(np.array(rows, dtype="<i4"))
        left = images[tuple(factors.T)][..., 0]
        pairs = np.stack([left, 255 - left], axis=1)
        info = factors[:, 1:].copy()
        info[:, 2] *= 2  # azimuths in steps of 20 degrees, in tens
        for kind, values in (("dat", pairs), ("cat", factors[:, 0].copy()), ("info", info)):
            (folder / half[kind].name).write_bytes(matrix(values))
    return images


def make_mpi3d(folder: Path, name: str = "mpi3d_real.npz", compressed: bool = False) -> Pixels:
    sizes = MPI3D._complex_sizes if "complicated" in name else MPI3D._sizes
    images = random_images(*sizes, 64, 64, 3)
    save = np.savez_compressed if compressed else np.savez
    save(folder / name, images=images.reshape(-1, 64, 64, 3))
    return images


MAKERS: list[tuple[type[Stored], Make]] = [
    (Shapes3D, make_shapes),
    (Cars3D, make_cars),
    (SmallNORB, make_norb),
    (MPI3D, lambda folder: make_mpi3d(folder, "mpi3d_toy.npz")),
]
EACH = pytest.mark.parametrize(("kind", "make"), MAKERS, ids=[kind.__name__ for kind, _ in MAKERS])


@EACH
def test_every_image_is_where_its_factors_say(
    kind: type[Stored], make: Make, tmp_path: Path
) -> None:
    expected = make(tmp_path)
    data = kind(data_dir=tmp_path, size=expected.shape[-2])
    assert isinstance(data, FactorData)
    assert len(data.factor_names) == len(data.factor_sizes)
    assert data.shape == (expected.shape[-1], *expected.shape[-3:-1])
    check(data, expected)


@EACH
def test_smaller_images_are_averaged_and_64_pixels_are_the_default(
    kind: type[Stored], make: Make, tmp_path: Path
) -> None:
    make(tmp_path)
    small = kind(data_dir=tmp_path, size=16)
    large = kind(data_dir=tmp_path, size=kind._side)
    factors = large.sample_factors(5, torch.Generator().manual_seed(0))
    expected = functional.avg_pool2d(large.render(factors), kind._side // 16)
    torch.testing.assert_close(small.render(factors), expected, rtol=0, atol=1e-6)
    assert kind(data_dir=tmp_path).shape[1:] == (64, 64)
    for size in (0, kind._side + 1):
        with pytest.raises(
            ValueError, match=f"size must be between 1 and {kind._side}, got {size}"
        ):
            kind(data_dir=tmp_path, size=size)


@EACH
def test_without_file_and_network_the_error_names_both_ways(
    kind: type[Stored], make: Make, tmp_path: Path
) -> None:
    data = kind(data_dir=tmp_path)
    assert not data.is_here()
    with pytest.raises(DownloadError, match=f"Two ways to get it: .* put it into {tmp_path} as"):
        data.draw(1)
    make(tmp_path)
    assert data.is_here()


@EACH
def test_progress_ends_with_all_and_pickles_hold_no_images(
    kind: type[Stored], make: Make, tmp_path: Path
) -> None:
    make(tmp_path)
    data = kind(data_dir=tmp_path)
    told = list[tuple[int, int | None]]()
    data.load(lambda done, total: told.append((done, total)))
    if kind is not MPI3D:  # which is mapped as it is
        assert told == sorted(told)
        assert told[-1][0] == told[-1][1]
    data.load(lambda done, total: pytest.fail(f"loaded again: {done} of {total}"))
    factors = data.draw(2, torch.Generator().manual_seed(0))
    images = data.render(factors)
    content = pickle.dumps(data)
    assert len(content) < 2000
    torch.testing.assert_close(pickle.loads(content).render(factors), images, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("kind", "make"), MAKERS[:3], ids=[kind.__name__ for kind, _ in MAKERS[:3]]
)
def test_what_was_unpacked_once_is_all_that_is_needed(
    kind: type[Stored], make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = make(tmp_path)
    kind(data_dir=tmp_path).load()
    unpacked = tmp_path / f"{kind.__name__.lower()}.images.npy"
    for path in tmp_path.iterdir():
        if path != unpacked:
            path.unlink()
    assert list(tmp_path.iterdir()) == [unpacked]
    monkeypatch.setattr(kind, "_unpack", lambda *_: pytest.fail("unpacked twice"))
    data = kind(data_dir=tmp_path, size=expected.shape[-2])
    assert data.is_here()
    check(data, expected)


@EACH
def test_a_file_of_other_content_is_refused_and_leaves_nothing(
    kind: type[Stored], make: Make, tmp_path: Path
) -> None:
    make(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    for name in names:
        (tmp_path / name).write_bytes(b"not at all what it should be")
    with pytest.raises(UnreadableFileError, match=str(tmp_path)):
        kind(data_dir=tmp_path).load()
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@EACH
def test_a_file_with_too_few_images_is_refused(
    kind: type[Stored], make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path)
    more = (*kind._sizes[:-1], kind._sizes[-1] + 1)
    monkeypatch.setattr(kind, "_sizes", more)
    with pytest.raises(UnreadableFileError, match=r"must (be|have|contain)"):
        kind(data_dir=tmp_path).load()
    assert not list(tmp_path.glob("*images.npy*"))


def test_a_damaged_unpacked_file_is_made_again(tmp_path: Path) -> None:
    expected = make_shapes(tmp_path)
    (tmp_path / "shapes3d.images.npy").write_bytes(b"half of it")
    check(Shapes3D(tmp_path), expected)


def test_checksums_are_verified_where_they_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = make_shapes(tmp_path)
    right = hashlib.md5((tmp_path / "3dshapes.h5").read_bytes()).hexdigest()
    monkeypatch.setattr(Shapes3D, "_file", replace(Shapes3D._file, md5=right[::-1]))
    with pytest.raises(DownloadError, match=f"is there, but has the checksum {right}"):
        Shapes3D(tmp_path).load()
    monkeypatch.setattr(Shapes3D, "_file", replace(Shapes3D._file, md5=right))
    check(Shapes3D(tmp_path), expected)


def test_without_h5py_the_error_has_the_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shapes(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r"h5py: pip install 'axiswise\[data\]'"):
        Shapes3D(tmp_path).load()


def test_a_car_that_is_missing_is_noticed(tmp_path: Path) -> None:
    make_cars(tmp_path, "cab")
    with pytest.raises(UnreadableFileError, match=r"must contain 4 files data/cars/\*\.mat, got 3"):
        Cars3D(tmp_path).load()


def test_a_view_that_is_twice_there_is_noticed(tmp_path: Path) -> None:
    make_norb(tmp_path)
    names = [file.name for half in SmallNORB._halves for file in half.values()]
    for first, second in zip(names[:3], names[3:], strict=True):
        (tmp_path / second).write_bytes((tmp_path / first).read_bytes())
    with pytest.raises(UnreadableFileError, match="each of 96 combinations of factors, got 48"):
        SmallNORB(tmp_path).load()


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("toy", "mpi3d_toy.npz"),
        ("realistic", "mpi3d_realistic.npz"),
        ("real", "mpi3d_real.npz"),
        ("complex", "real3d_complicated_shapes_ordered.npz"),
    ],
)
def test_each_version_of_mpi3d_has_its_file(version: Any, name: str, tmp_path: Path) -> None:
    expected = make_mpi3d(tmp_path, name)
    check(MPI3D(version, tmp_path), expected)
    assert [path.name for path in tmp_path.iterdir()] == [name]  # mapped where the images lie


def test_a_compressed_mpi3d_is_unpacked_beside_it(tmp_path: Path) -> None:
    expected = make_mpi3d(tmp_path, compressed=True)
    told = list[tuple[int, int | None]]()
    data = MPI3D("real", tmp_path)
    data.load(lambda done, total: told.append((done, total)))
    assert told[-1] == (48, 48)
    check(data, expected)
    (tmp_path / "mpi3d_real.npz").unlink()
    check(MPI3D("real", tmp_path), expected)


def test_a_truncated_mpi3d_is_refused(tmp_path: Path) -> None:
    make_mpi3d(tmp_path)
    path = tmp_path / "mpi3d_real.npz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnreadableFileError, match="remove it to have it fetched again"):
        MPI3D("real", tmp_path).load()


def test_a_compressed_mpi3d_with_a_damaged_middle_is_refused(tmp_path: Path) -> None:
    make_mpi3d(tmp_path, compressed=True)
    path = tmp_path / "mpi3d_real.npz"
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match="remove it to have it fetched again"):
        MPI3D("real", tmp_path).load()
    assert list(tmp_path.iterdir()) == [path]


def test_of_mpi3d_complex_no_address_is_known(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"no address is known .*Two ways .*complicated_shapes"):
        MPI3D("complex", tmp_path).draw(1)
    with pytest.raises(ValueError, match="version must be one of toy, realistic, real, complex"):
        MPI3D("fake", tmp_path)  # type: ignore[arg-type]


def test_mpi3d_multi_is_the_authors_composition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Factors 0 to 4 at 3, 1, 1, 0, 2; every second pixel; cells column by column."""
    monkeypatch.setattr(MPI3D, "_sizes", (4, 2, 2, 1, 3, 3, 2))
    published = make_mpi3d(tmp_path)[3, 1, 1, 0, 2].astype(np.float32) / 255
    data = MPI3DMulti(data_dir=tmp_path)
    assert isinstance(data, FactorData)
    assert isinstance(data, Grid)
    assert (data.shape, data.factor_sizes) == ((3, 64, 64), (3, 2) * 4)
    factors = data.draw(3, torch.Generator().manual_seed(0))
    cells = [published[tuple(factors[:, 2 * i : 2 * i + 2].T)][:, ::2, ::2] for i in range(4)]
    left, right = np.concatenate(cells[:2], axis=1), np.concatenate(cells[2:], axis=1)
    expected = np.concatenate([left, right], axis=2).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(data.render(factors), expected, atol=1e-7)
    assert data.factor_names[2:5] == (
        *("cell 1,0: horizontal axis", "cell 1,0: vertical axis", "cell 0,1: horizontal axis"),
    )
    assert repr(data) == f"MPI3DMulti('real', {str(tmp_path)!r})"


def test_mpi3d_multi_is_loaded_and_missed_as_the_set_in_its_cells(tmp_path: Path) -> None:
    data = MPI3DMulti("complex", data_dir=tmp_path)
    assert data.is_here() is False
    with pytest.raises(DownloadError, match="no address is known"):
        data.draw(1)
    with pytest.raises(ValueError, match="version must be one of toy, realistic, real, complex"):
        MPI3DMulti("fake")  # type: ignore[arg-type]


def test_published_numbers_are_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many images there are, whatever the small files of these tests hold."""
    monkeypatch.undo()
    counts = {
        kind.__name__: int(np.prod(kind().factor_sizes))
        for kind in (Shapes3D, Cars3D, SmallNORB, MPI3D)
    }
    assert counts == {
        "Shapes3D": 480_000,
        "Cars3D": 17_568,
        "SmallNORB": 48_600,
        "MPI3D": 1_036_800,
    }
    assert int(np.prod(MPI3D("complex").factor_sizes)) == 460_800


def test_is_named_on_the_command_line(tmp_path: Path) -> None:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=ImageSource)
    words = ["--data", "axiswise.data.MPI3D", "--data.version", "real", "--data.size", "32"]
    built = parser.parse_args([*words, "--data.data_dir", str(tmp_path)])
    data = parser.instantiate(built).data
    assert isinstance(data, MPI3D)
    assert (data.version, data.shape, data.data_dir) == ("real", (3, 32, 32), tmp_path)
    assert repr(data) == f"MPI3D('real', {str(tmp_path)!r}, size=32)"


def test_a_full_disk_is_an_error_that_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room is taken before anything is written: a mapped file has no other way to complain."""
    make_shapes(tmp_path)

    def full(_file: int, offset: int, length: int) -> None:
        assert offset + length == 128 + 24 * 64 * 64 * 3
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match=r"No space left on device: .*shapes3d\.images\.npy"):
        Shapes3D(tmp_path).load()
    assert [path.name for path in tmp_path.iterdir()] == ["3dshapes.h5"]
