"""Three-dots, the data set of JL1-VAE: black dots on a white ground, drawn on the fly.

Rhodes & Lee, Local Disentanglement in Variational Auto-Encoders Using Jacobian L1 Regularization,
NeurIPS 2021, arXiv 2106.02923.

Drawing is bound by memory traffic, so each image is written once, and then touched only where its
dots are: a table has the finished square of pixels around a dot for each of its positions. Where
dots meet, the darker of two squares is right except in pixels through which the rims of two dots
pass; for those few the union is worked out on the spot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from axiswise.data.drawn import Drawn
from axiswise.data.family import OURS, data_set
from axiswise.support.checks import check_count

# The paper's disc, in pixels of its 64 x 64 images.
_PAPER_SIZE = 64
_PAPER_RADIUS = 5.17
_PAPER_SHIFT = 0.05

_SAMPLES = 5  # along each side of a pixel
_RIM = 0.71  # a circle through a pixel passes its middle within half a diagonal, 0.7071
_TABLE_LIMIT = 2**24  # floats in the table of squares: 64 MiB
_CHUNK = 2**21  # floats that each step of drawing may handle at once


@data_set("ThreeDots", licence=OURS)
class ThreeDots(Drawn["_Tables"]):
    """White images with black dots, whose factors are the dots' positions.

    Factor 2i is the x of dot i (to the right) and factor 2i + 1 its y (downwards). A factor f puts
    the centre at size·f / (values − 1) + 0.05·size / 64 pixels from the image's left or upper edge.
    A pixel's value is the share of it that the union of the dots leaves uncovered: 1 is white.
    With the default arguments these are the paper's images, up to their own sampling (mean absolute
    difference 0.0002, largest 0.08).

    The share is the mean over 5 × 5 samples in a pixel, each weighed by how far inside or outside
    the dots it lies: it is off by 0.0015 on average where dots have a rim, by 0.03 at most.
    Images do not depend on the order of the dots nor, up to rounding, on the device.

    Args:
        size: Height and width of the images in pixels, at least 1.
        radius: Radius of the dots in pixels, above 0; None is the paper's, 5.17·size / 64.
        dots: Number of dots, at least 1.
        values: Number of values of each factor, at least 2.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(
        self, size: int = 64, radius: float | None = None, dots: int = 3, values: int = 64
    ) -> None:
        check_count("size", size)
        check_count("dots", dots, 1, 1000)
        check_count("values", values, 2, 2**24)
        if radius is None:
            radius = _PAPER_RADIUS * size / _PAPER_SIZE
        if not 0 < radius < math.inf:
            raise ValueError(f"radius must be a finite number of pixels above 0, got {radius}")
        super().__init__()
        self.size = size
        self.radius = float(radius)
        self.dots = dots
        self.values = values
        self.shape = (1, size, size)
        self.factor_sizes = (values,) * (2 * dots)
        self.factor_names = tuple(f"{axis}{dot}" for dot in range(dots) for axis in "xy")

    def __repr__(self) -> str:
        return (
            f"ThreeDots(size={self.size}, radius={self.radius}, dots={self.dots}, "
            f"values={self.values})"
        )

    def _make_tables(self, device: torch.device) -> _Tables:
        size, radius, values = self.size, self.radius, self.values
        side = min(math.ceil(2 * radius) + 1, size)
        steps = torch.arange(values, dtype=torch.float64, device="cpu") / (values - 1)
        centres = (size * (steps + _PAPER_SHIFT / _PAPER_SIZE)).to(device, torch.float32)
        corners = (centres - radius).floor().clamp(0, size - side)
        pixels = torch.arange(side, device=device)
        y, x = torch.meshgrid(pixels, pixels, indexing="ij")
        samples = torch.arange(side * _SAMPLES, dtype=torch.float32, device=device) + 0.5
        farthest = (2 * (radius + _RIM)) ** 2
        reach = torch.full((self.dots,) * 2, farthest, dtype=torch.float32, device=device)
        fits = (values * side) ** 2 <= _TABLE_LIMIT
        # The largest tensors that drawing an image may need: positions, light, distances to rims.
        floats = (
            size**2,
            self.dots * side**2 * (1 if fits else _SAMPLES**2),
            (self.dots * side) ** 2,
        )
        return _Tables(
            size=size,
            radius=radius,
            chunk=max(1, _CHUNK // max(floats)),
            centres=centres,
            corners=corners.to(torch.int32),
            light=_light_table(centres - corners, radius, samples) if fits else None,
            square=(y * size + x).flatten().to(torch.int32),
            pixels=torch.stack((x, y)).flatten(1).to(torch.float32),
            middles=pixels.to(torch.float32) + 0.5,
            samples=samples,
            samples_of_pixel=samples[:_SAMPLES],
            reach=reach.triu(diagonal=1).unsqueeze(2),
        )

    def _draw(self, factors: Tensor, images: Tensor, tables: _Tables) -> None:
        n = factors.shape[0]
        corners = tables.corners.index_select(0, factors.view(-1)).view(-1, 2)
        x, y = corners.unbind(1)
        starts = torch.add(x, y, alpha=tables.size)
        positions = (starts.unsqueeze(1) + tables.square).to(torch.int64)
        light = _light_of_dots(factors.view(-1, 2), corners, tables)
        canvas = images.view(n, -1).fill_(1)
        canvas.scatter_reduce_(1, positions.view(n, -1), light.view(n, -1), "amin")
        _draw_meeting_rims(canvas.view(-1), factors, corners, starts, tables)


@dataclass(frozen=True)
class _Tables:
    """What drawing looks up on one device. A dot's square is the part of the image it can cover."""

    size: int  # of the images
    radius: float
    chunk: int  # images to draw in one go
    centres: Tensor  # (value,) float32, coordinate of a dot's centre in the image
    corners: Tensor  # (value,) int32, the first pixel of its square, which is within the image
    # (value of y · values + value of x, side·side) float32, the uncovered share of the pixels of a
    # square with one dot; None where the table would be too large.
    light: Tensor | None
    square: Tensor  # (side·side,) int32, positions in an image of the pixels of its first square
    pixels: Tensor  # (x and y, side·side) float32, coordinates of the corners of these pixels
    middles: Tensor  # (side,) float32, coordinates of the middles of a row of pixels
    samples: Tensor  # (side·sample,) float32, coordinates of a row of samples, in their distance
    samples_of_pixel: Tensor  # (sample,), those of the first pixel
    # (dot, dot, 1) float32, the squared distance within which the rims of two dots can share a
    # pixel; 0 unless the first comes before the second, so that pairs count once.
    reach: Tensor


def _light_table(offsets: Tensor, radius: float, samples: Tensor) -> Tensor:
    """The squares of all pairs of values: (value of y · values + value of x, side·side)."""
    values = len(offsets)
    cells = torch.arange(values**2, device=offsets.device)
    parts = [
        _light(offsets[torch.stack((cell % values, cell // values)).unsqueeze(1)], radius, samples)
        for cell in cells.split(max(1, _CHUNK // len(samples) ** 2))
    ]
    return torch.cat(parts, dim=2).flatten(0, 1).t().contiguous()


def _light(centres: Tensor, radius: float, samples: Tensor) -> Tensor:
    """The share of each pixel of a square that a disc, or several together, leave uncovered.

    A sample represents the cell around it, which a disc's edge crosses as a straight line.
    `centres` is (x and y, dot, square), in pixels from the square's corner; `samples` is
    (side·samples a side of a pixel,), in units of their distance; returned is (side, side, square).
    """
    distances = _squared_distances(samples, centres * _SAMPLES).amin(dim=2).sqrt_()
    light = distances.sub_(_SAMPLES * radius - 0.5).clamp_(0, 1)  # (sample, sample, square)
    side = samples.shape[0] // _SAMPLES
    return light.view(side, _SAMPLES, side, _SAMPLES, -1).mean(dim=(1, 3))


def _squared_distances(grid: Tensor, centres: Tensor) -> Tensor:
    """From a grid's nodes to centres, (x and y, dot, square): (node, node, dot, square)."""
    across, down = (grid.view(-1, 1, 1, 1) - centres).square_().unbind(1)
    return down.unsqueeze(1) + across


def _light_of_dots(places: Tensor, corners: Tensor, tables: _Tables) -> Tensor:
    """The square of each dot alone: (n·dot, side·side); the arguments are (n·dot, x and y)."""
    if tables.light is None:
        offsets = (tables.centres[places] - corners).t().unsqueeze(1)
        return _light(offsets, tables.radius, tables.samples).flatten(0, 1).t().contiguous()
    x, y = places.unbind(1)
    return tables.light.index_select(0, torch.add(x, y, alpha=tables.centres.shape[0]))


def _draw_meeting_rims(
    canvas: Tensor, factors: Tensor, corners: Tensor, starts: Tensor, tables: _Tables
) -> None:
    """Rewrite the pixels through which the rims of two or more dots pass.

    Any other pixel is right already: it is white, black, or partly covered by a single dot.
    `canvas` is (n·size·size,), written in place; `corners` (n·dot, x and y), the first pixel of
    each dot's square; `starts` (n·dot,), the same as a position in an image.
    """
    # Images and squares come last from here on: vectors run along them, as the dots are few.
    n, dots = factors.shape[0], factors.shape[1] // 2
    places = factors.view(n, dots, 2).permute(2, 1, 0).reshape(-1)
    centres = tables.centres.index_select(0, places).view(2, dots, n)
    gaps = (centres.unsqueeze(2) - centres.unsqueeze(1)).square_().sum(dim=0)  # (dot, dot, n)
    # Two dots meet within the square of either: that of the earlier one is searched.
    dot, image = (gaps < tables.reach).any(dim=1).nonzero().unbind(1)
    if image.shape[0] == 0:
        return
    square = torch.add(dot, image, alpha=dots)
    starts = torch.add(starts.index_select(0, square), image, alpha=tables.size**2)
    corners = corners.index_select(0, square).t().unsqueeze(1)
    centres = centres.index_select(2, image) - corners
    shared = _shared_rims(centres, tables).nonzero()
    for part in shared.split(max(1, _CHUNK // (dots * _SAMPLES**2))):
        pixel, square = part.unbind(1)
        corners = tables.pixels.index_select(1, pixel).unsqueeze(1)
        centres_in_pixel = centres.index_select(2, square) - corners
        light = _light(centres_in_pixel, tables.radius, tables.samples_of_pixel)
        position = starts.index_select(0, square) + tables.square.index_select(0, pixel)
        canvas.index_copy_(0, position, light.view(-1))


def _shared_rims(centres: Tensor, tables: _Tables) -> Tensor:
    """Which pixels, (side·side, square), may be partly covered by two or more of all dots."""
    nearest = max(tables.radius - _RIM, 0.0) ** 2
    farthest = (tables.radius + _RIM) ** 2
    distances = _squared_distances(tables.middles, centres).sub_((nearest + farthest) / 2)
    on_rim = distances.abs_() <= (farthest - nearest) / 2  # (side, side, dot, square)
    return (on_rim.sum(dim=2) > 1).flatten(0, 1)
