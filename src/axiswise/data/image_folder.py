"""A user's own images: a folder of PNG and JPEG files, read into memory."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from axiswise.data.family import YOURS, data_set
from axiswise.data.indexed import Indexed, check_memory, check_size
from axiswise.support.progress import Progress

if TYPE_CHECKING:
    from PIL.Image import Image

_SUFFIXES = (".png", ".jpg", ".jpeg")
_NAMED = 10  # skipped files that the warning names; `skipped` has all


@data_set("ImageFolder", licence=YOURS, variants={})
class ImageFolder(Indexed):
    """The PNG and JPEG images in a folder and the folders below it, drawn at random.

    Suffixes count in any case; hidden files and folders are passed over. Each image is turned as
    its EXIF orientation says, laid on white where it is transparent, turned grey or RGB, and
    reduced to a central square, which is resized to size × size (bicubic, with anti-aliasing).
    16-bit grey is scaled to 8 bits.

    CelebA as OroJaR's published code reads it is the aligned images (178 × 218 pixels) with
    `crop=170, size=128`: 4 columns go on either side, 24 rows above and below. It mirrors none.

    Images are decoded once, by `load` or at first use, into uint8 in the CPU's memory, 16 GiB at
    most. A file that cannot be read is skipped: it is listed with the reason in `skipped`, and one
    warning names such files. Pickles contain no images; they are decoded again.

    With `flip`, `draw` gives numbers below 2·len(self): i + len(self) is the mirror image of i.

    Args:
        path: The folder.
        size: Height and width to resize to, in pixels, at least 1.
        channels: 1 for grey, 3 for RGB.
        crop: Side in pixels of the central square to keep before resizing, at least 1; a smaller
            image counts as one that cannot be read. None keeps the largest square.
        flip: Mirror each drawn image left to right with probability 1/2.

    Attributes:
        files: The image files found, in the order of their paths.
        skipped: After loading, those that could not be read, each with the reason.

    Raises:
        FileNotFoundError: There is no `path`.
        NotADirectoryError: `path` is not a folder.
        ValueError: `path` contains no PNG or JPEG file or too many of them for the memory limit, or
            another argument is out of its range. When images are read: not one of them can be.
    """

    _images_per_file = 1

    def __init__(
        self,
        path: str | Path,
        size: int = 64,
        channels: int = 3,
        crop: int | None = None,
        flip: bool = False,
    ) -> None:
        check_size(size, channels)
        if crop is not None and crop < 1:
            raise ValueError(f"crop must be at least 1 pixel, or None, got {crop}")
        super().__init__()
        self.path = Path(path)
        self.size = size
        self.channels = channels
        self.crop = crop
        self.flip = flip
        self.shape = (channels, size, size)
        self.files = _find_images(self.path)
        self.skipped: list[tuple[Path, str]] = []
        count = len(self.files) * self._images_per_file
        check_memory(f"path {str(self.path)!r}", count, self.shape)

    def __repr__(self) -> str:
        crop = "" if self.crop is None else f", crop={self.crop}"
        flip = ", flip=True" if self.flip else ""
        path = str(self.path)
        return f"ImageFolder({path!r}, size={self.size}, channels={self.channels}{crop}{flip})"

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
        each = self._images_per_file
        images = torch.empty((each * len(self.files), *self.shape), dtype=torch.uint8, device="cpu")
        skipped: list[tuple[Path, str]] = []
        for done, file in enumerate(self.files):
            try:
                pixels = torch.stack(self._decode(file))
            except Exception as error:  # damaged files make decoders raise almost anything
                skipped.append((file, f"{type(error).__name__}: {error}"))
            else:
                images[each * (done - len(skipped)) :][:each] = pixels
            progress(done + 1, len(self.files))
        if len(skipped) == len(self.files):
            file, reason = skipped[0]
            raise ValueError(
                f"path {str(self.path)!r} contains {len(skipped)} PNG or JPEG files, but not one "
                f"can be read; at least one must; the first, {file}: {reason}"
            )
        self.skipped = skipped
        if skipped:
            self._warn_of_skipped()
        return images[: each * (len(self.files) - len(skipped))]

    def _decode(self, file: Path) -> list[Tensor]:
        """The images of one file, `_images_per_file` of them, each of `shape`, uint8."""
        if self.crop is None:
            image = open_image(file, self.channels, enough=2 * self.size)
        else:
            image = _crop(open_image(file, self.channels), self.crop)
        return [to_square(image, self.size)]

    def _warn_of_skipped(self) -> None:
        named = [f"{file} ({reason})" for file, reason in self.skipped[:_NAMED]]
        if len(self.skipped) > _NAMED:
            named.append(f"and {len(self.skipped) - _NAMED} more")
        warnings.warn(
            f"skipped {len(self.skipped)} of {len(self.files)} image files, which cannot be read: "
            + "; ".join(named),
            stacklevel=4,
        )


def _find_images(path: Path) -> list[Path]:
    allowed = "it must be a folder that contains PNG or JPEG images (.png, .jpg, .jpeg)"
    if not path.exists():
        raise FileNotFoundError(f"path {str(path)!r} does not exist; {allowed}")
    if not path.is_dir():
        raise NotADirectoryError(f"path {str(path)!r} is not a folder; {allowed}")
    files = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in _SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
        and file.is_file()
    )
    if not files:
        raise ValueError(
            f"path {str(path)!r} contains no image, nor do the folders below; {allowed}"
        )
    return files


def open_image(file: Path, channels: int, enough: int | None = None) -> Image:
    """Decode a PNG or JPEG file: upright, 8 bits for each channel, on white where transparent.

    A JPEG many times as large as `enough` pixels may be decoded at a smaller size, its shorter side
    at least that long, which is much faster. A damaged file raises almost any exception.
    """
    from PIL import Image, ImageOps

    with warnings.catch_warnings(), Image.open(file, formats=("PNG", "JPEG")) as opened:
        warnings.simplefilter("ignore")  # oddities in metadata, of an image that can be read
        if enough is not None:
            opened.draft(None, (enough, enough))
        return to_mode(ImageOps.exif_transpose(opened), "L" if channels == 1 else "RGB")


def to_square(image: Image, size: int) -> Tensor:
    """The largest central square of a grey or RGB image: (channel, size, size), uint8."""
    from PIL import Image, ImageOps

    square = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(square).reshape(size, size, -1)).permute(2, 0, 1)


def _crop(image: Image, side: int) -> Image:
    """The central square of so many pixels."""
    width, height = image.size
    if min(width, height) < side:
        raise ValueError(f"{width} × {height} pixels are too few for crop={side}")
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))


def to_mode(image: Image, mode: str) -> Image:
    """An image of any mode as "L" (grey) or "RGB", 8 bits a channel, on white if transparent."""
    from PIL import Image as images

    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion clips it at 255
        grey = np.asarray(image).astype(np.float32) / 257
        image = images.fromarray(grey.round().clip(0, 255).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = images.alpha_composite(images.new("RGBA", image.size, "white"), image)
    return image.convert(mode)
