"""Edges+Shoes: drawings and photos of shoes, mixed.

The pairs are those of pix2pix (Isola et al., Image-to-Image Translation with Conditional
Adversarial Networks, CVPR 2017, arXiv 1611.07004); the Hessian Penalty (arXiv 2008.10599) and
OroJaR (arXiv 2108.07668) train on both kinds together.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from axiswise.data.family import data_set
from axiswise.data.image_folder import ImageFolder
from axiswise.data.levels import BYTES
from axiswise.data.pictures import to_square

if TYPE_CHECKING:
    from PIL.Image import Image


@data_set("EdgesShoes", licence="see pix2pix", variants={})
class EdgesShoes(ImageFolder):
    """The two halves of pix2pix's edges2shoes images, each a separate image.

    In each file, 512 × 256 pixels as published, the left half is the drawn edges of a shoe and the
    right half its photo. Of file i, image 2i is the drawing and image 2i + 1 the photo: half of the
    images drawn are drawings.

    All else is as in :class:`ImageFolder`: a file whose width is not twice its height is skipped.
    The published training set takes 4.6 GiB at size 128.

    Args:
        path: The folder: edges2shoes/train, as the archive unpacks.
        size: Height and width to resize to, in pixels, at least 1. The papers' is 128.
        flip: Mirror each drawn image left to right with probability 1/2.

    Raises:
        OSError, ValueError: As :class:`ImageFolder`.
    """

    _images_per_picture = 2

    def __init__(self, path: str | Path, size: int = 128, flip: bool = False) -> None:
        super().__init__(path, size=size, channels=3, flip=flip, value_range=BYTES)
        self._enough = None

    def __repr__(self) -> str:
        flip = ", flip=True" if self.flip else ""
        return f"EdgesShoes({str(self.path)!r}, size={self.size}{flip})"

    def _cut(self, image: Image) -> list[Tensor]:
        width, height = image.size
        if width != 2 * height:
            raise ValueError(
                f"{width} × {height} pixels: a drawing and a photo side by side are twice as wide "
                "as high"
            )
        halves = ((0, 0, height, height), (height, 0, width, height))
        return [to_square(image.crop(half), self.size) for half in halves]
