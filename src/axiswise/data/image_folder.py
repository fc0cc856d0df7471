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
_MEMORY_LIMIT = 8 * 2**30  # bytes of decoded images
_NAMED = 10  # skipped files that the warning names; `skipped` has all


class ImageFolder:
    """The PNG and JPEG images in a folder and the folders below it, drawn at random.

    Suffixes count in any case; hidden files and folders are passed over. Each image is turned as
    its EXIF orientation says, laid on white where it is transparent, turned grey or RGB, and
    reduced to its largest central square, which is resized to size × size (bicubic, with
    anti-aliasing). 16-bit grey is scaled to 8 bits.

    Images are decoded once, by `load` or at first use, into uint8 in the CPU's memory, 8 GiB at
    most. A file that cannot be read is skipped: it is listed with the reason in `skipped`, and one
    warning names such files. Pickles hold no images; they are decoded again.

    Attributes:
        path: The folder.
        size: Height and width of the images, in pixels.
        channels: 1 (grey) or 3 (RGB).
        shape: (channels, size, size).
        files: The image files found, in the order of their paths.
        skipped: After loading, the files among them that could not be read, each with the reason.
    """

    def __init__(self, path: str | Path, size: int = 64, channels: int = 3) -> None:
        """Look for images; none is opened yet.

        Args:
            path: The folder.
            size: Height and width to resize to, in pixels, at least 1.
            channels: 1 for grey, 3 for RGB.

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
        self.path = Path(path)
        self.size = size
        self.channels = channels
        self.shape = (channels, size, size)
        self.files = _find_images(self.path)
        self.skipped: list[tuple[Path, str]] = []
        self._images: Tensor | None = None
        needed = len(self.files) * channels * size**2
        if needed > _MEMORY_LIMIT:
            raise ValueError(
                f"path {str(self.path)!r} holds {len(self.files)} images, which at size {size} "
                f"and {channels} channels take {needed / 2**30:.1f} GiB of memory; at most "
                f"{_MEMORY_LIMIT / 2**30:g} GiB are allowed: choose a smaller size or fewer images"
            )

    def __repr__(self) -> str:
        return f"ImageFolder({str(self.path)!r}, size={self.size}, channels={self.channels})"

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

        Args:
            n: How many, 0 or more.
            rng: Where the randomness comes from; None is torch's global generator on the CPU.

        Returns:
            (n,), int64 in 0 ... len(self) − 1, on the device of `rng`.

        Raises:
            ValueError: `n` is negative, or not one of the files can be read.
        """
        check_count(n)
        return uniform_integers(len(self), n, rng)

    def render(self, index: Tensor) -> Tensor:
        """Look up images.

        Args:
            index: (n,), any integer type, each in 0 ... len(self) − 1.

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
        images = self.load()
        rows = index.to("cpu", torch.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(images)):
            raise ValueError(
                f"index must be in 0 ... {len(images) - 1}, "
                f"got values from {rows.min()} to {rows.max()}"
            )
        # Moved as uint8, a quarter of the bytes.
        return images.index_select(0, rows).to(index.device).to(torch.float32).div_(255)

    def _decode(
        self, progress: Callable[[int, int], None] | None
    ) -> tuple[Tensor, list[tuple[Path, str]]]:
        images = torch.empty((len(self.files), *self.shape), dtype=torch.uint8, device="cpu")
        skipped: list[tuple[Path, str]] = []
        for done, file in enumerate(self.files):
            try:
                pixels = _read_image(file, self.size, self.channels)
            except Exception as error:  # damaged files make decoders raise almost anything
                skipped.append((file, f"{type(error).__name__}: {error}"))
            else:
                images[done - len(skipped)] = pixels
            if progress is not None:
                progress(done + 1, len(self.files))
        if len(skipped) == len(self.files):
            file, reason = skipped[0]
            raise ValueError(
                f"path {str(self.path)!r} holds {len(skipped)} PNG or JPEG files, but not one can "
                f"be read; at least one must; the first, {file}: {reason}"
            )
        return images[: len(self.files) - len(skipped)], skipped

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


def _read_image(file: Path, size: int, channels: int) -> Tensor:
    """Decode one file: (channels, size, size), uint8."""
    from PIL import Image, ImageOps

    with warnings.catch_warnings(), Image.open(file, formats=("PNG", "JPEG")) as opened:
        warnings.simplefilter("ignore")  # oddities in metadata, of an image that can be read
        # A photo many times too large is decoded at half, a quarter or an eighth of its size.
        opened.draft(None, (2 * size, 2 * size))
        image = _to_mode(ImageOps.exif_transpose(opened), "L" if channels == 1 else "RGB")
    image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    pixels = np.array(image).reshape(size, size, channels)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _to_mode(image: Image, mode: str) -> Image:
    """The image in 8 bits, laid on white, as grey ("L") or "RGB"."""
    from PIL import Image as images

    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion clips it at 255
        grey = np.asarray(image).astype(np.float32) / 257
        image = images.fromarray(grey.round().clip(0, 255).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = images.alpha_composite(images.new("RGBA", image.size, "white"), image)
    return image.convert(mode)
