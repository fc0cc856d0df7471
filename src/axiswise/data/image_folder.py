"""One's own images: a folder of PNG and JPEG files, held in memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from axiswise.data.factors import check_count, check_integers, uniform_integers

if TYPE_CHECKING:
    from PIL.Image import Image

_SUFFIXES = (".png", ".jpg", ".jpeg")
_MEMORY_LIMIT = 16 * 2**30  # bytes of decoded images; all of CelebA at size 128 takes 9.3 GiB
_NAMED = 10  # skipped files that the warning names; `skipped` has all


class ImageFolder:
    """The PNG and JPEG images in a folder and the folders below it, drawn at random.

    Suffixes count in any case; hidden files and folders are passed over. Each image is turned as
    its EXIF orientation says, laid on white where it is transparent, turned grey or RGB, and
    reduced to a central square, which is resized to size × size (bicubic, with anti-aliasing).
    16-bit grey is scaled to 8 bits.

    CelebA as OroJaR's published code reads it is the aligned images (178 × 218 pixels) with
    `crop=170, size=128`: 4 columns go on either side, 24 rows above and below. It mirrors none.

    Images are decoded once, by `load` or at first use, into uint8 in the CPU's memory, 16 GiB at
    most. A file that cannot be read is skipped: it is listed with the reason in `skipped`, and one
    warning names such files. Pickles hold no images; they are decoded again.

    Attributes:
        path: The folder.
        size: Height and width of the images, in pixels.
        channels: 1 (grey) or 3 (RGB).
        crop: Side in pixels of the square that is kept of each image; None is the largest.
        flip: Whether mirrored images are drawn as well.
        shape: (channels, size, size).
        files: The image files found, in the order of their paths.
        skipped: After loading, the files among them that could not be read, each with the reason.
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
        """Look for images; none is opened yet.

        Args:
            path: The folder.
            size: Height and width to resize to, in pixels, at least 1.
            channels: 1 for grey, 3 for RGB.
            crop: Side in pixels of the central square to keep before resizing, at least 1; a
                smaller image counts as one that cannot be read. None keeps the largest square.
            flip: Mirror each drawn image left to right with probability 1/2.

        Raises:
            FileNotFoundError: There is no `path`.
            NotADirectoryError: `path` is not a folder.
            ValueError: `path` holds no PNG or JPEG file or too many of them for the memory limit,
                or another argument is out of its range.
        """
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 (grey) or 3 (RGB), got {channels}")
        if crop is not None and crop < 1:
            raise ValueError(f"crop must be at least 1 pixel, or None, got {crop}")
        self.path = Path(path)
        self.size = size
        self.channels = channels
        self.crop = crop
        self.flip = flip
        self.shape = (channels, size, size)
        self.files = _find_images(self.path)
        self.skipped: list[tuple[Path, str]] = []
        self._images: Tensor | None = None
        count = len(self.files) * self._images_per_file
        needed = count * channels * size**2
        if needed > _MEMORY_LIMIT:
            raise ValueError(
                f"path {str(self.path)!r} holds {count} images, which at size {size} "
                f"and {channels} channels take {needed / 2**30:.1f} GiB of memory; at most "
                f"{_MEMORY_LIMIT / 2**30:g} GiB are allowed: choose a smaller size or fewer images"
            )

    def __repr__(self) -> str:
        crop = "" if self.crop is None else f", crop={self.crop}"
        flip = ", flip=True" if self.flip else ""
        path = str(self.path)
        return f"ImageFolder({path!r}, size={self.size}, channels={self.channels}{crop}{flip})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_images": None}

    def __len__(self) -> int:
        return len(self.load())

    def load(self, progress: Callable[[int, int], None] | None = None) -> Tensor:
        """Decode all images, if that has not been done.

        Args:
            progress: Called after each file with the number of files done and of all.

        Returns:
            (image, channel, height, width), uint8, on the CPU: those that could be read, in the
            order of `files`. This is the data set's own memory: do not write to it.

        Raises:
            ValueError: Not one of the files can be read.
        """
        if self._images is None:
            self._images, self.skipped = self._decode(progress)
            self._warn_of_skipped()
        return self._images

    def draw(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Choose `n` images at random, each one as likely as any other, with replacement.

        With `flip`, index i + len(self) is the mirror image of i, and as likely.

        Args:
            n: How many, 0 or more.
            rng: Where the randomness comes from; None is torch's global generator on the CPU.

        Returns:
            (n,), int64 in 0 ... len(self) − 1, or 2·len(self) − 1 with `flip`, on the device of
            `rng`.

        Raises:
            ValueError: `n` is negative, or not one of the files can be read.
        """
        check_count(n)
        return uniform_integers(self._choices(), n, rng)

    def render(self, index: Tensor) -> Tensor:
        """Look up images.

        Args:
            index: (n,), any integer type, each in 0 ... len(self) − 1, or 2·len(self) − 1 with
                `flip`, where i + len(self) is the mirror image of i.

        Returns:
            (n, channel, height, width), float32 in [0, 1], on the device of `index`.

        Raises:
            TypeError: `index` is not a tensor of integers.
            ValueError: `index` has another shape or a value out of range, or not one of the files
                can be read.
        """
        check_integers("index", index)
        if index.ndim != 1:
            raise ValueError(f"index must have shape (n,), got {tuple(index.shape)}")
        rows = index.to("cpu", torch.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= self._choices()):
            raise ValueError(
                f"index must be in 0 ... {self._choices() - 1}, "
                f"got values from {rows.min()} to {rows.max()}"
            )
        # Moved as uint8, a quarter of the bytes.
        images = self.load().index_select(0, rows % len(self)).to(index.device)
        if self.flip:
            mirrored = (rows >= len(self)).to(index.device)
            images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)
        return images.to(torch.float32).div_(255)

    def _choices(self) -> int:
        """How many images can be drawn: those in memory and, with `flip`, their mirror images."""
        return len(self) * (2 if self.flip else 1)

    def _decode(
        self, progress: Callable[[int, int], None] | None
    ) -> tuple[Tensor, list[tuple[Path, str]]]:
        each = self._images_per_file
        images = torch.empty((each * len(self.files), *self.shape), dtype=torch.uint8, device="cpu")
        skipped: list[tuple[Path, str]] = []
        for done, file in enumerate(self.files):
            try:
                pixels = torch.stack(self._read(file))
            except Exception as error:  # damaged files make decoders raise almost anything
                skipped.append((file, f"{type(error).__name__}: {error}"))
            else:
                images[each * (done - len(skipped)) :][:each] = pixels
            if progress is not None:
                progress(done + 1, len(self.files))
        if len(skipped) == len(self.files):
            file, reason = skipped[0]
            raise ValueError(
                f"path {str(self.path)!r} holds {len(skipped)} PNG or JPEG files, but not one can "
                f"be read; at least one must; the first, {file}: {reason}"
            )
        return images[: each * (len(self.files) - len(skipped))], skipped

    def _read(self, file: Path) -> list[Tensor]:
        """Decode one file: `_images_per_file` images, each of `shape`, uint8."""
        if self.crop is None:
            image = open_image(file, self.channels, enough=2 * self.size)
        else:
            image = _crop(open_image(file, self.channels), self.crop)
        return [to_square(image, self.size)]

    def _warn_of_skipped(self) -> None:
        if not self.skipped:
            return
        named = [f"{file} ({reason})" for file, reason in self.skipped[:_NAMED]]
        if len(self.skipped) > _NAMED:
            named.append(f"and {len(self.skipped) - _NAMED} more")
        warnings.warn(
            f"skipped {len(self.skipped)} of {len(self.files)} image files, which cannot be read: "
            + "; ".join(named),
            stacklevel=3,
        )


def _find_images(path: Path) -> list[Path]:
    allowed = "it must be a folder that holds PNG or JPEG images (.png, .jpg, .jpeg)"
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
        raise ValueError(f"path {str(path)!r} holds no image, nor do the folders below; {allowed}")
    return files


def open_image(file: Path, channels: int, enough: int | None = None) -> Image:
    """Decode a PNG or JPEG file.

    Args:
        file: The file.
        channels: 1 for grey, 3 for RGB.
        enough: With a number of pixels, a JPEG many times as large may come reduced, its shorter
            side at least that long: decoding is faster by far.

    Returns:
        The image, upright, with 8 bits for each channel, on white where it is transparent.

    Raises:
        Exception: Of almost any kind, where the file is damaged.
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
    """Bring an image to 8 bits for each channel.

    Args:
        image: Of any mode.
        mode: "L" for grey or "RGB".

    Returns:
        The same, laid on white where it is transparent.
    """
    from PIL import Image as images

    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion clips it at 255
        grey = np.asarray(image).astype(np.float32) / 257
        image = images.fromarray(grey.round().clip(0, 255).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = images.alpha_composite(images.new("RGBA", image.size, "white"), image)
    return image.convert(mode)
