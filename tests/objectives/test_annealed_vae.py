"""AnnealedVAE: the capacity and the distance from it."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from axiswise.objectives import AnnealedVAE, VAEPass
from axiswise.runs.protocol import read_settings
from axiswise.training.parts import ramp_of
from axiswise.training.recipe import recipe_path

MakePass = Callable[..., VAEPass]


def _with_kl(nats: float, make: MakePass) -> VAEPass:
    """Of variance 1, a code pays half its squared mean."""
    return make(torch.full((4, 2), math.sqrt(nats), dtype=torch.float64))


@pytest.mark.parametrize("ramp", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("nats", [0.0, 5.0, 30.0])
def test_the_gap_is_the_distance_from_the_capacity_and_gamma_is_there_from_the_start(
    made_pass: MakePass, ramp: float, nats: float
) -> None:
    terms = AnnealedVAE(gamma=7.0, capacity=20.0)(_with_kl(nats, made_pass), ramp)
    assert {name: weight for name, (weight, _) in terms.items()} == {
        "nll": 1.0,
        "kl": 0.0,
        "capacity_gap": 7.0,
    }
    assert float(terms["kl"][1]) == pytest.approx(nats)
    assert float(terms["capacity_gap"][1]) == pytest.approx(abs(nats - 20.0 * ramp))


@pytest.mark.parametrize(("nats", "sign"), [(5.0, -1.0), (15.0, 1.0)])
def test_below_the_capacity_the_divergence_is_raised_and_above_it_lowered(
    made_pass: MakePass, nats: float, sign: float
) -> None:
    """The gradient of the divergence by a mean is the mean, over the batch's size."""
    batch = _with_kl(nats, made_pass)
    batch.mean.requires_grad_()
    weight, gap = AnnealedVAE(gamma=1000.0, capacity=10.0).code_terms(batch, 1.0)["capacity_gap"]
    (gradient,) = torch.autograd.grad(weight * gap, batch.mean)
    torch.testing.assert_close(gradient, sign * 1000.0 * batch.mean.detach() / 4)


def test_gradients_are_those_of_finite_differences(
    made_pass: MakePass, normal: Callable[..., Tensor]
) -> None:
    def gap(mean: Tensor, log_variance: Tensor) -> Tensor:
        return AnnealedVAE().code_terms(made_pass(mean, log_variance), 0.5)["capacity_gap"][1]

    inputs = [normal(3, 4, seed=seed).requires_grad_() for seed in (1, 2)]
    assert torch.autograd.gradcheck(gap, inputs)


@pytest.mark.parametrize(
    ("recipe", "words", "gamma", "capacities"),
    [
        ("three-dots-annealed", "", 1000, {0: 0, 50_000: 12.5, 100_000: 25, 299_999: 25}),
        # A shorter run scales the schedule with its length.
        ("three-dots-annealed", "--steps 30000", 1000, {0: 0, 5000: 12.5, 10_000: 25, 29_999: 25}),
        ("three-dots-annealed-fast", "", 10, {0: 0, 1250: 0, 7500: 12.5, 13_750: 25, 24_999: 25}),
    ],
)
def test_the_capacity_rises_as_the_recipe_says(
    made_pass: MakePass, recipe: str, words: str, gamma: float, capacities: dict[int, float]
) -> None:
    """Of codes that carry nothing the gap is the capacity; γ counts from the first step."""
    config = read_settings(recipe_path(recipe), words.split()).build()
    objective, silent = config.objective, made_pass(torch.zeros(2, 10))  # type: ignore[attr-defined]
    for step, capacity in capacities.items():
        weight, gap = objective(silent, ramp_of(None, step, config))["capacity_gap"]
        assert weight == gamma
        assert float(gap) == pytest.approx(capacity, abs=1e-5), step


@pytest.mark.parametrize("name", ["gamma", "capacity", "sigma"])
@pytest.mark.parametrize("value", [-1.0, math.nan])
def test_numbers_out_of_range_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be .*, got {value}"):
        AnnealedVAE(**{name: value})  # type: ignore[arg-type]
