"""CLEVR's pictures against a camera of our own, and against what its factors and light mean."""

import math
import pickle
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor

from axiswise.data import Clevr, FactorData, ImageSource
from axiswise.data.clevr import Variant

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    ),
]
VARIANTS: tuple[Variant, ...] = ("simple", "complex", "1fov", "full")
GRAY, RED, BLUE, GREEN = range(4)
CUBE, SPHERE, CYLINDER, NOTHING = range(4)
RUBBER, METAL = range(2)
SHAPES = pytest.mark.parametrize("shape", [CUBE, SPHERE, CYLINDER], ids=["cube", "sphere", "tin"])
CAMERA = torch.tensor([7.48, -6.51, 5.34], dtype=torch.float64)
KEY = torch.tensor([6.45, -2.91], dtype=torch.float64)


def axes() -> Tensor:
    """Right, down and ahead of the camera, by hand from its azimuth and height."""
    x, y, z = CAMERA.tolist()
    flat, far = math.hypot(x, y), math.hypot(x, y, z)
    right = (-y / flat, x / flat, 0)
    down = (x * z / (flat * far), y * z / (flat * far), -flat / far)
    return torch.tensor([right, down, (-x / far, -y / far, -z / far)], dtype=torch.float64)


def project(points: Tensor, size: int) -> Tensor:
    """Where points (..., 3) are in the image, in pixels from its top left corner: (..., 2)."""
    seen = (points - CAMERA) @ axes().T
    return size * (0.5 + 35 / 32 * seen[..., :2] / seen[..., 2:])


def on_ground(pixels: Tensor, size: int) -> Tensor:
    """Where pixels (n, 2) show the ground: (n, 2)."""
    rays = torch.cat([(pixels / size - 0.5) * 32 / 35, torch.ones(len(pixels), 1)], 1) @ axes()
    return CAMERA[:2] - rays[:, :2] * (CAMERA[2] / rays[:, 2:])


def surface(shape: int, half: float, turn: float) -> Tensor:
    """Points all over a body that stands at the origin, (n, 3)."""
    side = torch.linspace(-1, 1, 81, dtype=torch.float64)
    a, b = (part.flatten() for part in torch.meshgrid(side, side, indexing="ij"))
    one, angle = torch.ones_like(a), a * math.pi
    if shape == CUBE:
        faces = [(a, b, one), (a, b, -one), (a, one, b), (a, -one, b), (one, a, b), (-one, a, b)]
    elif shape == SPHERE:
        ring = (1 - b * b).sqrt()
        faces = [(ring * angle.cos(), ring * angle.sin(), b)]
    else:
        radius = (b + 1) / 2
        lids = [(radius * angle.cos(), radius * angle.sin(), height) for height in (one, -one)]
        faces = [(angle.cos(), angle.sin(), b), *lids]
    x, y, z = (torch.cat(parts) for parts in zip(*faces, strict=True))
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return half * torch.stack([x * cos - y * sin, x * sin + y * cos, z + 1], 1)


def body(
    colour: int = RED,
    shape: int = SPHERE,
    at: tuple[float, float] = (0, 0),
    half: float = 0.7,
    material: int = RUBBER,
    turn: int = 0,
) -> list[int]:
    """What `Clevr("full")` draws a body from."""
    x, y = (round(1000 * (place + 3)) for place in at)
    return [colour, shape, x, y, int(half < 0.5), material, turn]


def draw(*scenes: Iterable[list[int]], size: int = 128) -> Tensor:
    """Images of scenes, each some bodies."""
    rows = [[*bodies, *[body(shape=NOTHING)] * 10][:10] for bodies in scenes]
    return Clevr("full", size).render(torch.tensor(rows).flatten(1)).double()


def red(image: Tensor) -> Tensor:
    """Which pixels show red, (height, width)."""
    return image[0] - image[1] > 0.05


def middle(pixels: Tensor) -> Tensor:
    """The middle (x, y) of the smallest box around some pixels."""
    rows, columns = pixels.nonzero().double().unbind(1)
    return torch.stack([(part.min() + part.max() + 1) / 2 for part in (columns, rows)])


@SHAPES
@pytest.mark.parametrize("half", [0.7, 0.35])
@pytest.mark.parametrize(
    ("at", "turn"), [((0, 0), 0), ((3, -3), 0), ((-3, -2.5), 30), ((2.2, 2.2), 77), ((-3, 3), 0)]
)
def test_a_body_is_where_the_camera_puts_it(
    shape: int, half: float, at: tuple[float, float], turn: int
) -> None:
    """The middle and the lowest place of its outline, and the colour at centre and contact.

    To a pixel of 256: half a pixel of 128.
    """
    size, shift = 256, torch.tensor([*at, 0.0], dtype=torch.float64)
    (image,) = draw([body(RED, shape, at, half, turn=turn)], size=size)
    outline = project(surface(shape, half, turn) + shift, size)
    low, high = outline.aminmax(dim=0)
    assert (middle(red(image)) - (low + high) / 2).abs().max() <= 1
    assert (
        abs(int(red(image).nonzero()[:, 0].max()) + 0.5 - float(high[1])) <= 1.5
    )  # the foot's corner is sharp
    x, y = project(shift + torch.tensor([0, 0, half]), size).long().tolist()
    assert red(image)[y, x]
    # The place of contact is hidden by the body: below it, down to the front of its foot, is red.
    x, y = project(shift, size).long().tolist()
    assert red(image)[y - 1, x]
    if shape == SPHERE:
        centre = red(image).nonzero().double().mean(0).flip(0) + 0.5
        assert (centre - project(shift + torch.tensor([0, 0, half]), size)).abs().max() <= 1


@SHAPES
def test_outlines_are_those_of_the_shapes(shape: int) -> None:
    size = 96
    for at, turn in (((0.5, -1.0), 0), ((-2.0, 1.5), 33)):
        (image,) = draw([body(RED, shape, at, turn=turn)], size=size)
        places = project(surface(shape, 0.7, turn) + torch.tensor([*at, 0.0]), size).long()
        expected = torch.zeros(size, size, dtype=torch.bool)
        expected[places[:, 1], places[:, 0]] = True
        # Pixels of the rim, of which a small part is covered, may go either way.
        differing = expected ^ red(image)
        inside = torch.nn.functional.avg_pool2d(expected[None].double(), 3, 1, 1)[0]
        assert not (differing & ((inside == 1) | (inside == 0))).any()


@SHAPES
def test_the_shadow_falls_away_from_the_key_lamp_and_is_soft(shape: int) -> None:
    size = 128
    for at in ((0.0, 0.0), (-1.5, 1.5), (1.0, -2.0)):
        empty, image = draw([], [body(RED, shape, at)], size=size)
        place = torch.tensor(at, dtype=torch.float64)
        rows, columns = torch.meshgrid([torch.arange(size) + 0.5] * 2, indexing="ij")
        pixels = torch.stack([columns, rows], -1).flatten(0, 1).double()
        from_body = on_ground(pixels, size) - place
        distance = from_body.norm(dim=1)
        away = (place - KEY) / (place - KEY).norm()
        lost = ((empty - image)[0] / empty[0]).flatten()
        lost[(image.amax(0) - image.amin(0)).flatten() > 1e-3] = 0  # the body itself
        near = (distance > 1.05) & (distance < 2)
        behind = near & (from_body @ away > 0.8 * distance)
        before = near & (from_body @ away < -0.8 * distance)
        assert lost[behind].max() > 0.15
        assert lost[behind].max() > 2 * lost[before].max()
        rim = lost[(distance < 3) & (from_body @ away > 0)] / lost[behind].max()
        assert ((rim > 0.25) & (rim < 0.75)).sum() > 12
        assert lost.min() > -1e-6


@SHAPES
@pytest.mark.parametrize("half", [0.7, 0.35])
def test_metal_has_a_highlight_and_rubber_has_none(shape: int, half: float) -> None:
    """Rubber is of one hue all over; on metal the lamps' images are whiter."""
    for at in ((0.0, 0.0), (-2.0, 1.0), (2.0, -2.0)):
        shown = []
        for material in (RUBBER, METAL):
            (image,) = draw([body(RED, shape, at, half, material)])
            whole = -torch.nn.functional.max_pool2d(-red(image)[None].double(), 3, 1, 1)[0] == 1
            light = image[:, whole].square()
            shown.append((light[1] / light[0], light.mean(0)))
        (rubber, dull), (metal, bright) = shown
        torch.testing.assert_close(rubber, torch.full_like(rubber, 35 / 173), rtol=1e-3, atol=0)
        assert metal.max() > 1.2 * 35 / 173
        assert bright.max() / bright.median() > 1.02 * dull.max() / dull.median()


def test_the_nearer_body_hides_the_farther() -> None:
    """Whatever their order: on the line from the camera through the origin, and in passing."""
    ahead = -CAMERA[:2] / CAMERA[:2].norm()
    for near, far in ((CUBE, SPHERE), (SPHERE, CYLINDER), (CYLINDER, CUBE)):
        for apart in (1.0, 1.4):
            front = body(RED, near, tuple((-apart * ahead).tolist()))
            back = body(BLUE, far, tuple((apart * ahead).tolist()))
            alone, one, other = draw([front], [front, back], [back, front])
            covered = red(alone)
            torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
            assert (red(one) & covered).sum() >= 0.97 * covered.sum()
            assert (one[2] > one[0] + 0.05).any()


def test_bodies_that_meet_are_cut_along_their_surfaces() -> None:
    """Tops at one height belong to the first of two, without a speckle."""
    cube, tin = body(RED, CUBE), body(BLUE, CYLINDER, (0.3, 0.0))
    size = 128
    first, second = draw([cube, tin], [tin, cube], size=size)
    top = project(torch.tensor([[0.1, 0.1, 1.4], [0.2, -0.2, 1.4]], dtype=torch.float64), size)
    for x, y in top.long().tolist():
        around = (..., slice(y - 1, y + 2), slice(x - 1, x + 2))
        assert red(first)[around].all()
        assert not red(second)[around].any()
        assert (first[around].amax((1, 2)) - first[around].amin((1, 2))).max() < 0.03
    same, single = draw([body(RED), body(BLUE)], [body(RED)])
    torch.testing.assert_close(same[:, red(single)], single[:, red(single)], rtol=0, atol=0.1)


def test_colours_are_clevrs() -> None:
    colours = torch.tensor(
        [
            *([87, 87, 87], [173, 35, 35], [42, 75, 215], [29, 105, 20]),
            *([129, 74, 25], [129, 38, 192], [41, 208, 208], [255, 238, 51]),
        ],
        dtype=torch.float64,
    )
    x, y = project(torch.tensor([0, 0, 0.7], dtype=torch.float64), 128).long().tolist()
    for colour, image in zip(colours, draw(*([body(c)] for c in range(8))), strict=True):
        light = image[:, y, x].square()
        torch.testing.assert_close(light / light.sum(), colour / colour.sum(), rtol=0, atol=2e-3)


def test_the_ground_is_grey_and_falls_off_smoothly() -> None:
    (image,) = draw([])
    assert torch.equal(image[0], image[1])
    assert torch.equal(image[0], image[2])
    assert 0.25 < image.min() < image.max() < 0.9
    assert image.diff(dim=1).abs().max() < 0.02
    assert image.diff(dim=2).abs().max() < 0.02


@pytest.mark.parametrize(
    ("variant", "sizes", "names"),
    [
        ("simple", (8, 3, 61, 61), ("colour", "shape", "x", "y")),
        (
            "complex",
            (8, 3, 61, 61, 2) * 2,
            tuple(f"{name}{i}" for i in (0, 1) for name in ("colour", "shape", "x", "y", "size")),
        ),
        ("1fov", (61,), ("x",)),
    ],
)
def test_variants_have_their_factors(
    variant: Variant, sizes: tuple[int, ...], names: tuple[str, ...]
) -> None:
    data = Clevr(variant)
    assert isinstance(data, FactorData)
    assert (data.factor_sizes, data.factor_names) == (sizes, names)
    assert data.shape == (3, 128, 128)
    factors = data.sample_factors(6000, torch.Generator().manual_seed(0))
    for column, size in zip(factors.unbind(1), sizes, strict=True):
        expected = 6000 / size
        counts = column.bincount(minlength=size)
        assert len(counts) == size
        assert (counts - expected).abs().max() < 5 * math.sqrt(expected)
    if len(sizes) > 1:
        assert (factors.double().T.corrcoef() - torch.eye(len(sizes))).abs().max() < 0.06


def test_each_factor_changes_what_it_says() -> None:
    """Simple's rows are the scenes that `full` draws of a large rubber body."""
    rows = torch.tensor([[1, 2, 30, 30], [1, 0, 45, 30], [3, 1, 0, 60]])
    bodies = [body(1, 2, (0, 0)), body(1, 0, (1.5, 0)), body(3, 1, (-3, 3))]
    expected = draw(*([each] for each in bodies))
    assert torch.equal(Clevr().render(rows).double(), expected)
    line = Clevr("1fov").render(torch.tensor([[0], [60]])).double()
    ends = [[body(RED, CUBE, (x, 0))] for x in (-3, 3)]
    assert torch.equal(line, draw(*ends))
    two = Clevr("complex").render(torch.tensor([[1, 2, 30, 30, 0, 2, 0, 0, 40, 1]])).double()
    pair = [body(1, 2, material=METAL), body(2, 0, (-3, 1), half=0.35)]
    assert torch.equal(two, draw(pair))


def test_full_keeps_its_distances() -> None:
    data = Clevr("full")
    assert isinstance(data, ImageSource)
    assert not isinstance(data, FactorData)
    draws = data.draw(500, torch.Generator().manual_seed(0)).view(500, 10, 7)
    there = draws[:, :, 1] != NOTHING
    counts = there.sum(1)
    assert set(counts.tolist()) == set(range(3, 11))
    ahead = CAMERA[:2] / CAMERA[:2].norm()
    left = torch.stack([-ahead[1], ahead[0]])
    for scene, real in zip(draws, there, strict=True):
        bodies = scene[real]
        places = bodies[:, 2:4].double() / 1000 - 3
        assert places.abs().max() <= 3
        half = torch.tensor([0.7, 0.35], dtype=torch.float64)[bodies[:, 4]]
        apart = places[:, None] - places
        pairs = torch.ones(len(bodies), len(bodies)).triu(1).bool()
        assert (apart.norm(dim=2) - half[:, None] - half)[pairs].min() >= 0.25 - 1e-9
        assert (apart @ ahead).abs()[pairs].min() >= 0.4 - 1e-9
        assert (apart @ left).abs()[pairs].min() >= 0.4 - 1e-9
        reach = half * torch.where(bodies[:, 1] == CUBE, math.sqrt(2.0), 1.0)
        assert (apart.norm(dim=2) - reach[:, None] - reach)[pairs].min() >= -1e-6
    for column, values in ((0, 8), (1, 3), (4, 2), (5, 2)):
        seen = draws[..., column][there].bincount()
        assert len(seen) == values
        assert seen.min() > 0.8 * seen.sum() / values


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_image_does_not_depend_on_its_batch(
    variant: Variant, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Clevr(variant, 32)
    draws = data.draw(9, torch.Generator().manual_seed(1)).to(device)
    whole = data.render(draws)
    assert whole.shape == (9, 3, 32, 32)
    assert 0 <= whole.min() < whole.max() <= 1
    for count in (1, 7):
        assert torch.equal(torch.cat([data.render(part) for part in draws.split(count)]), whole)
    torch.testing.assert_close(data.render(draws.cpu()), whole.cpu())
    monkeypatch.setattr("axiswise.data.clevr_renderer._CHUNK", 4 * 32**2)
    assert torch.equal(Clevr(variant, 32).render(draws.flip(0)).flip(0), whole)
    assert data.render(draws[:0]).shape == (0, 3, 32, 32)


def test_global_defaults_do_not_matter() -> None:
    data, draws = Clevr("full", 16), Clevr("full").draw(3, torch.Generator().manual_seed(0))
    expected = data.render(draws)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(Clevr("full", 16).render(draws), expected)
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"):
        assert torch.equal(Clevr("full", 16).render(draws), expected)
        again = Clevr("full").draw(3, torch.Generator("cpu").manual_seed(0))
    assert torch.equal(again, draws)


def test_pickles_hold_no_tables() -> None:
    data = Clevr(size=16)
    data.render(data.draw(1))
    assert len(pickle.dumps(data)) < 1000


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"variant must be one of simple, .* got 'hard'"):
        Clevr("hard")  # type: ignore[arg-type]
    for size in (7, 2000):
        with pytest.raises(ValueError, match=f"size must be between 8 and 1024, got {size}"):
            Clevr(size=size)
    with pytest.raises(ValueError, match=r"factors\[:, 1\] must be in 0 ... 2, got"):
        Clevr().render(torch.tensor([[0, 3, 0, 0]]))
    with pytest.raises(ValueError, match=r"shape \(n, 70\)"):
        Clevr("full").render(torch.zeros(1, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="has no factors to sample"):
        Clevr("full").sample_factors(2)
    with pytest.raises(ValueError, match="n must be 0 or more, got -1"):
        Clevr("full").draw(-1)
