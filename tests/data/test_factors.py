"""The protocols for data, and the helpers that data sets with known factors share."""

import pytest
import torch
from torch import Tensor

from axiswise.data import FactorData, ImageSource, ThreeDots, check_factors, uniform_factors


class Ramps:
    """A data set that a user might write: it inherits nothing."""

    shape = (1, 2, 2)
    factor_sizes = (3, 5)
    factor_names = ("left", "right")

    def sample_factors(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        return uniform_factors(self.factor_sizes, n, rng)

    def draw(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        return self.sample_factors(n, rng)

    def render(self, factors: Tensor) -> Tensor:
        factors = check_factors(factors, self.factor_sizes)
        shares = factors / torch.tensor([2.0, 4.0])
        return shares.view(-1, 1, 1, 2).expand(-1, 1, 2, 2)


@pytest.mark.parametrize("data", [Ramps(), ThreeDots(size=8)])
def test_factor_data_is_recognised_by_its_members_alone(data: FactorData) -> None:
    assert isinstance(data, ImageSource)
    assert isinstance(data, FactorData)
    assert not isinstance(torch.nn.Linear(2, 2), ImageSource)


@pytest.mark.parametrize("data", [Ramps(), ThreeDots(size=8, dots=2, values=5)])
def test_what_is_drawn_can_be_rendered_whole_or_in_shares(data: FactorData) -> None:
    draws = data.draw(6, torch.Generator().manual_seed(0))
    assert draws.shape == (6, len(data.factor_sizes))
    assert len(data.factor_names) == len(data.factor_sizes)
    images = data.render(draws)
    assert images.shape == (6, *data.shape)
    shares = [data.render(draws[:2]), data.render(draws[2:])]
    torch.testing.assert_close(torch.cat(shares), images, rtol=0, atol=0)


def test_draw_and_sample_factors_are_the_same() -> None:
    data = ThreeDots()
    drawn = data.draw(5, torch.Generator().manual_seed(3))
    assert torch.equal(drawn, data.sample_factors(5, torch.Generator().manual_seed(3)))


def test_uniform_factors_cover_each_factors_values_equally_often() -> None:
    sizes = (1, 2, 7)
    factors = uniform_factors(sizes, 20_000, torch.Generator().manual_seed(0))
    assert factors.dtype == torch.int64
    for column, size in enumerate(sizes):
        counts = factors[:, column].bincount(minlength=size)
        assert len(counts) == size
        expected = 20_000 / size
        assert ((counts - expected).abs() <= 5 * expected**0.5).all()


def test_uniform_factors_are_independent_of_one_another() -> None:
    factors = uniform_factors((64, 64, 64), 20_000, torch.Generator().manual_seed(1))
    correlations = torch.corrcoef(factors.T.double()) - torch.eye(3)
    assert correlations.abs().max() < 0.04


def test_a_seed_fixes_the_factors_and_the_global_generator_is_left_alone() -> None:
    state = torch.get_rng_state()
    first, again = (uniform_factors((64,) * 6, 9, torch.Generator().manual_seed(5)) for _ in "ab")
    other = uniform_factors((64,) * 6, 9, torch.Generator().manual_seed(6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_without_a_generator_the_global_one_is_used() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = uniform_factors((64,) * 6, 4)
        torch.manual_seed(0)
        assert torch.equal(uniform_factors((64,) * 6, 4), first)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_generator_on_a_device_draws_there() -> None:
    rng = torch.Generator("cuda").manual_seed(0)
    assert uniform_factors((4, 4), 3, rng).device == rng.device


def test_no_factors_at_all_are_allowed() -> None:
    assert uniform_factors((4, 4), 0).shape == (0, 2)
    assert check_factors(torch.zeros(0, 2, dtype=torch.int64), (4, 4)).shape == (0, 2)


def test_a_negative_number_of_images_is_refused() -> None:
    with pytest.raises(ValueError, match="n must be 0 or more, got -1"):
        uniform_factors((4, 4), -1)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_any_integer_type_becomes_int64(dtype: torch.dtype) -> None:
    checked = check_factors(torch.tensor([[0, 3], [1, 2]], dtype=dtype), (2, 4))
    assert checked.dtype == torch.int64
    assert checked.tolist() == [[0, 3], [1, 2]]


@pytest.mark.parametrize(
    ("factors", "error", "message"),
    [
        (torch.zeros(3, 2), TypeError, "factors must be a tensor of integers, got torch.float32"),
        (torch.zeros(3, 2).bool(), TypeError, "factors must be .* got torch.bool"),
        ([[0, 1]], TypeError, "factors must be a tensor of integers, got list"),
        (torch.zeros(3, 3).long(), ValueError, r"shape \(n, 2\).* got \(3, 3\)"),
        (torch.zeros(2).long(), ValueError, r"shape \(n, 2\).* got \(2,\)"),
        (torch.tensor([[1, 0], [2, 0]]), ValueError, r"factors\[:, 0\] .* 0 \.\.\. 1, .* 1 to 2"),
        (torch.tensor([[1, 0], [0, -3]]), ValueError, r"factors\[:, 1\] .* 0 \.\.\. 3, .* -3 to 0"),
    ],
)
def test_wrong_factors_are_refused_by_name(
    factors: Tensor, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_factors(factors, (2, 4))
