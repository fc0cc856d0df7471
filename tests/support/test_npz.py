"""Arrays in files of anyone's: whatever the file, a result or an error that names it."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from axiswise.support.files import UnreadableFileError
from axiswise.support.npz import array_layouts, read_rows

IMAGES = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)


def npy(shape: str, content: bytes = b"", version: int = 1) -> bytes:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + content


def read(path: Path) -> Any:
    layouts = array_layouts(path)
    ((name, layout),) = layouts.items()
    return np.concatenate(list(read_rows(path, name, layout)))


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("packed", [None, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_arrays_are_those_that_were_written(
    version: int, packed: int | None, tmp_path: Path
) -> None:
    content = npy(str(IMAGES.shape), IMAGES.tobytes(), version)
    path = tmp_path / "file"
    if packed is None:
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w", packed) as archive:
            archive.writestr("images.npy", content)
            archive.writestr("notes.txt", "no array")
    assert np.array_equal(read(path), IMAGES)


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("images.npy", content)
    return file.getvalue()


def damaged(content: bytes, place: bytes) -> bytes:
    return content.replace(place, place[:-1] + b"\xff", 1)


DAMAGED = {
    "empty": b"",
    "text": b"no archive at all",
    "no header": b"\x93NUMPY",
    "a header of 4 GiB": b"\x93NUMPY\x02\0\xff\xff\xff\xff{",
    "no shape": npy("4"),
    "a negative shape": npy("(-5, 4, 3)", bytes(60)),
    "brackets": npy("(" * 3000),
    "cut short": npy("(5, 4, 3)", bytes(59)),
    "10**18 images": npy(f"({10**18}, 4, 3)", bytes(60)),
    "10**18 pixels": npy(f"(5, {10**18}, 3)", bytes(60)),
    "a cut archive": zipped(npy("(5, 4, 3)", bytes(60)))[:-40],
    "another checksum": damaged(zipped(npy("(5, 4, 3)", b"abc" * 20)), b"abcabc"),
    "no array": zipped(b""),
}


@pytest.mark.parametrize("what", DAMAGED)
@pytest.mark.parametrize("inside", [False, True])
def test_damaged_files_are_refused_by_name(what: str, inside: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(zipped(DAMAGED[what]) if inside else DAMAGED[what])
    with pytest.raises(UnreadableFileError, match=f"path '{path}'"):
        read(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        array_layouts(tmp_path / "nothing")
    with pytest.raises(UnreadableFileError, match=r"must be an \.npz or \.npy file"):
        array_layouts(tmp_path)
