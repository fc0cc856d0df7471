"""GANSpace on generators whose principal components are known."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import axiswise as aw

LATENT = 4
SPREADS = torch.tensor([1.0, 4.0, 2.0, 3.0])


def _rotation(size: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(size, size, generator=rng)).Q


class Known(nn.Module):
    """First layer: latents turned, then stretched by `SPREADS`, then laid into six outputs.

    Its principal components are the rows of the turn, in the order of the spreads.
    """

    latent_dim = LATENT

    def __init__(self, after: nn.Module | None = None) -> None:
        super().__init__()
        self.turn = _rotation(LATENT, 1)
        self.first = nn.Linear(LATENT, 6)
        self.first.weight.data = _rotation(6, 2)[:, :LATENT] @ SPREADS.diag() @ self.turn
        self.after = nn.Tanh() if after is None else after
        self.last = nn.Linear(6, 9)

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.last(self.after(self.first(z)))
        return images


def _cosines(found: Tensor, expected: Tensor) -> Tensor:
    return (found * expected).sum(1).abs()


@pytest.mark.parametrize("after", [nn.Tanh(), nn.ReLU(inplace=True)])
@pytest.mark.parametrize("layer", [None, "first"])
def test_directions_follow_the_principal_components_of_the_first_layer(
    layer: str | None, after: nn.Module
) -> None:
    """Whatever becomes of its outputs afterwards, in place too."""
    generator = Known(after)
    found = aw.find_directions(generator, "ganspace", layer=layer, samples=4000)
    order = SPREADS.argsort(descending=True)
    assert bool((_cosines(found.matrix, generator.turn[order]) > 0.99).all())
    assert bool((found.importance > 0).all())


def test_directions_are_those_by_which_latents_are_regressed_on_the_components() -> None:
    """Of a layer behind a bend; components by the singular values, regression by least squares."""
    generator = Known().double()
    drawn: list[Tensor] = []
    hook = generator.register_forward_pre_hook(lambda _module, inputs: drawn.append(inputs[0]))
    found = aw.find_directions(generator, "ganspace", layer="after", samples=500)
    hook.remove()
    z = torch.cat([latents for latents in drawn if len(latents) == 100])
    assert len(z) == 500
    x = generator.first(z).tanh().detach()
    x = x - x.mean(0)
    coordinates = x @ torch.linalg.svd(x, full_matrices=False).Vh[:LATENT].T
    rows = torch.linalg.lstsq(coordinates, z - z.mean(0)).solution
    rows = rows / rows.norm(dim=1, keepdim=True)
    cosines = _cosines(found.matrix.double(), rows)
    torch.testing.assert_close(cosines, torch.ones(4).double(), rtol=0, atol=1e-5)


class Styled(nn.Module):
    """Latents are styles that vary most along the rows of a turn; what it shows does not count."""

    latent_dim = LATENT

    def __init__(self, spreads: Tensor = SPREADS) -> None:
        super().__init__()
        self.turn, self.spreads = _rotation(LATENT, 3), spreads
        self.layer = nn.Linear(LATENT, 5)

    def sample_latents(self, n: int, rng: torch.Generator) -> Tensor:
        return 2 + (self.spreads * torch.randn(n, LATENT, generator=rng)) @ self.turn

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.layer(z).sin()
        return images


def test_of_styles_they_are_the_principal_components_of_the_latents() -> None:
    generator = Styled()
    found = aw.find_directions(generator, "ganspace", samples=4000)
    order = SPREADS.argsort(descending=True)
    assert bool((_cosines(found.matrix, generator.turn[order]) > 0.99).all())
    torch.testing.assert_close(found.matrix @ found.matrix.T, torch.eye(4), rtol=0, atol=1e-5)
    named = aw.find_directions(generator, "ganspace", samples=4000, layer="layer")
    assert bool((_cosines(named.matrix, generator.turn[order]) < 0.99).any())


def test_of_styles_in_a_subspace_they_are_those_of_its_latents() -> None:
    generator = Styled()
    found = aw.find_directions(generator, "ganspace", samples=4000, subspace=(1, 4))
    covariance = generator.turn.T @ SPREADS.square().diag() @ generator.turn
    vectors = torch.linalg.eigh(covariance[1:, 1:]).eigenvectors.flip(1).T
    assert bool((_cosines(found.matrix[:, 1:], vectors) > 0.98).all())


def test_directions_made_of_rounding_are_left_out() -> None:
    """Outputs of two kinds only, and styles that vary in three ways."""
    narrow = nn.Sequential(nn.Linear(LATENT, 2), nn.Linear(2, 10))
    found = aw.find_directions(narrow, "ganspace", latent_dim=LATENT, layer="1", samples=300)
    assert found.matrix.shape == (2, LATENT)
    weight = narrow.get_parameter("0.weight").detach()
    inside = found.matrix @ torch.linalg.pinv(weight) @ weight
    torch.testing.assert_close(inside, found.matrix, rtol=0, atol=0.3)
    flat = Styled(torch.tensor([1.0, 0.0, 2.0, 3.0]))
    assert len(aw.find_directions(flat, "ganspace", samples=300)) == 3


def test_of_fewer_outputs_there_are_fewer_directions() -> None:
    generator = nn.Sequential(nn.Linear(LATENT, 3), nn.Tanh())
    found = aw.find_directions(generator, "ganspace", latent_dim=LATENT, samples=200)
    assert found.matrix.shape == (3, LATENT)


def test_latents_are_not_changed_by_a_layer_that_works_in_place() -> None:
    """Otherwise half-normal numbers would be regressed, and means of them taken for latents."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Linear(LATENT, 12), nn.Tanh()]
    plain = nn.Sequential(nn.ReLU(), *layers)
    in_place = nn.Sequential(nn.ReLU(inplace=True), *layers)
    first, second = (
        aw.find_directions(generator, "ganspace", latent_dim=LATENT, samples=300)
        for generator in (plain, in_place)
    )
    assert torch.equal(first.matrix, second.matrix)


class Odd(nn.Module):
    """A layer called twice, one never, one that returns a pair, one of no numbers."""

    latent_dim = LATENT

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Linear(LATENT, LATENT)
        self.never, self.pair, self.flat = nn.Tanh(), Pair(), Flat()
        self.constant, self.nan = Times(0.0), Times(torch.nan)

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.twice(self.twice(z)) + self.pair(z)[0]
        for layer in (self.flat, self.constant, self.nan):
            layer(z)
        return images


class Pair(nn.Module):
    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z, z


class Flat(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z[:1]


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, z: Tensor) -> Tensor:
        return z * self.factor


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (None, "layer must be called once .*'twice' is not"),
        ("twice", "layer must be called once .*'twice' is not"),
        ("never", "layer must be called once .*'never' is not"),
        ("pair", "layer must be called once .*return a tensor .*'pair' is not"),
        ("flat", "layer must be called once .*a row for each latent, but 'flat' is not"),
        ("nan", "layer must have finite outputs, got NaN or infinity of 'nan'"),
        ("constant", "layer must have outputs that vary with the latents"),
    ],
)
def test_a_layer_whose_outputs_are_no_features_is_refused_and_set_free(
    layer: str | None, message: str
) -> None:
    generator = Odd()
    with pytest.raises(ValueError, match=message):
        aw.find_directions(generator, "ganspace", layer=layer, samples=100)
    assert not any(module._forward_hooks for module in generator.modules())


def test_it_needs_a_module_unless_latents_are_styles() -> None:
    def plain(z: Tensor) -> Tensor:
        return z.sin()

    with pytest.raises(TypeError, match=r"an nn\.Module for method 'ganspace', .*got function"):
        aw.find_directions(plain, "ganspace", latent_dim=3)

    class Callable_:
        latent_dim = LATENT
        sample_latents = Styled.sample_latents
        turn, spreads = _rotation(LATENT, 3), SPREADS

        def __call__(self, z: Tensor) -> Tensor:
            return z.sin()

    assert len(aw.find_directions(Callable_(), "ganspace", samples=100)) == LATENT


def test_a_run_s_progress_counts_latents() -> None:
    told: list[tuple[int, int]] = []

    def note(done: int, of: int, _terms: dict[str, Any]) -> None:
        told.append((done, of))

    progress: Callable[[int, int, dict[str, float]], object] = note
    aw.find_directions(Known(), "ganspace", samples=250, progress=progress)
    assert told[:3] == [(100, 250), (200, 250), (250, 250)]
