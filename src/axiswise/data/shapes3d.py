"""3D Shapes as it was published, downloaded once (Burgess & Kim 2018)."""

from __future__ import annotations

from typing import ClassVar

from axiswise.data.family import data_set
from axiswise.data.stored import PublishedFile, Stored, check_layout, copy_into, unpacking
from axiswise.support.files import UnreadableFileError
from axiswise.support.progress import Progress

_FILE = PublishedFile(
    name="3dshapes.h5",
    url="https://storage.googleapis.com/3d-shapes/3dshapes.h5",
    page="https://github.com/google-deepmind/3d-shapes",
    md5="099a2078d58cec4daad0702c55d06868",  # as several unrelated projects record it
    most=2**29,
)


@data_set("Shapes3D", licence="Apache 2.0")
class Shapes3D(Stored):
    """The 480,000 published images: a shape in a coloured room, from several sides.

    The factors, in the published order: floor hue, wall hue, object hue (10 values each), scale (8,
    from 0.75 to 1.25), shape (cube, cylinder, sphere, capsule) and orientation (15, from −30 to 30
    degrees). Images are RGB, 64 × 64 pixels.

    The published file, `3dshapes.h5` (268 MB), is verified by MD5; unpacked: 5.9 GB. Unpacking
    needs h5py (`pip install 'axiswise[data]'`).
    """

    _names: ClassVar = ("floor hue", "wall hue", "object hue", "scale", "shape", "orientation")
    _sizes: ClassVar = (10, 10, 10, 8, 4, 15)
    _file: ClassVar[PublishedFile] = _FILE

    def _unpack(self, progress: Progress) -> None:
        path = self._file.have(self.data_dir, progress)
        try:
            import h5py
        except ImportError as error:
            raise ImportError(
                f"to read {path} 3D Shapes needs the package h5py: pip install 'axiswise[data]'"
            ) from error
        try:
            file = h5py.File(path, "r")
        except OSError as error:
            raise UnreadableFileError(f"{path} is no HDF5 file: {error}") from error
        with file, unpacking(self._array_path, self._array_shape) as images:
            published = file.get("images")
            if published is None:
                raise UnreadableFileError(f"{path} must have an array images, got {list(file)}")
            check_layout(f"{path}: images", published.shape, published.dtype, images.shape)
            copy_into(images, lambda start, n: published[start : start + n], progress)
