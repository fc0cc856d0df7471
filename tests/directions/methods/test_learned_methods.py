"""OroJaR, JL1, both together and the Hessian Penalty: what each minimises, and its settings."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import axiswise as aw
from axiswise.directions.solving import random_rotation

LATENT = 4
Nets = Callable[..., nn.Module]
Told = list[tuple[int, int, dict[str, float]]]


class Still(nn.Module):
    """A generator whose latents are always the same, so that a step can be repeated."""

    latent_dim = LATENT

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net.requires_grad_(False)

    def sample_latents(self, n: int, _rng: torch.Generator) -> Tensor:
        return self.latents(n)

    def latents(self, n: int) -> Tensor:
        return torch.sin(torch.arange(1.0, 1 + n * LATENT)).view(n, LATENT)

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.net(z)
        return images


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """The matrix that searches start from."""
    matrix = random_rotation(LATENT, torch.Generator().manual_seed(3))
    for method in ("orojar", "jl1", "hessian"):
        monkeypatch.setattr(
            f"axiswise.directions.methods.{method}.random_rotation", lambda *_: matrix
        )
    return matrix


def _first_terms(generator: Still, method: str, **settings: Any) -> dict[str, float]:
    told: Told = []
    aw.find_directions(
        generator, method, steps=1, progress=lambda *what: told.append(what), **settings
    )
    return next(terms for done, of, terms in told if terms and done == of == 1)


def test_the_reported_terms_are_the_penalties_of_the_first_matrix(mlp: Nets, start: Tensor) -> None:
    """Means over the batch, by the functions that training uses."""
    generator, here = Still(mlp()), torch.zeros(6, LATENT)

    def moved(w: Tensor) -> Tensor:
        return generator(generator.latents(6) + w @ start)

    orojar = _first_terms(generator, "orojar", solver="adam", columns=LATENT, batch_size=6)
    assert orojar == {"orojar": pytest.approx(float(aw.orojar_penalty(moved, here)), rel=1e-4)}
    expected = {"jl1": pytest.approx(float(aw.jl1_penalty(moved, here)), rel=1e-4)}
    assert _first_terms(generator, "jl1", columns=LATENT, batch_size=6) == expected
    assert _first_terms(generator, "jl1", samples=6) == expected


def test_the_reported_hessian_penalty_is_right_on_average(mlp: Nets, start: Tensor) -> None:
    """Over a batch of 4000 times the same six latents, and so as many probes."""
    generator, here = Still(mlp()), torch.zeros(6, LATENT)
    z = generator.latents(6)
    expected = float(aw.hessian_penalty(lambda w: generator(z + w @ start), here))
    generator.latents = lambda n: Still.latents(generator, 6).repeat(-(-n // 6), 1)[:n]  # type: ignore[method-assign]
    for probes in (2, 3):
        found = _first_terms(generator, "hessian", batch_size=24_000, probes=probes)
        assert found["hessian"] == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("method", ["orojar", "hessian"])
def test_orthonormality_is_optional(mlp: Nets, method: str) -> None:
    """Without it rows keep their length, and lean on each other."""
    settings: dict[str, Any] = {"steps": 30, "learning_rate": 0.05}
    if method == "orojar":
        settings["solver"] = "adam"
    free = aw.find_directions(Still(mlp()), method, orthonormal=False, **settings).matrix
    bound = aw.find_directions(Still(mlp()), method, **settings).matrix
    torch.testing.assert_close(free.norm(dim=1), torch.ones(LATENT))
    torch.testing.assert_close(bound @ bound.T, torch.eye(LATENT), rtol=0, atol=1e-5)
    assert float((free @ free.T - torch.eye(LATENT)).abs().max()) > 0.01


@pytest.mark.slow
def test_learning_lowers_the_hessian_penalty(scene: Nets) -> None:
    """At the found directions it is nearly zero, since those of the scene have none."""
    generator = scene((2.0, 3.0, 4.0))
    z = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))

    def penalty(matrix: Tensor) -> float:
        value = aw.hessian_penalty(lambda w: generator(z + w @ matrix), torch.zeros(50, 3))
        return float(value)

    found = aw.find_directions(generator, "hessian", steps=100, learning_rate=0.05)
    chance = aw.find_directions(generator, "random", seed=1)
    assert penalty(found.matrix) < 1e-3 * penalty(chance.matrix)


@pytest.mark.slow
def test_the_solvers_of_orojar_agree_and_jacobi_leaves_no_more(mlp: Nets) -> None:
    """On a network that has no orthogonal directions, at the latents that both see."""
    generator, here = Still(mlp()), torch.zeros(32, LATENT)
    penalties = {}
    for solver, settings in (
        ("jacobi", {"samples": 32}),
        ("adam", {"columns": LATENT, "steps": 300, "learning_rate": 0.03}),
    ):
        generator.latents = lambda n: Still.latents(generator, 32)[torch.arange(n) % 32]  # type: ignore[method-assign]
        matrix = aw.find_directions(generator, "orojar", solver=solver, **settings).matrix
        z = generator.latents(32)
        moved = lambda w, z=z, matrix=matrix: generator(z + w @ matrix)  # noqa: E731
        penalties[solver] = float(aw.orojar_penalty(moved, here))
    assert penalties["jacobi"] <= penalties["adam"] * (1 + 1e-3)
    assert penalties["adam"] == pytest.approx(penalties["jacobi"], rel=0.05)


def test_both_together_do_not_depend_on_the_scale_of_images(mlp: Nets) -> None:
    """On a network whose best compromise between the two depends on their weights."""
    net, settings = mlp(), {"latent_dim": LATENT, "samples": 20, "steps": 50}
    found = aw.find_directions(net, "orojar+jl1", **settings)
    louder = aw.find_directions(lambda z: 30 * net(z), "orojar+jl1", **settings)
    torch.testing.assert_close(louder.matrix, found.matrix, rtol=0, atol=1e-3)
    other = aw.find_directions(net, "orojar+jl1", weight=3.0, **settings)
    assert float((other.matrix - found.matrix).abs().max()) > 0.05


def test_jl1_is_taken_relative_to_what_random_directions_give() -> None:
    """Of many latents, where the usual value is right but for terms in one over their number."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        many = nn.Linear(60, 500)
    told: Told = []

    def note(*what: Any) -> None:
        told.append(what)

    settings = {"latent_dim": 60, "samples": 1, "steps": 1, "weight": 1.0}
    aw.find_directions(many, "orojar+jl1", progress=note, **settings)
    (terms,) = (terms for _, _, terms in told if "jl1" in terms)
    assert terms["jl1"] == pytest.approx(1, abs=0.02)


def test_orojar_is_taken_relative_to_twice_the_squared_energy(mlp: Nets) -> None:
    """At the solution by plane rotations, where the two start together."""
    generator, here = Still(mlp()), torch.zeros(6, LATENT)
    z = generator.latents(6)
    matrix = aw.find_directions(generator, "orojar", samples=6).matrix
    columns = aw.jacobian_columns(generator, z)
    energy = 2 * columns.square().sum((1, 2)).square().mean()
    value = aw.orojar_penalty(lambda w: generator(z + w @ matrix), here)
    found = _first_terms(generator, "orojar+jl1", samples=6)
    assert found["orojar"] == pytest.approx(float(value / energy), rel=1e-3)


def test_without_weight_both_together_stay_with_orojar(scene: Nets) -> None:
    generator = scene((2.0, 3.0, 4.0))
    plain = aw.find_directions(generator, "orojar", samples=200)
    both = aw.find_directions(generator, "orojar+jl1", weight=0.0, samples=200, steps=20)
    assert float(aw.match_directions(plain, both).scores.min()) > 0.9999


def test_a_generator_of_straight_pieces_has_no_hessian_to_learn_from() -> None:
    """Not a random start that is returned as if it were found."""
    layers = [nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6)]
    with pytest.raises(ValueError, match="generator must have second derivatives"):
        aw.find_directions(nn.Sequential(*layers), "hessian", latent_dim=4)
