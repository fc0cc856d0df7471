"""Searches of BigGAN as published, against the authors' loop written anew in plain torch."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import axiswise as aw
from axiswise.directions import METHODS, load_published
from axiswise.directions.space import SearchSpace
from axiswise.penalties import rademacher

SIZE, STEPS, EPSILON = 4, 6, 0.1
Nets = Callable[..., nn.Module]


def _net(mlp: Nets, latents: int = 4) -> nn.Module:
    net = mlp(latents).requires_grad_(False)
    net.latent_dim = latents
    return net


def _gram_schmidt(matrix: Tensor) -> Tensor:
    rows: list[Tensor] = []
    for row in matrix:
        for before in rows:
            row = row - (row @ before) / (before @ before) * before
        rows.append(row)
    return torch.stack([row / row.norm() for row in rows])


def _authors(
    generator: nn.Module, kind: str, batch: int, start: int, orthonormal: bool, probes: int = 2
) -> Tensor:
    """Their loop; what is drawn is drawn in our order."""
    latent, rng = generator.latent_dim, torch.Generator().manual_seed(2)
    if kind == "hessian":  # one look at whether there is any curvature
        torch.randn(1, latent, generator=rng)
        rademacher((1, 1, SIZE), rng=rng)
    matrix = torch.randn(SIZE, SIZE, generator=rng) * math.sqrt(2 / SIZE)
    matrix.requires_grad_()
    adam = torch.optim.Adam([matrix], lr=0.01)
    pad = (start, latent - start - SIZE)
    for _ in range(STEPS):
        w = torch.zeros(batch, SIZE)
        if kind == "hessian":
            chosen = torch.randint(SIZE, (batch,), generator=rng)
            w[torch.arange(batch), chosen] = 10 * torch.rand(batch, 1, generator=rng)[:, 0] - 5
        z = torch.randn(batch, latent, generator=rng)
        steps = EPSILON * rademacher((batch, probes, SIZE), rng=rng).transpose(0, 1)
        rows = nn.functional.pad(_gram_schmidt(matrix) if orthonormal else matrix, pad)
        here = generator(z + w @ rows)
        found = []
        for step in steps:
            there = generator(z + (w + step) @ rows)
            if kind == "orojar":
                change = (there - here) / EPSILON
                found.append(change.flatten(1).square().sum(1))
            else:
                back = generator(z + (w - step) @ rows)
                found.append((there - 2 * here + back) / EPSILON**2)
        adam.zero_grad()
        torch.stack(found).var(0).mean().backward()
        adam.step()
    return (_gram_schmidt(matrix) if orthonormal else matrix).detach()


@pytest.mark.parametrize("orthonormal", [True, False])
@pytest.mark.parametrize(
    ("kind", "batch", "chunk_size"),
    [("orojar", 5, None), ("hessian", 7, None), ("orojar", 5, 6), ("hessian", 7, 6)],
)
def test_directions_are_those_of_the_authors_loop(
    mlp: Nets, kind: str, batch: int, chunk_size: int | None, orthonormal: bool
) -> None:
    generator = _net(mlp, 6)
    space = SearchSpace(generator, 6, slice(1, 1 + SIZE), "finite", EPSILON, chunk_size)
    rng = torch.Generator().manual_seed(2)
    found = METHODS.find(f"{kind}-published").search(
        space,
        rng,
        lambda *_: None,
        steps=STEPS,
        batch_size=batch,
        orthonormal=orthonormal,
    )
    expected = _authors(generator, kind, batch, 1, orthonormal)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize(("name", "batch"), [("orojar", 32), ("hessian", 96)])
def test_the_settings_are_the_published_ones(name: str, batch: int) -> None:
    method = METHODS.find(f"{name}-published")
    settings = method.settings
    assert (settings["steps"], settings["batch_size"], settings["probes"]) == (50_000, batch, 2)
    assert (settings["learning_rate"], settings["orthonormal"]) == (0.01, True)
    assert settings.get("distance", 5.0) == 5.0
    assert method.epsilon == EPSILON


def test_its_derivatives_are_differences_unless_said_otherwise(mlp: Nets) -> None:
    generator = _net(mlp)
    found = aw.find_directions(generator, "orojar-published", steps=1, batch_size=2)
    assert (found.settings["derivative"], found.settings["epsilon"]) == ("finite", 0.1)
    found = aw.find_directions(
        generator, "orojar-published", steps=1, batch_size=2, derivative="forward"
    )
    assert found.settings["derivative"] == "forward"
    assert "epsilon" not in found.settings
    assert aw.find_directions(generator, "coordinates").settings["derivative"] == "forward"


def test_the_rate_stays(mlp: Nets, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []
    step = torch.optim.Adam.step

    def seen(self: torch.optim.Adam, *args: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args)

    monkeypatch.setattr(torch.optim.Adam, "step", seen)
    aw.find_directions(_net(mlp), "hessian-published", steps=5, batch_size=2)
    assert rates == [0.01] * 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"probes": 1}, "probes must be at least 2, got 1"),
        ({"batch_size": 0}, "batch_size must be an integer at least 1"),
        ({"steps": 0}, "steps must be an integer at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be > 0"),
    ],
)
@pytest.mark.parametrize("name", ["orojar-published", "hessian-published"])
def test_settings_out_of_range_are_refused(
    mlp: Nets, name: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        aw.find_directions(_net(mlp), name, **{"steps": 1, "batch_size": 2, **settings})
    if name.startswith("hessian"):
        with pytest.raises(ValueError, match="distance must be ≥ 0, got nan"):
            aw.find_directions(_net(mlp), name, distance=math.nan)


@pytest.mark.parametrize("shape", [(4, 4), (6, 4), (2, 4)])
def test_a_published_matrix_can_stay_as_it_is(tmp_path: Path, shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape)
    matrix[-1] = 3 * matrix[0]  # dependent, of any length
    torch.save(matrix, tmp_path / "A.pt")
    found = load_published(tmp_path / "A.pt", latent_dim=7, start=2, orthonormal=False)
    assert torch.equal(found.matrix, nn.functional.pad(matrix, (2, 1)))
    assert torch.equal(found.apply(torch.zeros(1, 7), 0, 2.0)[0, 2:6], 2 * matrix[0])
