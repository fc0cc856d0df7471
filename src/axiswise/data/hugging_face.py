"""Images from data sets on the Hugging Face Hub, by the package `datasets`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from axiswise.data.family import YOURS, data_set
from axiswise.data.image_folder import to_mode, to_square
from axiswise.data.indexed import Indexed, check_memory, check_size
from axiswise.support.progress import Progress


@data_set("HuggingFaceImages", licence=YOURS, variants={})
class HuggingFaceImages(Indexed):
    """The images in one column of a data set, cut square and resized, in memory.

    Anything that `datasets.load_dataset` takes by its name, which may also be a folder of yours.
    What has been downloaded once is taken from the package's own cache, with no network. It is
    always loaded without running code of the data set's. Needs `pip install 'axiswise[datasets]'`.

    Of each image the largest central square is kept and resized, as by
    :class:`axiswise.data.ImageFolder`; a byte for each pixel and channel, 16 GiB at most.

    Args:
        name: As `datasets.load_dataset` takes it: "owner/name", or a folder.
        split: Which part, such as "train" or "train[:1000]".
        column: The column of images.
        size: Height and width to resize to, in pixels, at least 1.
        channels: 1 for grey, 3 for RGB.

    Raises:
        ValueError: `size` or `channels` is none of these.
    """

    def __init__(
        self,
        name: str,
        split: str = "train",
        column: str = "image",
        size: int = 64,
        channels: int = 3,
    ) -> None:
        check_size(size, channels)
        super().__init__()
        self.name = name
        self.split = split
        self.column = column
        self.size = size
        self.shape = (channels, size, size)

    def __repr__(self) -> str:
        return (
            f"HuggingFaceImages({self.name!r}, split={self.split!r}, column={self.column!r}, "
            f"size={self.size}, channels={self.shape[0]})"
        )

    def _read(self, progress: Progress) -> Tensor:
        rows = self._rows()
        check_memory(f"name {self.name!r}", len(rows), self.shape)
        images = torch.empty((len(rows), *self.shape), dtype=torch.uint8, device="cpu")
        mode = "L" if self.shape[0] == 1 else "RGB"
        for index, row in enumerate(rows):
            images[index] = to_square(to_mode(row[self.column], mode), self.size)
            progress(index + 1, len(rows))
        return images

    def _rows(self) -> Any:
        """The data set, with decoded images."""
        try:
            import datasets
        except ImportError as error:
            raise ImportError(
                f"the images of {self.name!r} need the package datasets: "
                "pip install 'axiswise[datasets]'"
            ) from error
        try:
            rows = datasets.load_dataset(self.name, split=self.split)
        except (OSError, ValueError) as error:
            raise OSError(
                f"name {self.name!r}, split {self.split!r}: no such data is in the cache or on "
                f"the Hub: {error}. Two ways to get it: try again with a network that reaches the "
                "Hub, or give a folder that contains it"
            ) from error
        found = rows.features.get(self.column)
        if not isinstance(found, datasets.Image):
            kinds = rows.features.items()
            images = ", ".join(key for key, kind in kinds if isinstance(kind, datasets.Image))
            raise ValueError(
                f"column must be one of images, which {self.name!r} has in {images or 'none'}, "
                f"got {self.column!r}"
            )
        return rows.select_columns([self.column])
