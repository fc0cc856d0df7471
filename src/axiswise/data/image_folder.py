"""A user's own images: a folder of files, read into memory."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from axiswise.data.family import YOURS, data_set
from axiswise.data.finding import endings, find_pictures
from axiswise.data.indexed import check_memory, check_size
from axiswise.data.pictures import Pictures, decode_picture, name_some, to_square, warn_of_films
from axiswise.support.progress import Progress

if TYPE_CHECKING:
    from PIL.Image import Image

    from axiswise.data.pictures import Pixels


@data_set("ImageFolder", licence=YOURS, variants={})
class ImageFolder(Pictures):
    """The images in a folder and the folders below it, linked ones too, drawn at random.

    PNG, JPEG, TIFF, WebP, GIF, BMP and PPM files are read, and AVIF where Pillow does; endings of
    names count in any case. Of a file with several frames, the first is taken. Each image is turned
    as its EXIF orientation says, laid on white where it is transparent, turned grey or RGB, and
    reduced to a central square, which is resized to size × size (bicubic, with anti-aliasing).

    What looks like an image and is not read is listed in `skipped` with the reason: files that are
    damaged, of another format, hidden, or without an ending, links that lead nowhere, folders that
    cannot be opened. One warning counts and names them.

    Values become 8 bits. By default all images together decide which values are black and white: 0
    and 255 for images of 8 bits, 0 and 1 if no value exceeds 1; for images of more bits 0 and the
    largest number of 1, 8, 10, 12, 14 or 16 bits, whichever first reaches all values; for floating
    numbers 0 and 1, or −1 and 1, or 0 and 255. What the kind of file does not say by itself comes
    with a warning. A run writes the range into its config.

    CelebA as OroJaR's published code reads it is the aligned images (178 × 218 pixels) with
    `crop=170, size=128, antialias=False`: 4 columns go on either side, 24 rows above and below. It
    mirrors none.

    Images are decoded once, by `load` or at first use, into uint8 in the CPU's memory, 16 GiB at
    most. Pickles contain no images; they are decoded again.

    With `flip`, `draw` gives numbers below 2·len(self): i + len(self) is the mirror image of i.

    Args:
        path: The folder.
        size: Height and width to resize to, in pixels, at least 1.
        channels: 1 for grey, 3 for RGB.
        crop: Side in pixels of the central square to keep before resizing, at least 1; a smaller
            image counts as one that cannot be read. None keeps the largest square.
        flip: Mirror each drawn image left to right with probability 1/2.
        antialias: Average over what a new pixel covers. False interpolates between the nearest
            4 × 4 pixels alone, as OpenCV's INTER_CUBIC does (cubic of a = −0.75).
        value_range: The values of black and of white, such as (0, 4095) for 12 bits; what lies
            beyond is cut off. None has the images decide.

    Attributes:
        files: The image files found, in the order of their paths.
        skipped: What looks like an image and is not read, each with the reason; those that cannot
            be decoded are among them after loading.

    Raises:
        FileNotFoundError: There is no `path`.
        NotADirectoryError: `path` is not a folder.
        ValueError: `path` contains no image or too many of them for the memory limit, or another
            argument is out of its range. When images are read: not one of them can be, or they need
            a `value_range`.
    """

    def __init__(
        self,
        path: str | Path,
        size: int = 64,
        channels: int = 3,
        crop: int | None = None,
        flip: bool = False,
        value_range: tuple[float, float] | None = None,
        antialias: bool = True,
    ) -> None:
        check_size(size, channels)
        if crop is not None and crop < 1:
            raise ValueError(f"crop must be at least 1 pixel, or None, got {crop}")
        super().__init__((channels, size, size), value_range)
        self.path = Path(path)
        self.size = size
        self.channels = channels
        self.crop = crop
        self.flip = flip
        self.antialias = antialias
        # Pixels to decode of a JPEG.
        self._enough = 2 * size if crop is None and antialias else None
        self.files, self._passed_over = _find(self.path)
        self.skipped = self._passed_over
        count = len(self.files) * self._images_per_picture
        check_memory(self._what, count, self.shape)

    def __repr__(self) -> str:
        words = [repr(str(self.path)), f"size={self.size}", f"channels={self.channels}"]
        if self.crop is not None:
            words.append(f"crop={self.crop}")
        if self.flip:
            words.append("flip=True")
        if not self.antialias:
            words.append("antialias=False")
        if self.value_range is not None:
            words.append(f"value_range={self.value_range}")
        return f"ImageFolder({', '.join(words)})"

    @property
    def _what(self) -> str:
        return f"path {str(self.path)!r}"

    def _choices(self) -> int:
        """Those in memory and, with `flip`, their mirror images."""
        return len(self) * (2 if self.flip else 1)

    def _look_up(self, rows: Tensor, device: torch.device) -> Tensor:
        images = super()._look_up(rows % len(self), device)
        if self.flip:
            mirrored = (rows >= len(self)).to(device)
            images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)
        return images

    def _read(self, progress: Progress) -> Tensor:
        """Decode the files that can be read, in their order."""
        films: set[Path] = set()

        def decode(index: int) -> Pixels:
            file = self.files[index]
            return decode_picture(file, self._enough, lambda: films.add(file))

        images, left_out = self._decode_all(len(self.files), decode, self._what, progress)
        damaged = [(self.files[index], reason) for index, reason in left_out]
        if len(damaged) == len(self.files):
            file, reason = damaged[0]
            raise ValueError(
                f"{self._what} contains {len(damaged)} image files, but not one can be read; at "
                f"least one must; the first, {file}: {reason}"
            )
        self.skipped = sorted(self._passed_over + damaged)
        if self.skipped:
            reasons = ["damaged"] * len(damaged) + [reason for _, reason in self._passed_over]
            count = len(self.files) + len(self._passed_over)
            counts = (f"{number} {reason}" for reason, number in Counter(reasons).items())
            warnings.warn(
                f"skipped {len(self.skipped)} of {count} image files: "
                f"{', '.join(counts)}: {_named(self.skipped)}",
                stacklevel=3,
            )
        warn_of_films([str(file) for file in sorted(films)], "files")
        return images

    def _cut(self, image: Image) -> list[Tensor]:
        whole = image if self.crop is None else _crop(image, self.crop)
        return [to_square(whole, self.size, antialias=self.antialias)]


def _find(path: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    allowed = f"it must be a folder that contains images ({endings()})"
    if not path.exists():
        raise FileNotFoundError(f"path {str(path)!r} does not exist; {allowed}")
    if not path.is_dir():
        raise NotADirectoryError(f"path {str(path)!r} is not a folder; {allowed}")
    found = find_pictures(path)
    if not found.files:
        passed_over = f", but for {_named(found.passed_over)}" if found.passed_over else ""
        raise ValueError(
            f"path {str(path)!r} contains no image, nor do the folders below{passed_over}; "
            + allowed
        )
    return found.files, found.passed_over


def _named(skipped: list[tuple[Path, str]]) -> str:
    return name_some([f"{file} ({reason})" for file, reason in skipped])


def _crop(image: Image, side: int) -> Image:
    """The central square of so many pixels."""
    width, height = image.size
    if min(width, height) < side:
        raise ValueError(f"{width} × {height} pixels are too few for crop={side}")
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))
