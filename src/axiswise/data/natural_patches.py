"""Whitened patches of natural images, as sparse coding takes them.

Olshausen & Field, Emergence of simple-cell receptive field properties by learning a sparse code for
natural images, Nature 381, 1996; JL1-VAE (Rhodes & Lee 2021, arXiv 2106.02923) trains on the same.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from axiswise.data.download import default_data_dir
from axiswise.data.family import data_set
from axiswise.data.indexed import Numbered, check_size
from axiswise.data.pictures import open_picture
from axiswise.data.stored import read_matlab
from axiswise.support.files import UnreadableFileError
from axiswise.support.progress import Progress, no_progress

_PUBLISHED = "IMAGES.mat"
_CUTOFF = 200 / 512  # f₀ in cycles per pixel
_MARGIN = 4  # pixels at the edges of a picture, where the filter wraps around
_REACH = 5  # standard deviations from grey to black or white
_FIXED = 100_000  # patches, as many of each picture

# The photographs of the papers' kind that come inside the packages, with nothing to download.
_PHOTOGRAPHS = {
    ("skimage", "data"): (
        *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "grass.png"),
        *("gravel.png", "motorcycle_left.png", "rocket.jpg"),
    ),
    ("sklearn", "datasets/images"): ("china.jpg", "flower.jpg"),
}

_Picture = npt.NDArray[np.float64]


@data_set("NaturalPatches", licence="of the packages")
class NaturalPatches(Numbered):
    """Square patches of whitened grey pictures, all places equally likely.

    The pictures are Olshausen & Field's ten where `data_dir` has their file of whitened images,
    `IMAGES.mat`. Otherwise they are eleven photographs that scikit-image (`pip install
    'axiswise[natural]'`) and scikit-learn carry inside: astronaut, brick, camera, chelsea, coffee,
    grass, gravel, motorcycle, rocket, china and flower. These are made grey and whitened with the
    paper's filter, whose amplitude at frequency f is f·exp(−(f/f₀)⁴), f₀ = 200 cycles per 512
    pixels; that is 0.39 cycles a pixel, whatever a picture's size. Nothing is downloaded.

    Whitened pictures have both signs. Each is scaled to a variance of 1, then value v becomes the
    grey value 0.5 + v/10, cut off at 0 and 1: at five standard deviations, which 3 pixels in 1,000
    of the photographs pass. So the standard deviation of grey values is close to 0.1. (The authors
    scale the range of all pictures to that from 0 to 1: theirs have less contrast.)

    Args:
        size: Height and width of the patches in pixels, at least 1.
        data_dir: The folder that may contain `IMAGES.mat`; None is the one that the environment
            variable AXISWISE_DATA names, or ~/.cache/axiswise.
        pictures: "olshausen" asks for `IMAGES.mat`, "photographs" for the others; "auto" takes the
            former where it is; "published" takes it as JL1-VAE's authors did.

    Raises:
        ValueError: `size` is below 1, or `pictures` is none of these. When the pictures are read:
            some picture is smaller than a patch.
        FileNotFoundError, UnreadableFileError: When read: there is no `IMAGES.mat`, or it is none.
        ImportError: When read: scikit-image is not installed.
    """

    def __init__(
        self,
        size: int = 16,
        data_dir: str | Path | None = None,
        pictures: Literal["auto", "olshausen", "photographs", "published"] = "auto",
    ) -> None:
        check_size(size)
        if pictures not in ("auto", "olshausen", "photographs", "published"):
            raise ValueError(
                "pictures must be 'auto', 'olshausen', 'photographs' or 'published', "
                f"got {pictures!r}"
            )
        self.size = size
        self.data_dir = default_data_dir() if data_dir is None else Path(data_dir).expanduser()
        self.pictures = pictures
        self.shape = (1, size, size)
        self._album: _Album | None = None
        self._fixed: Tensor | None = None  # numbers of the patches that there are; None: all

    def __repr__(self) -> str:
        return (
            f"NaturalPatches(size={self.size}, data_dir={str(self.data_dir)!r}, "
            f"pictures={self.pictures!r})"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_album": None, "_fixed": None}

    def __len__(self) -> int:
        """How many different patches there are."""
        return self._choices()

    def is_here(self) -> bool:
        """Whether the pictures are there."""
        packages = all(importlib.util.find_spec(package) for package, _ in _PHOTOGRAPHS)
        return self._takes_published() or (not self._asks_for_published and packages)

    @property
    def _asks_for_published(self) -> bool:
        return self.pictures in ("olshausen", "published")

    def load(self, progress: Progress = no_progress) -> None:
        """Read and whiten the pictures, if that has not been done."""
        if self._album is None:
            whitened = self._whitened(progress)
            if self.pictures == "published":
                self._album = _make_album(whitened, self.size, _stretched)
                self._fixed = _draw_fixed(self._album.ends)
            else:
                inner = [picture[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] for picture in whitened]
                self._album = _make_album(inner, self.size, _scaled)

    def _choices(self) -> int:
        album = self._loaded()
        return int(album.ends[-1]) if self._fixed is None else len(self._fixed)

    def _look_up(self, rows: Tensor, device: torch.device) -> Tensor:
        album = self._loaded()
        rows = rows if self._fixed is None else self._fixed[rows]
        return album.patches(rows, self.size).to(device)

    def _loaded(self) -> _Album:
        self.load()
        assert self._album is not None
        return self._album

    def _takes_published(self) -> bool:
        return self.pictures != "photographs" and (self.data_dir / _PUBLISHED).is_file()

    def _whitened(self, progress: Progress) -> list[_Picture]:
        if self._takes_published() or self._asks_for_published:
            return _read_published(self.data_dir / _PUBLISHED)
        files = _photographs()
        whitened = []
        for done, file in enumerate(files, start=1):
            whitened.append(whiten(np.asarray(open_picture(file, channels=1), np.float64) / 255))
            progress(done, len(files))
        return whitened


def whiten(picture: _Picture) -> _Picture:
    """Multiply the amplitude at frequency f by f·exp(−(f/f₀)⁴): (height, width), of mean 0.

    The factor f undoes the 1/f of natural images, the rest removes noise (Olshausen & Field 1996).
    """
    height, width = picture.shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    spectrum = np.fft.rfft2(picture) * frequency * np.exp(-((frequency / _CUTOFF) ** 4))
    return np.fft.irfft2(spectrum, s=picture.shape)


@dataclass(frozen=True)
class _Album:
    """All pictures in one row of pixels, and numbers of each picture."""

    pixels: Tensor  # (pixel,) float32 in [0, 1], one picture after another
    starts: Tensor  # its first pixel
    widths: Tensor  # pixels in a row
    across: Tensor  # patches side by side
    ends: Tensor  # number of patches up to its end

    def patches(self, index: Tensor, size: int) -> Tensor:
        """Those of these numbers, (n,): (n, 1, size, size)."""
        picture = torch.searchsorted(self.ends, index, right=True)
        first = torch.cat((self.ends.new_zeros(1), self.ends[:-1]))
        place = index - first[picture]
        row, column = place // self.across[picture], place % self.across[picture]
        corner = self.starts[picture] + row * self.widths[picture] + column
        steps = torch.arange(size, device="cpu")
        down = steps[:, None] * self.widths[picture].view(-1, 1, 1, 1)
        return self.pixels[corner.view(-1, 1, 1, 1) + down + steps]


def _make_album(
    whitened: list[_Picture], size: int, grey: Callable[[list[_Picture]], list[_Picture]]
) -> _Album:
    shapes = torch.tensor([picture.shape for picture in whitened], device="cpu")
    fitting = shapes - (size - 1)
    if fitting.min() < 1:
        raise ValueError(
            f"size must be at most {int(shapes.min())}, the shortest side of the pictures without "
            f"their margins, got {size}"
        )
    pixels = np.concatenate([picture.ravel() for picture in grey(whitened)]).astype(np.float32)
    areas = shapes.prod(1)
    return _Album(
        pixels=torch.from_numpy(pixels),
        starts=areas.cumsum(0) - areas,
        widths=shapes[:, 1],
        across=fitting[:, 1],
        ends=fitting.prod(1).cumsum(0),
    )


def _scaled(whitened: list[_Picture]) -> list[_Picture]:
    """Grey values, each picture's by its own variance."""
    return [np.clip(0.5 + picture / (2 * _REACH * picture.std()), 0, 1) for picture in whitened]


def _stretched(whitened: list[_Picture]) -> list[_Picture]:
    """Grey values, black and white the extremes of all pictures."""
    low, high = (of([of(picture) for picture in whitened]) for of in (np.min, np.max))
    return [(picture - low) / (high - low) for picture in whitened]


def _draw_fixed(ends: Tensor) -> Tensor:
    """Numbers of the published number of patches, as many of each picture."""
    rng = torch.Generator().manual_seed(0)
    starts = torch.cat((ends.new_zeros(1), ends[:-1]))
    share = torch.rand(_FIXED // len(ends), len(ends), generator=rng, dtype=torch.float64)
    return (starts + (share * (ends - starts)).long()).T.flatten()


def _read_published(path: Path) -> list[_Picture]:
    """Olshausen & Field's whitened pictures, as they are."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing. Two ways to go on: fetch IMAGES.mat from the page of sparsenet "
            f"(Bruno Olshausen, rctn.org) by hand and put it into {path.parent}, or take "
            "pictures='photographs', which need no file"
        )
    stack = read_matlab(path, str(path), "IMAGES")
    if stack.ndim != 3 or stack.dtype.kind not in "iuf" or not np.isfinite(stack).all():
        raise UnreadableFileError(
            f"{path}: IMAGES must be finite and (height, width, picture), got {stack.dtype} of "
            f"{stack.shape}"
        )
    return list(stack.transpose(2, 0, 1).astype(np.float64))


def _photographs() -> list[Path]:
    """The files inside the installed packages, neither of which is imported for that."""
    files = []
    for (package, folder), names in _PHOTOGRAPHS.items():
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise ImportError(
                f"the photographs of natural patches need the package {package}: "
                "pip install 'axiswise[natural]'"
            )
        files += [Path(found.origin).parent / folder / name for name in names]
    return files
