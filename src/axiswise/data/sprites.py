"""Sprites: dSprites' factors (Matthey et al. 2017), drawn on the fly instead of downloaded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from axiswise.data.drawn import Drawn
from axiswise.data.family import OURS, data_set

_SHAPES = ("square", "ellipse", "heart")
_SCALES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_ORIENTATIONS = 40
_POSITIONS = 32
# In 128ths of the image's side: centres lie at 33, 35, … 95, and a sprite of scale 1 reaches 32
# far, so that it stays off the edges. In images of 64 pixels, centres are the middles of pixels.
_PARTS = 128
_FIRST, _STEP, _REACH = 33, 2, 32

# The heart (x² + y² − 1)³ ≤ x²y³ fits into a circle of this radius around a centre this far up.
_HEART_CENTRE, _HEART_RADIUS = 0.25, 1.25

_SAMPLES = 8  # along each side of a pixel
_CHUNK = 2**22  # floats that each step of drawing may handle at once


@data_set("Sprites", licence=OURS)
class Sprites(Drawn["_Table"]):
    """White squares, ellipses and hearts on black, by dSprites' six factors.

    The factors, in dSprites' order: colour (1 value), shape (square, ellipse, heart), scale (6,
    from 0.5 to 1), orientation (40, evenly over a turn), x (32, to the right) and y (32,
    downwards). As in dSprites a square looks alike after each quarter of a turn, an ellipse after
    each half. A sprite of scale 1 fits into a circle whose radius is a quarter of the image's side.

    Images do not depend on the device. The table of sprites is made at the first drawing on a
    device, which takes about a second.

    Args:
        size: Height and width of the images in pixels, a multiple of 16.
        antialiased: A pixel is the share of it that the sprite covers (in 64ths); False for 0 or 1,
            as in dSprites.

    Raises:
        ValueError: `size` is no such number.
    """

    def __init__(self, size: int = 64, antialiased: bool = True) -> None:
        if size < 16 or size % 16:  # others put centres at too many places within a pixel
            raise ValueError(f"size must be a positive multiple of 16, got {size}")
        super().__init__()
        self.size = size
        self.antialiased = antialiased
        self.shape = (1, size, size)
        self.factor_sizes = (1, len(_SHAPES), len(_SCALES), _ORIENTATIONS, _POSITIONS, _POSITIONS)
        self.factor_names = ("colour", "shape", "scale", "orientation", "x", "y")

    def __repr__(self) -> str:
        return f"Sprites(size={self.size}, antialiased={self.antialiased})"

    def _make_tables(self, device: torch.device) -> _Table:
        size = self.size
        # In 128ths of a pixel: integers, so that equal places within a pixel are found exactly.
        centres = size * (_FIRST + _STEP * torch.arange(_POSITIONS, device="cpu"))
        first, last = centres - _REACH * size, centres + _REACH * size - 1
        side = int((last // _PARTS - first // _PARTS).max()) + 1
        corners = (first // _PARTS).clamp(max=size - side)
        places, phases = (centres - _PARTS * corners).unique(return_inverse=True)
        y, x = torch.meshgrid([torch.arange(side, device="cpu")] * 2, indexing="ij")
        squares = _sprites(places / _PARTS, side, size * _REACH / _PARTS)
        if not self.antialiased:
            squares = (squares >= 0.5).to(squares)
        return _Table(
            size=size,
            chunk=max(1, _CHUNK // size**2),
            corners=corners.to(device),
            phases=phases.to(device),
            phase_count=len(places),
            pixels=(y * size + x).flatten().to(device),
            sprites=squares.flatten(0, -3).flatten(1).to(device),
        )

    def _draw(self, factors: Tensor, images: Tensor, tables: _Table) -> None:
        _, shape, scale, orientation, x, y = factors.unbind(1)
        sprite = (shape * len(_SCALES) + scale) * _ORIENTATIONS + orientation
        phase = tables.phases[y] * tables.phase_count + tables.phases[x]
        squares = tables.sprites[sprite * tables.phase_count**2 + phase]
        starts = tables.corners[y] * tables.size + tables.corners[x]
        images.zero_().flatten(1).scatter_(1, starts[:, None] + tables.pixels, squares)


@dataclass(frozen=True)
class _Table:
    """What drawing looks up on one device. A sprite covers a square of the image at most."""

    size: int  # of the images
    chunk: int  # images to draw in one go
    corners: Tensor  # (position,), the first pixel of the squares, in x and in y
    phases: Tensor  # (position,), which of the places of a centre within its pixel it has
    phase_count: int  # of such places
    pixels: Tensor  # (side·side,), positions in an image of the pixels of its first square
    sprites: Tensor  # (sprite · phase in y · phase in x, side·side) float32, the finished squares


def _sprites(offsets: Tensor, side: int, reach: float) -> Tensor:
    """All sprites at all places in a pixel: the covered share of the pixels of their squares.

    `offsets` are (phase,), coordinates of a centre in its square, and `reach` the radius of a
    sprite of scale 1, in pixels; returned is (shape, scale, orientation, phase in y, phase in x,
    side, side).
    """
    samples = torch.arange(side * _SAMPLES, dtype=torch.float32, device="cpu")
    samples = (samples + 0.5) / _SAMPLES
    coordinates = (samples - offsets[:, None]) / reach
    y, x = coordinates[:, None, :, None], coordinates[None, :, None, :]
    turns = torch.arange(_ORIENTATIONS, dtype=torch.float32, device="cpu")
    angles = turns * (2 * math.pi / _ORIENTATIONS)
    rows = []
    for angle in angles:
        right, down = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
        inside = [
            [_inside(shape, right / scale, down / scale) for scale in _SCALES] for shape in _SHAPES
        ]
        covered = torch.stack([torch.stack(by_scale) for by_scale in inside]).float()
        rows.append(
            covered.unflatten(-1, (side, _SAMPLES)).unflatten(-3, (side, _SAMPLES)).mean((-3, -1))
        )
    return torch.stack(rows, 2)


def _inside(shape: str, right: Tensor, down: Tensor) -> Tensor:
    """Which samples lie in an upright shape that just fits into a unit circle."""
    if shape == "square":
        return torch.maximum(right.abs(), down.abs()) <= math.sqrt(0.5)
    if shape == "ellipse":
        return right**2 + (2 * down) ** 2 <= 1
    x = right * _HEART_RADIUS
    y = _HEART_CENTRE - down * _HEART_RADIUS
    return (x**2 + y**2 - 1) ** 3 <= x**2 * y**3
