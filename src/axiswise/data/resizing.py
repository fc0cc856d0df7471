"""Images made smaller: each new pixel is the mean of the area it covers."""

from __future__ import annotations

import torch
from torch import Tensor


def shrink(images: Tensor, size: int) -> Tensor:
    """Average images down.

    Args:
        images: (..., side, side), floating.
        size: Height and width to average down to, in pixels, 1 ... side. Where it does not divide
            side, a pixel that lies in two of the new ones counts in each by its share.

    Returns:
        (..., size, size); `images` itself where it has this size already.

    Raises:
        ValueError: `images` are not square, or `size` is out of its range.
    """
    height, width = images.shape[-2:]
    if height != width or not 1 <= size <= width:
        raise ValueError(
            f"size must be in 1 ... the side of square images, got {size} for {height} × {width}"
        )
    if size == width:
        return images
    shares = _shares(width, size, images)
    return shares @ images @ shares.t()


def _shares(side: int, size: int, like: Tensor) -> Tensor:
    """What each old pixel counts in each new one along a side: (size, side), rows sum to 1."""
    # In units of 1 / (side · size), where the edges of old and new pixels are integers.
    old = torch.arange(side, device=like.device) * size
    new = torch.arange(size, device=like.device)[:, None] * side
    overlap = torch.minimum(old + size, new + side) - torch.maximum(old, new)
    return overlap.clamp(min=0).to(like.dtype) / side
