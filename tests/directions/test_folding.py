"""A generator turned to directions: the same images, at other latents."""

import math

import pytest
import torch
from torch import Tensor, nn

import axiswise as aw
from axiswise.directions import first_layer, with_axes
from axiswise.nets import SimpleGenerator

LATENT = 5


class Flat(nn.Module):
    """A convolution without a frame: latents are channels of one pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(LATENT, 6, 1), nn.Conv2d(6, 2, 1)

    def forward(self, z: Tensor) -> Tensor:
        return self.second(self.first(z[:, :, None, None]).tanh())


class Skipping(nn.Module):
    """Latents that go into a later layer too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(LATENT, 6), nn.Linear(6 + LATENT, 3)

    def forward(self, z: Tensor) -> Tensor:
        return self.second(torch.cat([self.first(z).tanh(), z], 1))


def _make(kind: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        if kind == "gan":
            return SimpleGenerator(16, LATENT, channels=3, width=0.1)
        if kind == "linear":
            return nn.Sequential(nn.Linear(LATENT, 8), nn.Tanh(), nn.Linear(8, 4))
        return Flat() if kind == "flat" else Skipping()


def _directions(orthogonal: bool = True) -> Tensor:
    rng = torch.Generator().manual_seed(2)
    matrix = torch.randn(LATENT, LATENT, generator=rng, dtype=torch.float64)
    return (torch.linalg.qr(matrix).Q if orthogonal else matrix).float()


def _latents(count: int = 6) -> Tensor:
    return torch.randn(count, LATENT, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("orthogonal", [True, False])
@pytest.mark.parametrize("kind", ["gan", "linear", "flat"])
def test_the_copy_at_w_is_the_original_at_the_sum_of_directions(
    kind: str, orthogonal: bool
) -> None:
    generator, directions, w = _make(kind), _directions(orthogonal), _latents()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    turned = with_axes(generator, directions)
    z = torch.stack([sum(w[i, k] * directions[k] for k in range(LATENT)) for i in range(len(w))])
    torch.testing.assert_close(turned(w), generator(z), rtol=1e-4, atol=1e-5)
    assert type(turned) is type(generator)
    after = generator.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not torch.allclose(turned(w), generator(w), atol=1e-3)


@pytest.mark.parametrize("kind", ["gan", "linear", "flat"])
def test_an_axis_of_the_copy_is_a_direction_of_the_original(kind: str) -> None:
    """Column k of the copy's Jacobian is the original's derivative along direction k."""
    generator, directions, w = _make(kind).double(), _directions().double(), _latents().double()
    columns = aw.jacobian_columns(with_axes(generator, directions), w)
    for k in range(LATENT):
        direction = directions[k].expand(len(w), -1)
        _, along = torch.autograd.functional.jvp(generator, w @ directions, direction)
        torch.testing.assert_close(columns[:, k], along, rtol=1e-8, atol=1e-10)


def test_only_the_first_weight_is_another_and_its_length_stays() -> None:
    generator = _make("gan")
    turned = with_axes(generator, _directions())
    first, second = generator.state_dict(), turned.state_dict()
    assert [name for name in first if not torch.equal(first[name], second[name])] == ["0.1.weight"]
    weights = [values["0.1.weight"] for values in (first, second)]
    torch.testing.assert_close(weights[0].norm(), weights[1].norm())
    assert turned.get_parameter("0.1.weight").requires_grad


def test_the_axes_themselves_change_nothing_and_turning_back_gives_the_original() -> None:
    generator, directions = _make("gan"), _directions()
    same = with_axes(generator, torch.eye(LATENT))
    assert torch.equal(same.get_parameter("0.1.weight"), generator.get_parameter("0.1.weight"))
    back = with_axes(with_axes(generator, directions), directions.T)
    torch.testing.assert_close(back(_latents()), generator(_latents()), rtol=1e-4, atol=1e-5)


def test_for_orthogonal_directions_the_copy_makes_the_same_images_as_often() -> None:
    """Over normal latents: means and spreads of all pixels agree."""
    generator = _make("linear")
    z = torch.randn(40_000, LATENT, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        own, turned = generator(z), with_axes(generator, _directions())(z)
    torch.testing.assert_close(own.mean(0), turned.mean(0), rtol=0, atol=0.02)
    torch.testing.assert_close(own.std(0), turned.std(0), rtol=0.02, atol=0)


def test_the_first_layer_is_found_by_its_kind() -> None:
    assert first_layer(_make("gan"), LATENT) == "0.1"
    assert first_layer(_make("linear"), LATENT) == "0"
    assert first_layer(_make("flat"), LATENT) == "first"
    named = with_axes(_make("gan"), _directions(), layer="0.1")
    assert torch.equal(named(_latents()), with_axes(_make("gan"), _directions())(_latents()))


def test_a_generator_whose_latents_skip_the_first_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="generator must use its latents in 'first' alone"):
        with_axes(_make("skipping"), _directions())


def test_a_layer_that_does_not_take_the_latents_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="layer must take the 5 latents, but '2' takes 8 inputs"):
        with_axes(_make("linear"), _directions(), layer="2")
    with pytest.raises(
        ValueError, match=r"must take its 5 latents in its first layer.*'0' takes 3"
    ):
        first_layer(nn.Sequential(nn.Linear(3, 4)), LATENT)
    with pytest.raises(ValueError, match="generator must use its latents in '2' alone"):
        with_axes(nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3)), _directions(), "2")


def test_other_misuse_is_refused_by_name() -> None:
    generator = _make("gan")
    with pytest.raises(ValueError, match=r"directions must be \(latent, latent\), got \(2, 5\)"):
        with_axes(generator, _directions()[:2])
    with pytest.raises(ValueError, match=r"directions must be \(latent, latent\), got \(5,\)"):
        with_axes(generator, _directions()[0])
    with pytest.raises(ValueError, match=r"layer must name a module .*, got 'first'"):
        with_axes(generator, _directions(), layer="first")
    with pytest.raises(TypeError, match=r"layer must be an nn\.Linear, .*got Tanh"):
        with_axes(_make("linear"), _directions(), layer="1")
    with pytest.raises(ValueError, match="generator must have a linear or convolutional layer"):
        first_layer(nn.Sequential(nn.Tanh()), LATENT)


def test_weights_that_are_no_numbers_are_not_let_through() -> None:
    generator = _make("linear")
    with torch.no_grad():
        generator.get_parameter("2.weight")[0, 0] = math.nan
    with pytest.raises(ValueError, match="generator must use its latents"):
        with_axes(generator, _directions())
