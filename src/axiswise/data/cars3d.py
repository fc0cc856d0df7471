"""3D Cars as it was published, downloaded once (Reed, Zhang, Zhang & Lee, NeurIPS 2015)."""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from typing import IO, ClassVar

from axiswise.data.family import data_set
from axiswise.data.stored import (
    Pixels,
    PublishedFile,
    Stored,
    check_layout,
    read_matlab,
    unpacking,
)
from axiswise.support.files import UnreadableFileError
from axiswise.support.progress import Progress

_FILE = PublishedFile(
    name="nips2015-analogy-data.tar.gz",
    url="http://www.scottreed.info/files/nips2015-analogy-data.tar.gz",
    page="http://www.scottreed.info",
    md5="4e866a7919c1beedf53964e6f7a23686",  # as two unrelated projects record it
    most=2**31,
)
_CAR = re.compile(r"(\./)?data/cars/[^._/][^/]*\.mat")


@data_set("Cars3D", licence="see its page")
class Cars3D(Stored):
    """The 17,568 published images: 183 car models on white, seen from all around.

    The factors, in disentanglement_lib's order: elevation (4 values), azimuth (24, over a whole
    turn) and model (183, in the order of the files' names). Images are RGB; the published 128 × 128
    pixels are averaged down to 64 × 64 by default.

    The published archive is `nips2015-analogy-data.tar.gz`, verified by MD5; unpacked: 0.9 GB.
    """

    unordered = ("model",)
    _names: ClassVar = ("elevation", "azimuth", "model")
    _sizes: ClassVar = (4, 24, 183)
    _side: ClassVar = 128
    _order: ClassVar = (2, 0, 1)  # model by model
    _file: ClassVar[PublishedFile] = _FILE

    def _unpack(self, progress: Progress) -> None:
        path = self._file.have(self.data_dir, progress)
        elevations, azimuths, models = self.factor_sizes
        try:
            with (
                tarfile.open(path) as archive,
                unpacking(self._array_path, self._array_shape) as images,
            ):
                cars = [member for member in archive if _CAR.fullmatch(member.name)]
                if len(cars) != models:
                    raise UnreadableFileError(
                        f"{path} must contain {models} files data/cars/*.mat, got {len(cars)}"
                    )
                by_car = images.reshape(models, elevations, azimuths, *images.shape[1:])
                order = sorted(car.name for car in cars)
                # In the order of the archive: to go back in it is to unpack it from the start.
                for done, car in enumerate(cars, start=1):
                    file = archive.extractfile(car)
                    assert file is not None
                    by_car[order.index(car.name)] = _read(file, f"{path}: {car.name}", by_car.shape)
                    progress(done, models)
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise UnreadableFileError(f"{path} is no archive: {error}") from error


def _read(file: IO[bytes], name: str, shape: tuple[int, ...]) -> Pixels:
    """One car, (elevation, azimuth, height, width, channel); `shape` is that of all cars."""
    published = read_matlab(io.BytesIO(file.read()), name, "im")
    _, elevations, azimuths, *image = shape
    check_layout(f"{name}: im", published.shape, published.dtype, (*image, azimuths, elevations))
    return published.transpose(4, 3, 0, 1, 2)
