"""Searches do not depend on the scale of the images, and refuse what is no number."""

import math

import pytest
import torch
from torch import Tensor, nn

import axiswise as aw
from axiswise.directions.directions import Directions, unit_rows
from axiswise.directions.methods.sefa import sefa

SETTINGS: dict[str, dict[str, object]] = {
    "jacobian-svd": {"samples": 5},
    "ganspace": {"samples": 50},
    "sefa": {},
    "orojar": {"samples": 5},
    "orojar+jl1": {"samples": 5, "steps": 30},
    "jl1": {"samples": 5, "steps": 30},
    "hessian": {"steps": 10},
    "coordinates": {},
}


def _generator(scale: float) -> nn.Module:
    torch.manual_seed(0)
    stack = nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 12)).double()
    with torch.no_grad():
        stack[2].weight *= scale
        stack[2].bias *= scale
    return stack.float()


def _found(method: str, scale: float) -> Directions:
    return aw.find_directions(_generator(scale), method, latent_dim=4, seed=0, **SETTINGS[method])


@pytest.mark.parametrize("scale", [2.0**-100, 2.0**60, 2.0**100])
@pytest.mark.parametrize("method", sorted(SETTINGS.keys() - {"hessian"}))
def test_the_scale_of_the_images_changes_the_importance_alone(method: str, scale: float) -> None:
    usual, found = _found(method, 1.0), _found(method, scale)
    assert aw.match_directions(found, usual).scores.min() > 0.999
    torch.testing.assert_close(found.importance / scale, usual.importance, rtol=1e-2, atol=0.0)


def test_sefa_of_weights_at_the_ends_of_float64() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 5).double()
    usual, eigenvalues = sefa(layer)
    for scale in (2.0**-500, 2.0**500):
        scaled = nn.Linear(3, 5).double()
        scaled.weight.data = layer.weight.data * scale
        found, its = sefa(scaled)
        torch.testing.assert_close(found, usual)
        torch.testing.assert_close(its / scale / scale, eigenvalues)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("method", sorted(SETTINGS))
def test_every_method_refuses_a_generator_of_what_is_no_number(method: str, bad: float) -> None:
    whole, first = _generator(1.0), _generator(1.0)
    with torch.no_grad():
        whole[2].bias[3] = bad
        first[0].weight[0, 0] = bad
    for generator in (whole, first):
        with pytest.raises(ValueError, match=r"generator must (return|have) finite"):
            aw.find_directions(generator, method, latent_dim=4, **SETTINGS[method])


@pytest.mark.parametrize("method", sorted(SETTINGS.keys() - {"ganspace", "sefa"}))
def test_every_method_refuses_a_derivative_that_is_no_number(method: str) -> None:
    stack = _generator(1.0)

    def generator(z: Tensor) -> Tensor:
        return stack(z) + (z - z.detach()).abs().pow(0.5).sum(1, keepdim=True)

    with pytest.raises(ValueError, match="generator must have finite derivatives, got NaN"):
        aw.find_directions(generator, method, latent_dim=4, **SETTINGS[method])


def test_sefa_refuses_weights_that_are_no_numbers() -> None:
    layer = nn.Linear(3, 5)
    layer.weight.data[0, 0] = math.nan
    with pytest.raises(ValueError, match="layers must have finite weights, got NaN or infinity"):
        sefa(layer)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_matching_and_traversals_take_rows_of_any_length(scale: float) -> None:
    rows = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matching = aw.match_directions(rows * scale, rows)
    torch.testing.assert_close(matching.scores, torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(unit_rows(rows * scale), rows / rows.norm(dim=1, keepdim=True))
    if 1e-38 < scale < 1e38:
        found = Directions((rows * scale).float(), torch.ones(3), "mine")
        path = found.traverse(torch.ones(1, 5), [0], extent=1e-9 / scale, steps=2)
        usual = Directions(rows.float(), torch.ones(3), "mine")
        wanted = usual.traverse(torch.ones(1, 5), [0], extent=1e-9, steps=2)
        torch.testing.assert_close(path, wanted)


@pytest.mark.parametrize("bad", [-1.0, math.inf, -math.inf])
def test_an_importance_is_a_length_or_not_known(bad: float) -> None:
    Directions(torch.eye(2), torch.tensor([1.0, math.nan]), "mine")
    with pytest.raises(ValueError, match="importance must be ≥ 0 and finite, or NaN"):
        Directions(torch.eye(2), torch.tensor([1.0, bad]), "mine")
