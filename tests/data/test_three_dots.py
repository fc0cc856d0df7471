"""Three-dots: against the published images, an oracle of its own, and its symmetries."""

import copy
import pickle
from pathlib import Path
from typing import Any

import jsonargparse
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from axiswise.data import FactorData, ImageSource, ThreeDots, three_dots

REFERENCE = Path(__file__).parents[1] / "reference" / "three_dots.npz"
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=needs_cuda)]


def oracle(
    factors: Tensor, size: int, radius: float, values: int, samples: int = 40
) -> npt.NDArray[np.float64]:
    """Images by brute force: samples × samples points a pixel, each black if any dot holds it."""
    points = (np.arange(size * samples) + 0.5) / samples
    images = []
    for row in factors.numpy():
        centres = row.reshape(-1, 2) * (size / (values - 1)) + 0.05 * size / 64
        black = np.zeros((size * samples, size * samples), bool)
        for x, y in centres:
            black |= (points[None, :] - x) ** 2 + (points[:, None] - y) ** 2 <= radius**2
        images.append(1 - black.reshape(size, samples, size, samples).mean(axis=(1, 3)))
    return np.stack(images)


def crowded_factors(data: ThreeDots, n: int, spread: int, seed: int = 0) -> Tensor:
    """Factors of images whose dots all lie within `spread` values of each other, both ways."""
    rng = torch.Generator().manual_seed(seed)
    middle = torch.randint(data.values, (n, 1, 2), generator=rng)
    moves = torch.randint(-spread, spread + 1, (n, data.dots, 2), generator=rng)
    return (middle + moves).clamp(0, data.values - 1).flatten(1)


@pytest.mark.parametrize("device", DEVICES)
def test_agrees_with_the_papers_images(device: str) -> None:
    with np.load(REFERENCE) as reference:
        factors = torch.from_numpy(reference["factors"].astype(np.int64))
        published = torch.from_numpy(reference["images"]).double() / 255
    images = ThreeDots().render(factors.to(device)).cpu()
    difference = (images[:, 0].double() - published).abs()
    assert difference.mean() <= 0.0005
    assert difference.max() <= 0.1


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("size", "radius", "dots", "values", "spread"),
    [
        (64, None, 3, 64, 64),  # the paper's, anywhere
        (64, None, 3, 64, 6),  # all three overlap
        (64, None, 3, 64, 1),  # nearly the same disc three times
        (64, None, 3, 64, 0),  # the same disc three times
        (32, None, 2, 9, 9),
        (33, 4.0, 1, 10, 10),
        (48, 1.3, 6, 100, 4),
        (40, 0.3, 3, 40, 1),  # dots within a pixel
        (24, 15.0, 2, 5, 5),  # wider than the image
        (16, 100.0, 3, 7, 7),  # all black
        (128, None, 5, 20, 3),
        (1, 0.4, 2, 3, 3),
    ],
)
def test_agrees_with_brute_force(
    size: int, radius: float | None, dots: int, values: int, spread: int, device: str
) -> None:
    data = ThreeDots(size, radius, dots, values)
    factors = crowded_factors(data, 8, spread)
    images = data.render(factors.to(device)).cpu()[:, 0].numpy()
    difference = np.abs(images - oracle(factors, size, data.radius, values))
    assert difference.max() <= 0.03
    # The rims are all that can differ, so the mean is taken over them.
    assert difference.sum() <= 0.006 * ((images > 0) & (images < 1)).sum()


def test_without_a_table_the_images_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    factors = crowded_factors(ThreeDots(), 50, 20)
    images = ThreeDots().render(factors)
    monkeypatch.setattr(three_dots, "_TABLE_LIMIT", 0)
    torch.testing.assert_close(ThreeDots().render(factors), images, rtol=0, atol=1e-5)


def test_many_values_need_no_large_table() -> None:
    """A hundred thousand values a factor: a table of their pairs could not be held."""
    data = ThreeDots(values=100_001)
    factors = data.sample_factors(4, torch.Generator().manual_seed(0))
    difference = data.render(factors)[:, 0].numpy() - oracle(factors, 64, data.radius, 100_001)
    assert np.abs(difference).mean() <= 0.0005


@pytest.mark.parametrize("device", DEVICES)
def test_shape_type_and_range(device: str) -> None:
    data = ThreeDots(size=20, dots=4, values=11)
    factors = data.sample_factors(7, torch.Generator().manual_seed(0))
    images = data.render(factors.to(device))
    assert data.shape == (1, 20, 20)
    assert images.shape == (7, 1, 20, 20)
    assert images.dtype == torch.float32
    assert images.device.type == device
    assert images.min() == 0
    assert images.max() == 1
    assert data.render(factors[:0].to(device)).shape == (0, 1, 20, 20)


def test_the_order_of_the_dots_does_not_matter() -> None:
    data = ThreeDots()
    factors = torch.cat([crowded_factors(data, 100, spread) for spread in (0, 1, 5, 64)])
    images = data.render(factors)
    for order in ([1, 2, 0], [2, 1, 0], [0, 2, 1]):
        permuted = factors.view(-1, 3, 2)[:, order].flatten(1)
        torch.testing.assert_close(data.render(permuted), images, rtol=0, atol=1e-6)


def test_coinciding_dots_look_like_one() -> None:
    one = ThreeDots(dots=1)
    factors = one.sample_factors(50, torch.Generator().manual_seed(0))
    several = ThreeDots(dots=3).render(factors.repeat(1, 3))
    torch.testing.assert_close(several, one.render(factors), rtol=0, atol=1e-6)


def test_moving_the_dots_by_a_pixel_moves_the_image_by_a_pixel() -> None:
    data = ThreeDots(size=64, values=65)  # neighbouring values are a pixel apart
    factors = crowded_factors(data, 100, 6).clamp(10, 50)
    image, moved = data.render(factors), data.render(factors + torch.tensor([3, 1] * 3))
    torch.testing.assert_close(moved[..., 1:, 3:], image[..., :-1, :-3], rtol=0, atol=1e-5)


def test_x_is_the_column_and_y_the_row_of_the_darkness() -> None:
    """A dot's darkness weighs πr², and balances at 64·f/63 + 0.05 along each axis."""
    data = ThreeDots(dots=1)
    factors = torch.tensor([[20, 40], [31, 12], [50, 30]])
    darkness = 1 - data.render(factors)[:, 0].double()
    middles = torch.arange(64, dtype=torch.float64) + 0.5
    weight = darkness.sum(dim=(1, 2))
    x = (darkness.sum(dim=1) * middles).sum(dim=1) / weight
    y = (darkness.sum(dim=2) * middles).sum(dim=1) / weight
    torch.testing.assert_close(
        weight, torch.full_like(weight, torch.pi * 5.17**2), rtol=1e-3, atol=0
    )
    expected = factors.double() * 64 / 63 + 0.05
    torch.testing.assert_close(torch.stack([x, y], dim=1), expected, rtol=0, atol=5e-3)


def test_the_default_radius_and_positions_grow_with_the_size() -> None:
    """Twice the size, averaged over 2 × 2 pixels, is the same image."""
    factors = crowded_factors(ThreeDots(), 30, 64)
    large = ThreeDots(size=128).render(factors)
    difference = torch.nn.functional.avg_pool2d(large, 2) - ThreeDots().render(factors)
    assert difference.abs().max() <= 0.06
    assert difference.abs().mean() <= 0.0003


def test_a_large_batch_is_the_small_ones_together(monkeypatch: pytest.MonkeyPatch) -> None:
    data = ThreeDots()
    factors = data.sample_factors(1500, torch.Generator().manual_seed(0))
    images = data.render(factors)
    parts = torch.cat([data.render(part) for part in factors.split(7)])
    assert torch.equal(images, parts)
    monkeypatch.setattr(three_dots, "_CHUNK", 1)  # one image and one pixel at a time
    assert torch.equal(ThreeDots().render(factors[:20]), images[:20])


class LargestTensor(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that any operation returns."""

    numel = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.numel = max(self.numel, result.untyped_storage().nbytes() // 4)
        return result


@pytest.mark.parametrize(
    ("data", "n"),
    [
        (ThreeDots(size=32), 20_000),
        (ThreeDots(size=24, dots=40), 40),
        (ThreeDots(size=256, radius=40, values=5000), 20),
    ],
)
def test_memory_is_bounded_even_where_all_dots_coincide(data: ThreeDots, n: int) -> None:
    factors = (crowded_factors(data, n, 0) // 2)[:, :2].repeat(1, data.dots)
    with LargestTensor() as largest:
        images = data.render(factors)
    assert largest.numel <= max(images.numel(), 3 * three_dots._CHUNK)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_the_integer_type_of_the_factors_does_not_matter(dtype: torch.dtype) -> None:
    data = ThreeDots()
    factors = data.sample_factors(5, torch.Generator().manual_seed(0))
    assert torch.equal(data.render(factors.to(dtype)), data.render(factors))


def test_global_defaults_and_modes_do_not_matter() -> None:
    factors = crowded_factors(ThreeDots(), 20, 5)
    expected = ThreeDots().render(factors)
    data = ThreeDots()
    with torch.inference_mode():  # tables made here must serve outside
        assert torch.equal(data.render(factors), expected)
    torch.set_default_dtype(torch.float64)
    try:
        for other in (data, ThreeDots()):
            images = other.render(factors)
            assert images.dtype == torch.float32
            assert torch.equal(images, expected)
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ThreeDots().render(factors), expected)
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.equal(ThreeDots().render(factors), expected)
    finally:
        torch.use_deterministic_algorithms(False)


@needs_cuda
def test_both_devices_draw_the_same() -> None:
    data = ThreeDots()
    factors = torch.cat([crowded_factors(data, 500, spread) for spread in (1, 6, 64)])
    images = data.render(factors)
    difference = (data.render(factors.cuda()).cpu() - images).abs()
    # Samples that lie on a rim, up to rounding, may fall on either side of it.
    assert difference.max() <= 0.03
    assert difference.mean() <= 1e-6


def test_the_images_may_be_written_to() -> None:
    data = ThreeDots()
    factors = data.sample_factors(3, torch.Generator().manual_seed(0))
    images = data.render(factors)
    images.mul_(2)
    assert data.render(factors).max() == 1


def test_pickles_and_copies_hold_no_tables_and_draw_the_same() -> None:
    data = ThreeDots(size=32, dots=2)
    factors = data.sample_factors(3, torch.Generator().manual_seed(0))
    images = data.render(factors)
    pickled = pickle.dumps(data)
    assert len(pickled) < 1000
    for other in (pickle.loads(pickled), copy.deepcopy(data)):
        assert torch.equal(other.render(factors), images)


def test_describes_itself() -> None:
    data = ThreeDots(size=32, dots=2, values=5)
    assert isinstance(data, FactorData)
    assert data.factor_sizes == (5, 5, 5, 5)
    assert data.factor_names == ("x0", "y0", "x1", "y1")
    assert repr(data) == "ThreeDots(size=32, radius=2.585, dots=2, values=5)"


def test_is_built_from_plain_configuration_values() -> None:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=ImageSource)
    config = parser.parse_object(
        {"data": {"class_path": "axiswise.data.ThreeDots", "init_args": {"size": 32, "radius": 3}}}
    )
    data = parser.instantiate(config).data
    assert isinstance(data, ThreeDots)
    assert (data.size, data.radius, data.dots, data.values) == (32, 3.0, 3, 64)


@pytest.mark.parametrize(
    ("argument", "value", "allowed"),
    [
        ("size", 0, "got 0"),
        ("dots", 0, "got 0"),
        ("values", 1, "got 1"),
        ("radius", 0.0, "above 0, got 0.0"),
        ("radius", float("nan"), "above 0, got nan"),
        ("radius", float("inf"), "above 0, got inf"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(
    argument: str, value: float, allowed: str
) -> None:
    with pytest.raises(ValueError, match=f"{argument} must be .*{allowed}"):
        ThreeDots(**{argument: value})  # type: ignore[arg-type]


def test_factors_out_of_range_are_refused_before_drawing() -> None:
    with pytest.raises(ValueError, match=r"factors\[:, 5\] must be in 0 \.\.\. 63"):
        ThreeDots().render(torch.tensor([[0, 0, 0, 0, 0, 64]]))
    with pytest.raises(TypeError, match="factors must be a tensor of integers"):
        ThreeDots().render(torch.zeros(1, 6))
