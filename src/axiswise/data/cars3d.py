"""3D Cars as it was published, downloaded once (Reed, Zhang, Zhang & Lee, NeurIPS 2015)."""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from typing import IO, ClassVar

import numpy as np

from axiswise.data.family import data_set
from axiswise.data.stored import Pixels, PublishedFile, Stored, unpacking
from axiswise.support.files import UnreadableFileError
from axiswise.support.progress import Progress

_FILE = PublishedFile(
    name="nips2015-analogy-data.tar.gz",
    url="http://www.scottreed.info/files/nips2015-analogy-data.tar.gz",
    page="http://www.scottreed.info",
    md5="4e866a7919c1beedf53964e6f7a23686",  # as two unrelated projects record it
)
_CAR = re.compile(r"(\./)?data/cars/[^._/][^/]*\.mat")


@data_set("Cars3D", licence="see its page")
class Cars3D(Stored):
    """The 17,568 published images: 183 car models on white, seen from all around.

    The factors, in disentanglement_lib's order: elevation (4 values), azimuth (24, over a whole
    turn) and model (183, in the order of the files' names). Images are RGB; the published 128 × 128
    pixels are averaged down to 64 × 64 by default.

    The published archive, `nips2015-analogy-data.tar.gz`, is taken from `data_dir`, or downloaded
    into it, by `load` or at first use. Its MD5 checksum is verified and the images are unpacked
    into a second file beside it (0.9 GB), which is mapped into memory from then on: the archive is
    then not looked at again.
    """

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
                        f"{path} must hold {models} files data/cars/*.mat, got {len(cars)}"
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
    """One of all cars, whose shape is given: (elevation, azimuth, height, width, channel)."""
    from scipy.io import loadmat

    try:
        published = loadmat(io.BytesIO(file.read()), variable_names=["im"])["im"]
    except Exception as error:  # damaged files make the reader raise almost anything
        raise UnreadableFileError(
            f"{name} contains no images `im` that can be read: {error}"
        ) from error
    _, elevations, azimuths, *image = shape
    expected = (*image, azimuths, elevations)
    if published.shape != expected or published.dtype != np.uint8:
        raise UnreadableFileError(
            f"{name}: im must be uint8 of shape {expected}, got {published.dtype} of "
            f"{published.shape}"
        )
    return np.asarray(published.transpose(4, 3, 0, 1, 2))
