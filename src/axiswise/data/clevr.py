"""CLEVR's scenes, drawn on the fly by a renderer of our own instead of downloaded.

Johnson et al., CLEVR: A Diagnostic Dataset for Compositional Language and Elementary Visual
Reasoning, CVPR 2017, arXiv 1612.06890. The variants with few factors are those of the Hessian
Penalty (Peebles et al. 2020, arXiv 2008.10599) and of OroJaR.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from axiswise.data.clevr_renderer import CAMERA, CUBE, NOTHING, Bodies, Renderer
from axiswise.data.drawn import Drawn
from axiswise.data.factors import uniform_factors, uniform_integers
from axiswise.data.family import OURS, data_set
from axiswise.support.checks import check_count

# CLEVR's, in 255ths: gray, red, blue, green, brown, purple, cyan, yellow.
_COLOURS = (
    *((87, 87, 87), (173, 35, 35), (42, 75, 215), (29, 105, 20)),
    *((129, 74, 25), (129, 38, 192), (41, 208, 208), (255, 238, 51)),
)
_RED = 1
_RUBBER, _METAL = 0, 1
_HALF_SIZES = (0.7, 0.35)
# A row describes a body by integers: places in thousandths from −3 on, turns in degrees.
_ROW = {"colour": 8, "shape": 4, "x": 6001, "y": 6001, "size": 2, "material": 2, "turn": 360}
_UNITS = 1000
_EDGE = 3
_STEPS = 61  # places that a factor has, 0.1 apart
_STEP = 2 * _UNITS * _EDGE // (_STEPS - 1)
_FACTORS = {"colour": 8, "shape": 3, "x": _STEPS, "y": _STEPS, "size": 2}

Variant = Literal["simple", "complex", "1fov", "full"]

# What is the same in all scenes of a variant, body by body; the rest are its factors.
_LARGE = {"size": 0, "material": _RUBBER, "turn": 0}
_FIXED: dict[str, tuple[Mapping[str, int], ...]] = {
    "simple": (_LARGE,),
    # The materials tell the two apart, so that no two rows of factors stand for one image.
    "complex": ({"material": _METAL, "turn": 0}, {"material": _RUBBER, "turn": 0}),
    "1fov": ({**_LARGE, "colour": _RED, "shape": CUBE, "y": _UNITS * _EDGE},),
}
_FEWEST, _MOST = 3, 10  # bodies of full
_GAP, _MARGIN = 0.25, 0.4
_TRIES = 64  # places to try for a body before its whole scene starts anew
_CHUNK = 1024  # scenes of full to lay out in one go


@data_set(
    "Clevr",
    licence=OURS,
    variants={
        "Clevr-simple": lambda: Clevr("simple"),
        "Clevr-complex": lambda: Clevr("complex"),
        "Clevr-1fov": lambda: Clevr("1fov"),
        "Clevr-full": lambda: Clevr("full"),
    },
)
class Clevr(Drawn[Renderer]):
    """Cubes, spheres and cylinders on a grey ground, in CLEVR's colours, light and view.

    Bodies have a half-size of 0.7 or 0.35 and stand at places in [−3, 3]². There are four variants:

    - "simple": a large rubber body. Factors: colour (8 values: gray, red, blue, green, brown,
      purple, cyan, yellow), shape (cube, sphere, cylinder), x and y (61 values each, from −3 to 3).
    - "complex": a metal body and a rubber one. Factors: those of "simple" and size (0.7, 0.35) of
      the first ("colour0" …), then of the second. All are independent: bodies may meet.
    - "1fov": a large red cube. Factor: x.
    - "full": 3 to 10 bodies of any kind, turned about the vertical. Centres are at least 0.25 and
      both half-sizes apart, and 0.4 along the camera's left and front. There are no factors: `draw`
      lays the scenes out, and gives 7 integers for each of 10 bodies: colour, shape (3 is none), x
      and y in thousandths from −3 on, size, material (rubber, metal), turn in degrees.

    In the images x points right and towards the camera, y right and away from it.
    Images do not depend on the batch that they are drawn in nor, up to rounding, on the device.

    Args:
        variant: "simple", "complex", "1fov" or "full".
        size: Height and width of the images in pixels, 8 to 1024.

    Raises:
        ValueError: `variant` or `size` is none of these.
    """

    def __init__(self, variant: Variant = "simple", size: int = 128) -> None:
        variants = (*_FIXED, "full")
        if variant not in variants:
            raise ValueError(f"variant must be one of {', '.join(variants)}, got {variant!r}")
        super().__init__()
        self.variant: Variant = variant
        self.size = check_count("size", size, 8, 1024)
        self.shape = (3, self.size, self.size)
        if variant == "full":
            return
        fixed = _FIXED[variant]
        varied = [
            (number, name) for number, row in enumerate(fixed) for name in _ROW if name not in row
        ]
        self.factor_sizes = tuple(_FACTORS[name] for _, name in varied)
        self.factor_names = tuple(
            f"{name}{number}" if len(fixed) > 1 else name for number, name in varied
        )

    def __repr__(self) -> str:
        return f"Clevr({self.variant!r}, size={self.size})"

    @property
    def _drawn_sizes(self) -> tuple[int, ...]:
        return tuple(_ROW.values()) * _MOST if self.variant == "full" else self.factor_sizes

    def sample_factors(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Draw `n` rows of factors, each uniform and independent.

        Raises:
            ValueError: `n` is negative, or the variant is "full".
        """
        if self.variant == "full":
            raise ValueError("Clevr('full') has no factors to sample; draw lays out scenes")
        return super().sample_factors(n, rng)

    def draw(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Choose `n` images at random: `sample_factors`, or scenes of "full", (n, 70)."""
        return _scenes(n, rng) if self.variant == "full" else self.sample_factors(n, rng)

    def _make_tables(self, device: torch.device) -> Renderer:
        return Renderer(self.size, device)

    def _draw(self, factors: Tensor, images: Tensor, tables: Renderer) -> None:
        if self.variant == "full":
            rows = factors.view(len(factors), _MOST, len(_ROW))
        else:
            rows = self._rows(factors)
        tables.draw([_bodies(part) for part in rows.unbind(1)], images)

    def _rows(self, factors: Tensor) -> Tensor:
        """Rows (n, body, column) of scenes that have these factors."""
        columns = iter(factors.unbind(1))
        bodies = []
        for fixed in _FIXED[self.variant]:
            row = []
            for name in _ROW:
                if name in fixed:
                    row.append(factors.new_full((len(factors),), fixed[name]))
                else:
                    row.append(next(columns) * (_STEP if name in ("x", "y") else 1))
            bodies.append(torch.stack(row, 1))
        return torch.stack(bodies, 1)


def _bodies(rows: Tensor) -> Bodies:
    """What rows (n, column) describe."""
    colour, shape, x, y, size, material, turn = rows.unsqueeze(1).unbind(2)

    def looked_up(values: list[float], at: Tensor) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=rows.device)[at]

    # Tables, so that an image does not depend on how a device works out a cosine.
    angles = [math.radians(degrees) for degrees in range(_ROW["turn"])]
    red, green, blue = (
        looked_up([part / 255 for part in parts], colour) for parts in zip(*_COLOURS, strict=True)
    )
    return Bodies(
        shape=shape,
        half=looked_up(list(_HALF_SIZES), size),
        x=(x - _UNITS * _EDGE).to(torch.float32) / _UNITS,
        y=(y - _UNITS * _EDGE).to(torch.float32) / _UNITS,
        cos=looked_up([math.cos(angle) for angle in angles], turn),
        sin=looked_up([math.sin(angle) for angle in angles], turn),
        metal=material.to(torch.float32),
        red=red,
        green=green,
        blue=blue,
    )


def _scenes(n: int, rng: torch.Generator | None) -> Tensor:
    """Draw scenes of full, (n, body · column)."""
    sizes = {**_ROW, "shape": NOTHING}
    rows = uniform_factors(tuple(sizes.values()) * _MOST, n, rng).view(n, _MOST, len(_ROW))
    counts = uniform_integers(_MOST - _FEWEST + 1, n, rng) + _FEWEST
    columns = list(_ROW)
    halves = torch.tensor(_HALF_SIZES, dtype=torch.float64, device=rows.device)
    halves = halves[rows[:, :, columns.index("size")]]
    is_cube = rows[:, :, columns.index("shape")] == CUBE
    reach = halves * torch.where(is_cube, math.sqrt(2), 1.0)  # so that turned cubes never meet
    missing = torch.arange(_MOST, device=rows.device) >= counts[:, None]
    places = torch.zeros(n, _MOST, 2, dtype=torch.int64, device=rows.device)
    todo = torch.arange(n, device=rows.device)
    while len(todo):
        again = []
        for part in todo.split(_CHUNK):
            found, is_right = _placed(halves[part], reach[part], missing[part], rng)
            places[part] = found
            again.append(part[~is_right])
        todo = torch.cat(again)
    rows[:, :, columns.index("x")], rows[:, :, columns.index("y")] = places.unbind(2)
    rows[:, :, columns.index("shape")].masked_fill_(missing, NOTHING)
    return rows.flatten(1)


def _placed(
    halves: Tensor, reach: Tensor, missing: Tensor, rng: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Place bodies one after the other: places (n, body, 2), and which scenes (n,) came out right.

    Where none of the tries of a body is far enough from those before it, the scene has failed.
    """
    n, device = len(halves), halves.device
    away = math.hypot(CAMERA[0], CAMERA[1])
    front = (CAMERA[0] / away, CAMERA[1] / away)
    left = (front[1], -front[0])
    places = torch.zeros(n, _MOST, 2, dtype=torch.int64, device=device)
    right = torch.ones(n, dtype=torch.bool, device=device)
    for body in range(_MOST):
        tried = uniform_integers(_ROW["x"], n * _TRIES * 2, rng).view(n, _TRIES, 2)
        fits = torch.ones(n, _TRIES, dtype=torch.bool, device=device)
        for other in range(body):
            apart = (tried - places[:, None, other]).to(torch.float64) / _UNITS
            least = _GAP + halves[:, body] + halves[:, other]
            least = torch.maximum(least, reach[:, body] + reach[:, other])[:, None]
            fits &= apart.square().sum(2) >= least.square()
            for x, y in (front, left):
                fits &= (apart[:, :, 0] * x + apart[:, :, 1] * y).abs() >= _MARGIN
        first = torch.arange(_TRIES, device=device).where(fits, _TRIES - 1).amin(1)
        places[:, body] = tried[torch.arange(n, device=device), first]
        right &= fits.any(1) | missing[:, body]
    return places, right
