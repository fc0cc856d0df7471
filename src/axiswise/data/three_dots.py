"""Three-dots, the data set of JL1-VAE: black dots on a white ground, drawn on the fly.

Rhodes & Lee, Local Disentanglement in Variational Auto-Encoders Using Jacobian L1 Regularization,
NeurIPS 2021, arXiv 2106.02923.

Drawing is bound by memory traffic, so each image is written once, and then touched only where its
dots are: a table holds the finished square of pixels around a dot for each of its positions. Where
dots meet, the darker of two squares is right except in pixels through which the rims of two dots
pass; for those few the union is worked out on the spot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from axiswise.data.factors import check_factors, uniform_factors

# The paper's disc, in pixels of its 64 x 64 images.
_PAPER_SIZE = 64
_PAPER_RADIUS = 5.17
_PAPER_SHIFT = 0.05

_CHORDS = 16  # horizontal chords through each pixel, along which its cover is integrated
_RIM = 0.71  # a circle through a pixel passes its middle within half a diagonal, 0.7071
_TABLE_LIMIT = 2**24  # floats in the table of squares: 64 MiB
_CHUNK = 2**21  # floats that each step of drawing may handle at once


class ThreeDots:
    """White images with black dots, whose factors are the dots' positions.

    Factor 2i is the x of dot i (to the right) and factor 2i + 1 its y (downwards). A factor f puts
    the centre at size·f / (values − 1) + 0.05·size / 64 pixels from the image's left or upper edge.
    A pixel's value is the share of it that the union of the dots leaves uncovered: 1 is white.
    With the default arguments these are the paper's images, up to their own sampling (mean absolute
    difference 0.0002).

    The share is integrated along 16 horizontal chords through each pixel, whose lengths are exact:
    it is off by 0.03 at most. Images do not depend on the order of the dots nor, up to rounding,
    on the device. Tables are made at the first drawing on a device, and are not pickled.

    Attributes:
        size: Height and width of the images, in pixels.
        radius: Radius of the dots, in pixels.
        dots: Number of dots.
        values: Number of values of each factor.
        shape: (1, size, size).
        factor_sizes: `values`, 2·dots times.
        factor_names: ("x0", "y0", "x1", ...).
    """

    def __init__(
        self, size: int = 64, radius: float | None = None, dots: int = 3, values: int = 64
    ) -> None:
        """Describe the images; nothing is drawn yet.

        Args:
            size: Height and width of the images in pixels, at least 1.
            radius: Radius of the dots in pixels, above 0; None is the paper's, 5.17·size / 64.
            dots: Number of dots, at least 1.
            values: Number of values of each factor, at least 2.

        Raises:
            ValueError: An argument is out of its range.
        """
        for name, given, least in (("size", size, 1), ("dots", dots, 1), ("values", values, 2)):
            if given < least:
                raise ValueError(f"{name} must be at least {least}, got {given}")
        if radius is None:
            radius = _PAPER_RADIUS * size / _PAPER_SIZE
        if not 0 < radius < math.inf:
            raise ValueError(f"radius must be a finite number of pixels above 0, got {radius}")
        self.size = size
        self.radius = float(radius)
        self.dots = dots
        self.values = values
        self.shape = (1, size, size)
        self.factor_sizes = (values,) * (2 * dots)
        self.factor_names = tuple(f"{axis}{dot}" for dot in range(dots) for axis in "xy")
        self._tables: dict[torch.device, _Tables] = {}

    def __repr__(self) -> str:
        return (
            f"ThreeDots(size={self.size}, radius={self.radius}, dots={self.dots}, "
            f"values={self.values})"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tables": {}}

    def sample_factors(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Draw `n` rows of factors, each uniform and independent.

        Args:
            n: How many, 0 or more.
            rng: Where the randomness comes from; None is torch's global generator on the CPU.

        Returns:
            (n, 2·dots), int64 in 0 ... values − 1, on the device of `rng`.

        Raises:
            ValueError: `n` is negative.
        """
        return uniform_factors(self.factor_sizes, n, rng)

    def draw(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Choose `n` images at random: the same as `sample_factors`."""
        return self.sample_factors(n, rng)

    def render(self, factors: Tensor) -> Tensor:
        """Draw the images that have these factors, on the device of `factors`.

        Any number is drawn in bounded memory beside the result. On a CUDA device the call waits for
        the device (to check the factors, and to count the pixels where rims meet), so it cannot be
        captured in a CUDA graph.

        Args:
            factors: (n, 2·dots), any integer type, each in 0 ... values − 1.

        Returns:
            (n, 1, size, size), float32 in [0, 1].

        Raises:
            TypeError: `factors` is not a tensor of integers.
            ValueError: `factors` has another shape, or a value out of range.
        """
        factors = check_factors(factors, self.factor_sizes)
        tables = self._tables.get(factors.device)
        if tables is None:
            tables = self._tables[factors.device] = _make_tables(self, factors.device)
        images = _empty((len(factors), *self.shape), factors.device)
        step = _images_at_once(tables, self.dots)
        for start in range(0, len(factors), step):
            _draw(factors[start : start + step], images[start : start + step], tables)
        return images


@dataclass(frozen=True)
class _Tables:
    """What drawing looks up on one device. A dot's square is the part of the image it can touch.

    Attributes:
        size: Height and width of the images.
        radius: Radius of the dots.
        side: Height and width of the squares, at most `size`.
        centres: (value,) float32, the coordinate of a dot's centre in the image.
        corners: (value,) int64, the first pixel of its square; squares lie within the image.
        light: (value of y · values + value of x, side·side) float32, the uncovered share of the
            pixels of a square with one dot; None where the table would be too large.
        square: (side·side,) int64, the pixels of a square at the image's origin, as flat positions.
        middles: (side,) float32, the coordinates of the middles of a row of pixels.
        chords: (chord, 1) float32, the heights of chords within a pixel.
        earlier: (dot, dot, 1) booleans, whether the first comes before the second.
    """

    size: int
    radius: float
    side: int
    centres: Tensor
    corners: Tensor
    light: Tensor | None
    square: Tensor
    middles: Tensor
    chords: Tensor
    earlier: Tensor


def _make_tables(data: ThreeDots, device: torch.device) -> _Tables:
    size, radius, values = data.size, data.radius, data.values
    side = min(math.ceil(2 * radius) + 1, size)
    centres = torch.arange(values, dtype=torch.float64, device="cpu") * size / (values - 1)
    centres += _PAPER_SHIFT * size / _PAPER_SIZE
    corners = (centres - radius).floor().clamp(0, size - side)
    offsets = (centres - corners).to(device, torch.float32)
    pixels = torch.arange(side, device=device)
    chords = torch.arange(_CHORDS, dtype=torch.float32, device=device)
    dots = torch.arange(data.dots, device=device)
    return _Tables(
        size=size,
        radius=radius,
        side=side,
        centres=centres.to(device, torch.float32),
        corners=corners.to(device, torch.int64),
        light=_light_table(offsets, radius, side) if (values * side) ** 2 <= _TABLE_LIMIT else None,
        square=(pixels.unsqueeze(1) * size + pixels).view(-1),
        middles=pixels.to(torch.float32) + 0.5,
        chords=((chords + 0.5) / _CHORDS).unsqueeze(1),
        earlier=(dots.unsqueeze(1) < dots).unsqueeze(2),
    )


def _light_table(offsets: Tensor, radius: float, side: int) -> Tensor:
    """The squares of all pairs of values: (value of y · values + value of x, side·side)."""
    values = len(offsets)
    cells = torch.arange(values**2, device=offsets.device)
    step = max(1, _CHUNK // (side * side * _CHORDS))
    parts = [
        _light_around_disc(offsets[cell % values], offsets[cell // values], radius, side)
        for cell in cells.split(step)
    ]
    return torch.cat(parts)


def _light_around_disc(x: Tensor, y: Tensor, radius: float, side: int) -> Tensor:
    """The share of each pixel that one disc leaves uncovered, by chords of exact length.

    Args:
        x: (disc,) centres, in pixels from the left edge of a square.
        y: (disc,) centres, in pixels from its upper edge.
        radius: Radius of the discs, in pixels.
        side: Height and width of the square, in pixels.

    Returns:
        (disc, side·side) in [0, 1].
    """
    chords = torch.arange(side * _CHORDS, dtype=torch.float32, device=x.device)
    heights = (chords + 0.5) / _CHORDS - y.unsqueeze(1)
    halves = (radius**2 - heights.square_()).clamp_(min=0).sqrt_()
    columns = torch.arange(side, dtype=torch.float32, device=x.device)
    left = (x.unsqueeze(1) - halves).unsqueeze(2) - columns
    right = (x.unsqueeze(1) + halves).unsqueeze(2) - columns
    covered = right.clamp_(0, 1).sub_(left.clamp_(0, 1))  # (disc, side·chord, side)
    return 1 - covered.view(-1, side, _CHORDS, side).mean(dim=2).view(-1, side * side)


def _empty(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """New memory for float32 images, its content undefined."""
    if device.type == "cpu":
        # Large batches are bound by the first touch of each page of memory. NumPy asks Linux for
        # large pages and torch does not: drawing 4,096 images takes half the time.
        return torch.from_numpy(np.empty(shape, np.float32))
    return torch.empty(shape, dtype=torch.float32, device=device)


def _images_at_once(tables: _Tables, dots: int) -> int:
    """How many images to draw in one go, by the largest tensor that each may need."""
    square = tables.side**2
    chords = dots * square * _CHORDS if tables.light is None else 0
    floats = max(tables.size**2 + dots * square, dots**2 * square, chords)
    return max(1, _CHUNK // floats)


def _draw(factors: Tensor, images: Tensor, tables: _Tables) -> None:
    """Write the images of `factors`, (n, 2·dots), into `images`, (n, 1, size, size)."""
    # Images come last within, so that the device runs along them however few the dots are.
    n, dots = len(factors), factors.shape[1] // 2
    values = factors.t().reshape(-1)
    centres = tables.centres.index_select(0, values).view(dots, 2, n)
    corners = tables.corners.index_select(0, values).view(dots, 2, n)
    light = _light_of_dots(values.view(dots, 2, n), centres, corners, tables)
    pixels = tables.size**2
    first_pixels = torch.arange(0, n * pixels, pixels, device=factors.device)
    starts = (corners[:, 1] * tables.size + corners[:, 0] + first_pixels).view(-1)
    canvas = images.view(-1).fill_(1)
    positions = (starts.unsqueeze(1) + tables.square).view(-1)
    canvas.scatter_reduce_(0, positions, light.view(-1), "amin")
    if dots > 1:
        _draw_meeting_rims(canvas, centres, corners, starts, tables)


def _light_of_dots(values: Tensor, centres: Tensor, corners: Tensor, tables: _Tables) -> Tensor:
    """The square of each dot alone: (dot·n, side·side); the arguments are (dot, 2, n)."""
    if tables.light is not None:
        cells = values[:, 1] * len(tables.centres) + values[:, 0]
        return tables.light.index_select(0, cells.view(-1))
    offsets = centres - corners
    x, y = offsets[:, 0].reshape(-1), offsets[:, 1].reshape(-1)
    return _light_around_disc(x, y, tables.radius, tables.side)


def _draw_meeting_rims(
    canvas: Tensor, centres: Tensor, corners: Tensor, starts: Tensor, tables: _Tables
) -> None:
    """Rewrite the pixels through which the rims of two or more dots pass.

    Any other pixel is right already: it is white, black, or partly covered by a single dot.

    Args:
        canvas: (n·size·size,), written in place.
        centres: (dot, 2, n), the dots' centres.
        corners: (dot, 2, n), the first pixel of each dot's square.
        starts: (dot·n,), the position in `canvas` of that pixel.
        tables: The tables of this device.
    """
    dots, _, n = centres.shape
    gaps = (centres.unsqueeze(1) - centres).square_().sum(dim=2)  # (dot, dot, n), squared
    near = gaps < (2 * (tables.radius + _RIM)) ** 2
    # Two dots meet within the square of either: the earlier one's is searched.
    crowded = (near & tables.earlier).any(dim=1).view(-1).nonzero().view(-1)
    if len(crowded) == 0:
        return
    origins = corners.permute(1, 0, 2).reshape(2, -1).index_select(1, crowded)
    centres = centres.index_select(2, crowded % n) - origins  # (dot, 2, square)
    starts = starts.index_select(0, crowded)
    shared = _shared_rims(centres, tables).nonzero()
    for part in shared.split(max(1, _CHUNK // (2 * dots * _CHORDS))):
        rows, columns, squares = part.unbind(1)
        inside = centres.index_select(2, squares) - torch.stack((columns, rows))
        light = _light_around_union(inside, tables)
        canvas.index_copy_(0, starts.index_select(0, squares) + rows * tables.size + columns, light)


def _shared_rims(centres: Tensor, tables: _Tables) -> Tensor:
    """Which pixels of each square may be partly covered by two dots or more.

    Args:
        centres: (dot, 2, square), all dots' centres, in pixels from the square's first corner.
        tables: The tables of this device.

    Returns:
        (side, side, square), booleans: rows, columns and squares.
    """
    offsets = (centres - tables.middles.view(-1, 1, 1, 1)).square_()  # (side, dot, 2, square)
    distances = (
        offsets[:, None, :, 1] + offsets[None, :, :, 0]
    )  # (side, side, dot, square), squared
    nearest = max(tables.radius - _RIM, 0.0) ** 2
    farthest = (tables.radius + _RIM) ** 2
    on_rim = distances.sub_((nearest + farthest) / 2).abs_() <= (farthest - nearest) / 2
    return on_rim.sum(dim=2) > 1


def _light_around_union(centres: Tensor, tables: _Tables) -> Tensor:
    """The share of single pixels that several discs together leave uncovered, by their chords.

    Args:
        centres: (dot, 2, pixel), the centres in pixels from each pixel's first corner.
        tables: The tables of this device.

    Returns:
        (pixel,) in [0, 1].
    """
    x, y = centres.unsqueeze(2).unbind(1)  # (dot, 1, pixel) each
    halves = (tables.radius**2 - (tables.chords - y).square_()).clamp_(min=0).sqrt_()
    ends = torch.stack((x - halves, x + halves), dim=1).clamp_(0, 1)
    lefts, rights = zip(*_sorted(ends), strict=True)  # (chord, pixel) each
    # With as many ends as beginnings passed, what comes before the next beginning is uncovered.
    light = lefts[0] + 1 - rights[-1]
    for left, right in zip(lefts[1:], rights[:-1], strict=True):
        light += (left - right).clamp_(min=0)
    return light.mean(dim=0)


def _sorted(values: Tensor) -> list[Tensor]:
    """Sort along the first, short dimension by exchanges: many times faster than `torch.sort`."""
    rows = list(values.unbind(0))
    for last in range(len(rows) - 1, 0, -1):
        for i in range(last):
            first, second = rows[i], rows[i + 1]
            rows[i], rows[i + 1] = torch.minimum(first, second), torch.maximum(first, second)
    return rows
