"""MPI3D as it was published, downloaded once.

Gondal et al., On the Transfer of Inductive Bias from Simulation to the Real World: a New
Disentanglement Dataset, NeurIPS 2019, arXiv 1906.03292.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from axiswise.data.family import data_set
from axiswise.data.stored import (
    Pixels,
    PublishedFile,
    Stored,
    check_header,
    copy_into,
    map_images,
    unpacking,
)
from axiswise.support.files import UnreadableFileError
from axiswise.support.progress import Progress

_PAGE = "https://github.com/rr-learning/disentanglement_dataset"
# The first bucket, `disentanglement_dataset`, is gone; its authors name this one.
_BUCKET = "https://storage.googleapis.com/mpi3d_disentanglement_dataset/data"
_MEMBER = "images.npy"

Version = Literal["toy", "realistic", "real", "complex"]

_FILES: dict[str, PublishedFile] = {
    "toy": PublishedFile("mpi3d_toy.npz", f"{_BUCKET}/mpi3d_toy.npz", _PAGE),
    "realistic": PublishedFile("mpi3d_realistic.npz", f"{_BUCKET}/mpi3d_realistic.npz", _PAGE),
    "real": PublishedFile("mpi3d_real.npz", f"{_BUCKET}/real.npz", _PAGE),
    "complex": PublishedFile("real3d_complicated_shapes_ordered.npz", None, _PAGE),
}
_MANY, _FEW = (6, 6, 2, 3, 3, 40, 40), (4, 4, 2, 3, 3, 40, 40)


@data_set(
    "MPI3D",
    licence="CC BY 4.0",
    variants={
        "MPI3D-toy": lambda: MPI3D("toy"),
        "MPI3D-realistic": lambda: MPI3D("realistic"),
        "MPI3D-real": lambda: MPI3D("real"),
        "MPI3D-complex": lambda: MPI3D("complex"),
    },
)
class MPI3D(Stored):
    """The published images of objects on a robot's arm: RGB, 64 × 64 pixels.

    There are four sets: "toy" (simply rendered), "realistic" (rendered) and "real" (photographed)
    have 1,036,800 images each, "complex" (photographs of everyday objects) 460,800. The factors, in
    the published order: colour (6 values; of complex 4), shape (likewise), size (2), camera height
    (3), background (3), and the arm's horizontal and vertical axis (40 each).

    The archives take 12.7 GB, that of complex 5.7 GB. No checksum is known for certain: what is
    checked is the length that the server announces, and the layout. Images that are not compressed,
    as in the published archives, are mapped where they are; others are unpacked first. No address
    is known for the archive of "complex", `real3d_complicated_shapes_ordered.npz`.

    Args:
        version: "toy", "realistic", "real" or "complex".
        data_dir: Folder of the published file, where it is or is to go; None is the one that the
            environment variable AXISWISE_DATA names, or ~/.cache/axiswise.
        size: Height and width of the images in pixels, 1 ... 64; smaller ones are averaged by area.

    Raises:
        ValueError: `version` or `size` is none of these.
    """

    _names: ClassVar = (
        *("colour", "shape", "size", "camera height", "background"),
        *("horizontal axis", "vertical axis"),
    )
    _sizes: ClassVar = _MANY
    _complex_sizes: ClassVar[tuple[int, ...]] = _FEW
    _files: ClassVar[dict[str, PublishedFile]] = _FILES

    def __init__(
        self, version: Version = "toy", data_dir: str | Path | None = None, size: int = 64
    ) -> None:
        if version not in self._files:
            raise ValueError(f"version must be one of {', '.join(self._files)}, got {version!r}")
        super().__init__(data_dir, size)
        self.version = version
        if version == "complex":
            self.factor_sizes = self._complex_sizes

    def __repr__(self) -> str:
        return f"MPI3D({self.version!r}, {str(self.data_dir)!r}, size={self.size})"

    def _published(self) -> tuple[PublishedFile, ...]:
        return (self._files[self.version],)

    @property
    def _array_path(self) -> Path:
        return self.data_dir / f"mpi3d_{self.version}.images.npy"

    def _open(self, progress: Progress) -> Pixels:
        images = map_images(self._array_path, self._array_shape)
        if images is not None:
            return images
        path = self._files[self.version].have(self.data_dir, progress)
        try:
            with zipfile.ZipFile(path) as archive:
                stored = self._stored(archive, path)
            return super()._open(progress) if stored is None else stored
        except (zipfile.BadZipFile, KeyError, EOFError, zlib.error) as error:
            raise UnreadableFileError(
                f"{path} is damaged, or no archive that contains {_MEMBER}: {error}; remove it to "
                "have it fetched again"
            ) from error

    def _stored(self, archive: zipfile.ZipFile, path: Path) -> Pixels | None:
        """The images mapped where they lie; None where they are compressed."""
        member = archive.getinfo(_MEMBER)
        with archive.open(member) as file:
            check_header(file, f"{path}: images", self._array_shape)
            header = file.tell()
        if member.compress_type != zipfile.ZIP_STORED:
            return None
        with path.open("rb") as whole:
            whole.seek(member.header_offset + 26)
            lengths = struct.unpack("<HH", whole.read(4))  # of the name and what follows it
        start = member.header_offset + 30 + sum(lengths) + header
        return np.asarray(np.memmap(path, np.uint8, "r", start, self._array_shape))

    def _unpack(self, progress: Progress) -> None:
        path = self._files[self.version].have(self.data_dir, progress)
        each = self._side**2 * self._channels
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(_MEMBER) as file,
            unpacking(self._array_path, self._array_shape) as images,
        ):
            check_header(file, f"{path}: images", self._array_shape)

            def read(_: int, number: int) -> npt.ArrayLike:
                return np.frombuffer(file.read(number * each), np.uint8).reshape(
                    number, *images.shape[1:]
                )

            copy_into(images, read, progress)
