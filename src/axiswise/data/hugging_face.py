"""Images from data sets on the Hugging Face Hub, by the package `datasets`."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from axiswise.data.family import YOURS, data_set
from axiswise.data.indexed import check_memory, check_size
from axiswise.data.pictures import Pictures, decode_picture, name_some, warn_of_films
from axiswise.support.progress import Progress

if TYPE_CHECKING:
    from axiswise.data.pictures import Pixels


@data_set("HuggingFaceImages", licence=YOURS, variants={})
class HuggingFaceImages(Pictures):
    """The images in one column of a data set, cut square and resized, in memory.

    Anything that `datasets.load_dataset` takes by its name, which may also be a folder of yours.
    What has been downloaded once is taken from the package's own cache, with no network. It is
    always loaded without running code of the data set's, and an address in a row is never fetched.
    Needs `pip install 'axiswise[datasets]'`.

    Images are read as by :class:`axiswise.data.ImageFolder`: the largest central square is kept and
    resized, a byte for each pixel and channel, 16 GiB at most. Rows without an image, or with a
    damaged one, are left out, and one warning counts and names them.

    Args:
        name: As `datasets.load_dataset` takes it: "owner/name", or a folder.
        split: Which part, such as "train" or "train[:1000]".
        column: The column of images.
        size: Height and width to resize to, in pixels, at least 1.
        channels: 1 for grey, 3 for RGB.
        value_range: The values of black and of white, as of :class:`axiswise.data.ImageFolder`.

    Attributes:
        skipped: After loading, the rows that were left out, from 0 on, each with the reason.

    Raises:
        ValueError: `size`, `channels` or `value_range` is none of these.
    """

    def __init__(
        self,
        name: str,
        split: str = "train",
        column: str = "image",
        size: int = 64,
        channels: int = 3,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        check_size(size, channels)
        super().__init__((channels, size, size), value_range)
        self.name = name
        self.split = split
        self.column = column
        self.size = size
        self.skipped: list[tuple[int, str]] = []

    def __repr__(self) -> str:
        levels = "" if self.value_range is None else f", value_range={self.value_range}"
        return (
            f"HuggingFaceImages({self.name!r}, split={self.split!r}, column={self.column!r}, "
            f"size={self.size}, channels={self.shape[0]}{levels})"
        )

    def _read(self, progress: Progress) -> Tensor:
        rows, what = self._rows(), f"name {self.name!r}"
        check_memory(what, len(rows), self.shape)
        films: set[int] = set()

        def decode(index: int) -> Pixels:
            return _decode(rows[index][self.column], lambda: films.add(index))

        images, self.skipped = self._decode_all(len(rows), decode, what, progress)
        if not len(images):
            reason = f"; the first: {self.skipped[0][1]}" if self.skipped else ""
            raise ValueError(
                f"{what}, split {self.split!r}, must have an image in column {self.column!r}, but "
                f"not one of its {len(rows)} rows has one that can be read{reason}"
            )
        if self.skipped:
            warnings.warn(
                f"skipped {len(self.skipped)} of {len(rows)} rows of {self.name!r}: "
                + name_some([f"row {index} ({reason})" for index, reason in self.skipped]),
                stacklevel=3,
            )
        warn_of_films([f"row {index}" for index in sorted(films)], "images")
        return images

    def _rows(self) -> Any:
        """The data set's column, its images not decoded: as bytes and paths."""
        try:
            import datasets
        except ImportError as error:
            raise ImportError(
                f"the images of {self.name!r} need the package datasets: "
                "pip install 'axiswise[datasets]'"
            ) from error
        try:
            rows = datasets.load_dataset(self.name, split=self.split)
        except Exception as error:  # what its readers trip over, beside errors of its own
            if "split" in str(error).lower():
                raise ValueError(
                    f"split must be one that {self.name!r} has, got {self.split!r}: {error}"
                ) from error
            raise OSError(
                f"name {self.name!r}, split {self.split!r}: no such data is in the cache or on "
                f"the Hub: {error}. Two ways to get it: try again with a network that reaches the "
                "Hub, or give a folder that contains it"
            ) from error
        if not _is_of_images(rows.features.get(self.column), datasets.Image):
            kinds = rows.features.items()
            images = [key for key, kind in kinds if _is_of_images(kind, datasets.Image)]
            others = [key for key, _ in kinds if key not in images]
            raise ValueError(
                f"column must be one of images, which {self.name!r} has in "
                f"{', '.join(images) or 'none'}, got {self.column!r}"
                + (f" (not of images: {', '.join(others)})" if others else "")
            )
        rows = rows.select_columns([self.column])
        if isinstance(rows.features[self.column], datasets.Image):
            rows = rows.cast_column(self.column, datasets.Image(decode=False))
        return rows


def _is_of_images(kind: Any, image_kind: type) -> bool:
    """Whether a column is of images, or of the bytes or paths that `datasets` keeps of them."""
    return isinstance(kind, image_kind) or (
        isinstance(kind, dict) and kind.keys() == {"bytes", "path"}
    )


def _decode(row: dict[str, Any] | None, on_film: Any) -> Pixels:
    """The image of a row, from its bytes, or from a file on this computer."""
    from PIL import UnidentifiedImageError

    content, path = (row or {}).get("bytes"), (row or {}).get("path")
    if content is not None:
        try:
            return decode_picture(io.BytesIO(content), on_film=on_film)
        except UnidentifiedImageError:
            raise ValueError("its bytes are of no format that is read") from None
    if path is None:
        raise ValueError("it has no image")
    if not Path(path).is_file():
        raise FileNotFoundError(f"it has only a path, {path!r}, which is no file here")
    return decode_picture(Path(path), on_film=on_film)
