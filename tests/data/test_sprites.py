"""Sprites against brute force, and against what dSprites' factors mean."""

import math
import pickle

import pytest
import torch
from torch import Tensor

from axiswise.data import FactorData, Sprites

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    ),
]
SQUARE, ELLIPSE, HEART = range(3)


def draw(data: Sprites, *rows: tuple[int, ...]) -> Tensor:
    """Images (n, size, size) of rows (shape, scale, orientation, x, y)."""
    return data.render(torch.tensor([(0, *row) for row in rows]))[:, 0]


def brute_force(size: int, shape: int, scale: int, turn: int, x: int, y: int) -> Tensor:
    """The covered share of each pixel by 24 × 24 samples, straight from the description."""
    side = (torch.arange(size * 24, dtype=torch.float64) + 0.5) / 24
    right, down = torch.meshgrid(side, side, indexing="xy")
    unit = size / 4 * (0.5 + 0.1 * scale)
    right = (right - size * (16.5 + x) / 64) / unit
    down = (down - size * (16.5 + y) / 64) / unit
    turned = torch.complex(right, down) * torch.exp(torch.tensor(-2j * math.pi * turn / 40))
    right, down = turned.real, turned.imag
    if shape == SQUARE:
        inside = (right.abs() < 0.5**0.5) & (down.abs() < 0.5**0.5)
    elif shape == ELLIPSE:
        inside = right**2 + 4 * down**2 < 1
    else:
        up = 0.25 - 1.25 * down
        inside = ((1.25 * right) ** 2 + up**2 - 1) ** 3 < (1.25 * right) ** 2 * up**3
    return inside.double().view(size, 24, size, 24).mean((1, 3)).float()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [16, 32, 64])
def test_agrees_with_brute_force(size: int, device: str) -> None:
    data = Sprites(size)
    rng = torch.Generator().manual_seed(size)
    factors = data.draw(24 if size < 64 else 9, rng)
    images = data.render(factors.to(device)).cpu()
    for row, image in zip(factors.tolist(), images, strict=True):
        difference = (image[0] - brute_force(size, *row[1:])).abs()
        assert difference.max() < 0.08
        assert difference.mean() < 0.0025


def test_has_dsprites_factors() -> None:
    data = Sprites()
    assert isinstance(data, FactorData)
    assert math.prod(data.factor_sizes) == 737_280
    assert data.factor_names == ("colour", "shape", "scale", "orientation", "x", "y")


@pytest.mark.parametrize(
    "size",
    [16, 64, pytest.param(48, marks=pytest.mark.slow), pytest.param(112, marks=pytest.mark.slow)],
)
def test_every_sprite_lies_within_the_image(size: int) -> None:
    """The largest, in all corners: none is cut, so that all have one area."""
    corners, sprites = [(x, y) for x in (0, 31) for y in (0, 31)], Sprites(size)
    for shape, turn in ((SQUARE, 5), (ELLIPSE, 0), (HEART, 20)):
        areas = draw(sprites, *((shape, 5, turn, x, y) for x, y in (*corners, (16, 16))))
        areas = areas.sum((1, 2))
        torch.testing.assert_close(areas, areas[-1:].expand(5), rtol=0.01, atol=0)


def test_areas_are_those_of_the_shapes() -> None:
    radius = 16.0
    expected = {SQUARE: 2 * radius**2, ELLIPSE: math.pi * radius**2 / 2}
    for shape, area in expected.items():
        images = draw(Sprites(), *((shape, scale, 7, 3, 9) for scale in range(6)))
        for scale, image in enumerate(images):
            factor = (0.5 + 0.1 * scale) ** 2
            assert float(image.sum()) == pytest.approx(area * factor, rel=0.01)


def test_x_moves_right_and_y_down_by_a_pixel() -> None:
    start, right, down = draw(
        Sprites(), (HEART, 3, 4, 9, 9), (HEART, 3, 4, 10, 9), (HEART, 3, 4, 9, 10)
    )
    assert torch.equal(right, start.roll(1, 1))
    assert torch.equal(down, start.roll(1, 0))


def test_symmetries_are_those_of_dsprites() -> None:
    """A square repeats after a quarter of a turn, an ellipse after half of one, a heart never."""
    for shape, period in ((SQUARE, 10), (ELLIPSE, 20)):
        first, again = draw(Sprites(), (shape, 4, 3, 5, 6), (shape, 4, 3 + period, 5, 6))
        torch.testing.assert_close(first, again, rtol=0, atol=0.04)
    hearts = draw(Sprites(), *((HEART, 4, turn, 16, 16) for turn in range(40)))
    distances = torch.cdist(hearts.flatten(1), hearts.flatten(1)) + torch.eye(40) * 100
    assert distances.min() > 1


def test_the_heart_stands_upright_and_orientation_turns_clockwise() -> None:
    upright, quarter = draw(Sprites(), (HEART, 5, 0, 16, 16), (HEART, 5, 10, 16, 16))
    rows = upright.sum(1)
    assert rows[:32].sum() > 1.2 * rows[33:].sum()  # wide above, its tip below
    # Around the middle of pixel 32, which is that of 63 pixels.
    turned = upright[1:, 1:].rot90(-1)
    torch.testing.assert_close(quarter[1:, 1:], turned, rtol=0, atol=0.04)
    columns = quarter.sum(0)
    assert columns[33:].sum() > 1.2 * columns[:32].sum()  # its top now points to the right


def test_without_antialiasing_pixels_are_zero_or_one() -> None:
    factors = Sprites().draw(50, torch.Generator().manual_seed(0))
    grey, binary = Sprites().render(factors), Sprites(antialiased=False).render(factors)
    assert set(binary.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(binary, (grey >= 0.5).float())


def test_a_large_batch_is_the_small_ones_together(monkeypatch: pytest.MonkeyPatch) -> None:
    factors = Sprites().draw(40, torch.Generator().manual_seed(0))
    whole = Sprites().render(factors)
    monkeypatch.setattr("axiswise.data.sprites._CHUNK", 3 * 64**2)
    assert torch.equal(Sprites().render(factors), whole)
    assert Sprites().render(factors[:0]).shape == (0, 1, 64, 64)


def test_global_defaults_do_not_matter() -> None:
    factors = Sprites().draw(5, torch.Generator().manual_seed(0))
    expected = Sprites().render(factors)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(Sprites().render(factors), expected)
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"):
        assert torch.equal(Sprites().render(factors), expected)


def test_pickles_hold_no_tables() -> None:
    data = Sprites()
    data.render(data.draw(1))
    assert len(pickle.dumps(data)) < 1000


@pytest.mark.parametrize("size", [0, 8, 40, -16])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"size must be a positive multiple of 16, got {size}"):
        Sprites(size)


def test_factors_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"factors\[:, 3\] must be in 0 ... 39, got"):
        Sprites().render(torch.tensor([[0, 0, 0, 40, 0, 0]]))
