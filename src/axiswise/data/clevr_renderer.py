"""CLEVR's look by ray casting: cubes, spheres and cylinders on a grey ground, many scenes at once.

Four rays a pixel find the bodies; the ground is smooth, so that it is lit once a pixel. Rays are
followed only where they pass a body's bounding sphere, and shadow rays, several for each lamp,
only from where that sphere can come between. The sole operations on pixels are those whose results
are the same wherever an element lies in memory (sums, products, quotients and roots, no powers or
exponentials): an image does not depend on the batch that it is drawn in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

CUBE, SPHERE, CYLINDER, NOTHING = range(4)
CAMERA = (7.48, -6.51, 5.34)
FOCAL_LENGTH = 35 / 32  # of the lens by the sensor's side, both in mm

_REACH = (math.sqrt(3), 1.0, math.sqrt(2), 0.0)  # radius of the bounding sphere, in half-sizes
_CHUNK = 2**17  # pixels that each step of drawing may handle at once
_SUBPIXELS = ((-0.125, -0.375), (0.375, -0.125), (-0.375, 0.125), (0.125, 0.375))
_SKIN = 1e-3  # surfaces this close are one: the body that comes first in the scene is seen
_BEVEL = 0.16  # edges are shaded as if rounded by this share of the half-size
# Light between 0 and 1, before the display's curve.
_GROUND = 0.46  # share that the ground gives back
_AMBIENT = 0.18
_SKY, _HORIZON = 0.12, 0.42  # what metal mirrors, from above and from the side

Vector = Sequence[Tensor]  # x, y and z
Crossing = Callable[[Vector, Vector], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Bodies:
    """A body in each of n scenes; every tensor is a column, (n, 1).

    Attributes:
        shape: CUBE, SPHERE, CYLINDER or NOTHING.
        half: Half-size: half an edge, or a radius. The centre is as high.
        x: Place on the ground.
        y: Place on the ground.
        cos: Cosine of the turn about the vertical.
        sin: Its sine.
        metal: 1 for metal, 0 for rubber.
        red: Share of red light that it gives back, in [0, 1].
        green: Of green light.
        blue: Of blue light.
    """

    shape: Tensor
    half: Tensor
    x: Tensor
    y: Tensor
    cos: Tensor
    sin: Tensor
    metal: Tensor
    red: Tensor
    green: Tensor
    blue: Tensor

    def take(self, rows: Tensor) -> Bodies:
        """Those in some rows, (m,)."""
        return Bodies(*(getattr(self, field.name).index_select(0, rows) for field in fields(self)))

    def reach(self) -> Tensor:
        """Radius of the bounding sphere."""
        reach = torch.tensor(_REACH, dtype=torch.float32, device=self.half.device)
        return reach[self.shape] * self.half

    def inward(self, points: Vector) -> Vector:
        """Places in the body's own frame, where its half-size is 1."""
        return self.turned((points[0] - self.x, points[1] - self.y, points[2] - self.half))

    def turned(self, vectors: Vector) -> Vector:
        """Directions in that frame."""
        x, y, z = vectors
        cos, sin = self.cos / self.half, self.sin / self.half
        return x * cos + y * sin, y * cos - x * sin, z / self.half


@dataclass(frozen=True)
class _Lamp:
    place: tuple[float, float, float]
    radius: float
    strength: float  # light that a surface at the origin gets where it faces the lamp
    shine: float  # of its image on metal
    samples: int


# The sun's place is that of CLEVR, ten times as far.
_LAMPS = (
    _Lamp((6.45, -2.91, 4.26), 0.6, 0.68, 1.0, 24),
    _Lamp((-4.67, -4.01, 3.01), 0.8, 0.12, 0.6, 16),
    _Lamp((-1.17, 2.65, 5.82), 0.8, 0.09, 0.8, 16),
    _Lamp((117.0, -66.0, 258.0), 16.0, 0.09, 0.3, 12),
)
_SOFTENED = 120.0  # squared distance added to that of a lamp, which is no point


@dataclass(frozen=True)
class _Hit:
    """Where one body of each scene may be seen: m pixels, of whose subpixels some show it."""

    scenes: Tensor  # (m,)
    pixels: Tensor  # (m,), positions among those of all images
    rays: Vector  # (m, subpixel)
    near: Tensor  # (m, subpixel), distance from the camera
    seen: Tensor  # (m, subpixel), bool
    body: Bodies  # (m, 1)


class Renderer:
    """Draws scenes on one device.

    Args:
        size: Height and width of the images in pixels.
        device: Where to draw.

    Attributes:
        chunk: Images to draw in one go.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        self.size, self.chunk = size, max(1, _CHUNK // size**2)
        self.rays = _rays(size, _SUBPIXELS, device)  # (size², subpixel)
        self.middles = [part.view(1, -1) for part in _rays(size, ((0.0, 0.0),), device)]
        distance = CAMERA[2] / -self.middles[2]
        x, y = (CAMERA[axis] + distance * self.middles[axis] for axis in (0, 1))
        still = torch.zeros_like(x)
        self.ground = (x, y, still)  # (1, size²)
        self.lamps = [(lamp, _spread(lamp, device)) for lamp in _LAMPS]
        self.lit = [_light(self.ground, (still, still, still + 1), lamp) for lamp in _LAMPS]

    def draw(self, scene: Sequence[Bodies], images: Tensor) -> None:
        """Draw scenes.

        Args:
            scene: The first body of each of n scenes, the second, and so on.
            images: (n, 3, size, size), written: light in [0, 1] as a display takes it.
        """
        n, pixels = images.shape[0], self.size**2
        light = [images.new_zeros(n * pixels) for _ in range(3)]
        cover = images.new_zeros(n * pixels)
        for number, hit in enumerate(self._hits(scene, n)):
            cover[hit.pixels] += _mean(hit.seen.to(cover))
            for into, colour in zip(light, self._shade(scene, number, hit), strict=True):
                into[hit.pixels] += _mean(torch.where(hit.seen, colour.clamp(0, 1), 0.0))
        ground = self._ground(scene, n).view(-1) * (1 - cover)
        for channel, colour in enumerate(light):
            shown = colour.add_(ground).clamp_(0, 1).sqrt_()  # about the curve of sRGB
            images[:, channel].copy_(shown.view(n, self.size, self.size))

    def _ground(self, scene: Sequence[Bodies], n: int) -> Tensor:
        """Light that comes from the ground, (n, size²): bodies stand in the way of lamps only."""
        total = self.ground[0].new_full((n, self.size**2), _AMBIENT)
        for body in scene:
            total *= 1 - 0.8 * _hidden_sky(body, *self.ground[:2])
        for (lamp, samples), lit in zip(self.lamps, self.lit, strict=True):
            part = lit.repeat(n, 1)
            for body in scene:
                scenes, places = _between(self.ground, body, lamp).nonzero().unbind(1)
                starts = [coordinate[0, places].unsqueeze(1) for coordinate in self.ground]
                part[scenes, places] *= 1 - _shadow(starts, body.take(scenes), samples)
            total += part
        return total.mul_(_GROUND)

    def _hits(self, scene: Sequence[Bodies], n: int) -> list[_Hit]:
        """Where each body is seen, the nearest at each subpixel."""
        pixels = self.size**2
        nearest = self.rays[0].new_full((n * pixels, len(_SUBPIXELS)), math.inf)
        owner = torch.full_like(nearest, -1, dtype=torch.int8)
        found = []
        for number, body in enumerate(scene):
            scenes, places = self._in_view(body).nonzero().unbind(1)
            index, taken = scenes * pixels + places, body.take(scenes)
            rays = [part[places] for part in self.rays]
            near = torch.full_like(rays[0], math.inf)
            for rows, some, cross in _by_shape(taken):
                starts = some.inward([near.new_full((1, 1), start) for start in CAMERA])
                enter, leave = cross(starts, some.turned([part[rows] for part in rays]))
                near[rows] = torch.where((enter < leave) & (enter > 0), enter, math.inf)
            before = nearest[index]
            nearest[index] = torch.minimum(near, before)
            owner[index] = torch.where(near < before - _SKIN, number, owner[index])
            found.append((scenes, index, rays, near, taken))
        return [
            _Hit(scenes, index, rays, near, owner[index] == number, taken)
            for number, (scenes, index, rays, near, taken) in enumerate(found)
        ]

    def _in_view(self, body: Bodies) -> Tensor:
        """Which pixels, (n, size²), may show a body: those whose middle passes near its sphere."""
        centre = (body.x, body.y, body.half)
        x, y, z = (part - start for part, start in zip(centre, CAMERA, strict=True))
        squared = x * x + y * y + z * z
        along = x * self.middles[0] + y * self.middles[1] + z * self.middles[2]
        reach = body.reach() + squared.sqrt() * (0.75 / (FOCAL_LENGTH * self.size))
        return (squared - along * along < reach * reach) & (body.shape != NOTHING)

    def _shade(self, scene: Sequence[Bodies], number: int, hit: _Hit) -> list[Tensor]:
        """Red, green and blue light of a body, (m, subpixel), right where it is seen."""
        body = hit.body
        distance = torch.where(hit.seen, hit.near, 10.0)
        points = [start + distance * ray for start, ray in zip(CAMERA, hit.rays, strict=True)]
        normals = _normals(body, points)
        mirrored = _mirrored(hit.rays, normals)
        diffuse = _ambient(body, points, normals)
        shine = torch.zeros_like(diffuse)
        for lamp, samples in self.lamps:
            lit = _light(points, normals, lamp)
            gleam = _gleam(points, normals, mirrored, lamp)
            for other, blocker in enumerate(scene):
                if other != number:
                    seen = 1 - _blocked(points, blocker.take(hit.scenes), lamp, samples)
                    lit, gleam = lit * seen, gleam * seen
            diffuse += lit
            shine += gleam
        metal = body.metal
        tinted = (1 - 0.75 * metal) * diffuse
        tinted += metal * (0.95 * _surroundings(body, points, mirrored) + 0.6 * shine)
        white = metal * 0.5 * shine
        return [colour * tinted + white for colour in (body.red, body.green, body.blue)]


def _rays(size: int, offsets: Sequence[tuple[float, float]], device: torch.device) -> Vector:
    """Unit directions from the camera through each pixel, row by row: (size², offset) each."""
    ahead, right, up = _frame(-torch.tensor(CAMERA, dtype=torch.float64, device="cpu"))
    place = torch.arange(size, dtype=torch.float64, device="cpu")[:, None] + 0.5
    shift = torch.tensor(offsets, dtype=torch.float64, device="cpu")
    across = ((place + shift[:, 0]) / size - 0.5) / FOCAL_LENGTH  # (size, offset)
    down = ((place + shift[:, 1]) / size - 0.5) / FOCAL_LENGTH
    rays = ahead + across[None, :, :, None] * right - down[:, None, :, None] * up
    rays = rays / rays.norm(dim=-1, keepdim=True)
    return [part.contiguous() for part in rays.flatten(0, 1).to(device, torch.float32).unbind(-1)]


def _frame(ahead: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Unit vectors ahead, to the right and up of somebody who looks that way."""
    ahead = ahead / ahead.norm()
    vertical = torch.tensor((0.0, 0.0, 1.0), dtype=torch.float64, device="cpu")
    right = torch.linalg.cross(ahead, vertical)
    right = right / right.norm()
    return ahead, right, torch.linalg.cross(right, ahead)


def _spread(lamp: _Lamp, device: torch.device) -> Vector:
    """Places evenly spread over a lamp, a disc that faces the origin: (1, sample) each."""
    place = torch.tensor(lamp.place, dtype=torch.float64, device="cpu")
    _, right, up = _frame(-place)
    number = torch.arange(lamp.samples, dtype=torch.float64, device="cpu")[:, None]
    radius = lamp.radius * ((number + 0.5) / lamp.samples).sqrt()
    angle = number * (math.pi * (3 - math.sqrt(5)))  # as seeds lie in a sunflower
    places = place + radius * (angle.cos() * right + angle.sin() * up)
    return [part.contiguous() for part in places.to(device, torch.float32)[None].unbind(-1)]


def _light(points: Vector, normals: Vector, lamp: _Lamp) -> Tensor:
    """Light of a lamp on surfaces to which nothing is in its way."""
    x, y, z = (there - here for there, here in zip(lamp.place, points, strict=True))
    squared = x * x + y * y + z * z
    facing = (x * normals[0] + y * normals[1] + z * normals[2]) / squared.sqrt()
    at_origin = sum(part * part for part in lamp.place) + _SOFTENED
    return facing.clamp_(min=0) * (lamp.strength * at_origin) / (squared + _SOFTENED)


def _gleam(points: Vector, normals: Vector, mirrored: Vector, lamp: _Lamp) -> Tensor:
    """A lamp's image on metal: a sharp core in a wide glow."""
    x, y, z = (there - here for there, here in zip(lamp.place, points, strict=True))
    near = (x * mirrored[0] + y * mirrored[1] + z * mirrored[2]).clamp_(min=0)
    faces = x * normals[0] + y * normals[1] + z * normals[2] > 0
    second = near * near / (x * x + y * y + z * z)
    fourth = second * second
    eighth = fourth * fourth
    power = eighth * eighth
    power = power * power
    power = power * power  # the 128th
    return (eighth * 0.7 + power + power * power * 1.5) * lamp.shine * faces


def _ambient(body: Bodies, points: Vector, normals: Vector) -> Tensor:
    """Light from all around, less near the ground, from which some comes back."""
    height = (points[2] / (2 * body.half)).clamp_(0, 1)
    sky = 0.5 + 0.5 * normals[2]
    return _AMBIENT * (sky + (1 - sky) * 0.55) * (0.55 + 0.45 * height)


def _surroundings(body: Bodies, points: Vector, mirrored: Vector) -> Tensor:
    """Light that comes to points of a body from the direction that its surface mirrors."""
    steep = mirrored[2].abs()
    sky = _HORIZON + (_SKY - _HORIZON) * steep
    way = points[2].clamp(min=0) / steep.clamp(min=1e-3)
    x, y = points[0] + way * mirrored[0], points[1] + way * mirrored[1]
    ground = _HORIZON - 0.1 + 0.2 * (40 / (40 + x * x + y * y))
    ground = ground * (1 - 0.85 * _hidden_sky(body, x, y))
    return torch.where(mirrored[2] > 0, sky, ground)


def _hidden_sky(body: Bodies, x: Tensor, y: Tensor) -> Tensor:
    """How much of the sky a sphere in a body's place hides from the ground, in [0, 1]."""
    x, y = x - body.x, y - body.y
    squared = x * x + y * y + body.half * body.half
    cube = body.half * body.half * body.half * (body.shape != NOTHING)
    return cube / (squared * squared.sqrt())


def _mirrored(rays: Vector, normals: Vector) -> Vector:
    """Directions in which surfaces throw rays back."""
    twice = 2 * (rays[0] * normals[0] + rays[1] * normals[1] + rays[2] * normals[2])
    return [ray - twice * normal for ray, normal in zip(rays, normals, strict=True)]


def _between(points: Vector, body: Bodies, lamp: _Lamp) -> Tensor:
    """Which points, (1 or n, m) each, may have part of a body (n, 1) before a lamp."""
    x, y, z = (there - here for there, here in zip(lamp.place, points, strict=True))
    far = (x * x + y * y + z * z).sqrt()
    x, y, z = x / far, y / far, z / far
    centre = (body.x, body.y, body.half)
    a, b, c = (end - start for end, start in zip(centre, points, strict=True))
    along = a * x + b * y + c * z
    apart = a * a + b * b + c * c - along * along
    reach = body.reach()
    ahead = along + reach
    allowed = reach + ahead * (lamp.radius / far)
    return (apart < allowed * allowed) & (ahead > 0) & (body.shape != NOTHING)


def _blocked(points: Vector, body: Bodies, lamp: _Lamp, samples: Vector) -> Tensor:
    """The share of a lamp that another body (m, 1) hides from points (m, subpixel)."""
    hidden = torch.zeros_like(points[0])
    rows, columns = _between(points, body, lamp).nonzero().unbind(1)
    starts = [part[rows, columns].unsqueeze(1) for part in points]
    hidden[rows, columns] = _shadow(starts, body.take(rows), samples)
    return hidden


def _shadow(starts: Vector, body: Bodies, samples: Vector) -> Tensor:
    """The share of a lamp's samples that bodies hide from points, both (m, 1): (m,)."""
    shadow = starts[0].new_zeros(len(starts[0]))
    for rows, some, cross in _by_shape(body):
        here = some.inward([part[rows] for part in starts])
        ways = [end - start for end, start in zip(some.inward(samples), here, strict=True)]
        enter, leave = cross(here, ways)
        hidden = (enter < leave) & (leave > _SKIN)
        # Whole numbers, so that the sum is exact in any order.
        shadow[rows] = hidden.sum(dim=1).to(shadow) / hidden.shape[1]
    return shadow


def _by_shape(body: Bodies) -> Iterator[tuple[Tensor, Bodies, Crossing]]:
    """The rows of each shape there is, the bodies in them, and how rays cross these."""
    for shape, cross in enumerate((_cross_cubes, _cross_spheres, _cross_cylinders)):
        rows = (body.shape[:, 0] == shape).nonzero().squeeze(1)
        if len(rows):
            yield rows, body.take(rows), cross


# Where rays enter shapes of half-size 1 around the origin and where they leave, in lengths of
# `way`. A ray that leaves before it enters misses.


def _cross_cubes(place: Vector, way: Vector) -> tuple[Tensor, Tensor]:
    near, far = _cross_slab(place[0], way[0])
    for axis in (1, 2):
        enter, leave = _cross_slab(place[axis], way[axis])
        near, far = torch.maximum(near, enter), torch.minimum(far, leave)
    return near, far


def _cross_spheres(place: Vector, way: Vector) -> tuple[Tensor, Tensor]:
    squared = way[0] * way[0] + way[1] * way[1] + way[2] * way[2]
    along = place[0] * way[0] + place[1] * way[1] + place[2] * way[2]
    outside = place[0] * place[0] + place[1] * place[1] + place[2] * place[2] - 1
    return _cross_round(squared, along, outside)


def _cross_cylinders(place: Vector, way: Vector) -> tuple[Tensor, Tensor]:
    squared = way[0] * way[0] + way[1] * way[1]
    along = place[0] * way[0] + place[1] * way[1]
    outside = place[0] * place[0] + place[1] * place[1] - 1
    near, far = _cross_round(squared, along, outside)
    enter, leave = _cross_slab(place[2], way[2])
    return torch.maximum(near, enter), torch.minimum(far, leave)


def _cross_slab(place: Tensor, way: Tensor) -> tuple[Tensor, Tensor]:
    inverse = 1 / torch.where(way == 0, 1e-12, way)  # no 0 · ∞ along a face
    middle, half = -place * inverse, inverse.abs()
    return middle - half, middle + half


def _cross_round(squared: Tensor, along: Tensor, outside: Tensor) -> tuple[Tensor, Tensor]:
    """Solve squared·t² + 2·along·t + outside = 0; without a solution, enter at infinity."""
    inside = along * along - squared * outside
    root = inside.clamp(min=0).sqrt_()
    near = torch.where(inside > 0, (-along - root) / squared, math.inf)
    return near, (root - along) / squared


def _normals(body: Bodies, points: Vector) -> Vector:
    """Outward unit normals at points (m, subpixel) of bodies' surfaces, edges as if rounded."""
    x, y, z = body.inward(points)
    flat = 1 - _BEVEL
    is_cube, is_sphere = body.shape == CUBE, body.shape == SPHERE
    radius = (x * x + y * y).sqrt().clamp_(min=1e-6)
    side = (radius - flat).clamp_(min=0) / radius
    right = torch.where(is_cube, x.sign() * (x.abs() - flat).clamp_(min=0), x * side)
    ahead = torch.where(is_cube, y.sign() * (y.abs() - flat).clamp_(min=0), y * side)
    up = z.sign() * (z.abs() - flat).clamp_(min=0)
    right, ahead, up = (
        torch.where(is_sphere, smooth, edged) for smooth, edged in ((x, right), (y, ahead), (z, up))
    )
    length = (right * right + ahead * ahead + up * up).sqrt().clamp_(min=1e-6)
    right, ahead, up = right / length, ahead / length, up / length
    return right * body.cos - ahead * body.sin, right * body.sin + ahead * body.cos, up


def _mean(subpixels: Tensor) -> Tensor:
    """The mean of four, added in this order."""
    a, b, c, d = subpixels.unbind(1)
    return ((a + b) + (c + d)) * 0.25
