"""The penalty as a term of the loss: what it draws, what it is worth, what it refuses."""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import axiswise as aw
from axiswise.nets import Generator
from axiswise.objectives import GeneratorPass, make_term

BATCH, LATENT = 12, 5

TERMS: dict[str, tuple[Any, Callable[..., Tensor]]] = {
    "jl1": (make_term("jl1"), aw.jl1_penalty),
    "jl1 columns": (make_term("jl1", columns=2), aw.jl1_penalty),
    "jl2": (make_term("jl2"), aw.jl2_penalty),
    "jl2 columns": (make_term("jl2", columns=1), aw.jl2_penalty),
    "orojar": (make_term("orojar"), aw.orojar_penalty),
    "orojar probes": (make_term("orojar", probes=2), aw.orojar_penalty),
    "orojar biased": (
        make_term("orojar", probes=2, correction=0),
        partial(aw.orojar_penalty, correction=0),
    ),
    "orojar groups": (make_term("orojar", groups=3), aw.orojar_penalty),
    "orojar columns": (make_term("orojar", columns=3), aw.orojar_penalty),
    "hessian": (make_term("hessian"), aw.hessian_penalty),
    "hessian probes": (make_term("hessian", probes=3), aw.hessian_penalty),
    "hessian groups": (make_term("hessian", groups=2), aw.hessian_penalty),
    "ima": (make_term("ima"), aw.ima_contrast),
}


@pytest.fixture
def decoder() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return nn.Sequential(nn.Linear(LATENT, 9), nn.Tanh(), nn.Linear(9, 11)).double()


@pytest.fixture
def z() -> Tensor:
    rng = torch.Generator().manual_seed(5)
    return torch.randn(BATCH, LATENT, generator=rng, dtype=torch.float64)


class Plain(Generator, nn.Sequential):
    """A stack as a generator."""


def _at(decoder: nn.Sequential, z: Tensor) -> GeneratorPass:
    return GeneratorPass(Plain(*decoder), z)


def _rng() -> torch.Generator:
    return torch.Generator().manual_seed(7)


@pytest.mark.parametrize("name", TERMS)
def test_the_value_is_the_penalty_s(name: str, decoder: nn.Sequential, z: Tensor) -> None:
    """Which draws its own with the same seed: the term's draw is the one that the penalty makes."""
    term, penalty = TERMS[name]
    sampled = {
        option: getattr(term, option)
        for option in ("columns", "probes", "groups")
        if getattr(term, option, None) is not None
    }
    expected = penalty(decoder, z, **sampled, **({"rng": _rng()} if sampled else {}))
    value = term(_at(decoder, z), **term.draw(BATCH, LATENT, _rng()))
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    assert value.detach() > 0


@pytest.mark.parametrize("name", TERMS)
def test_processes_share_one_draw(name: str, decoder: nn.Sequential, z: Tensor) -> None:
    """The mean over three shares of the batch is the value of the whole batch."""
    term, _ = TERMS[name]
    whole = term(_at(decoder, z), **term.draw(BATCH, LATENT, _rng()))
    shares = [slice(0, 4), slice(4, 8), slice(8, 12)]
    parts = [
        term(_at(decoder, z[share]), **term.draw(BATCH, LATENT, _rng(), share)) for share in shares
    ]
    torch.testing.assert_close(torch.stack(parts).mean(), whole, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", [name for name in TERMS if " " in name])
def test_shares_are_slices_of_the_whole_draw_and_leave_the_same_state(name: str) -> None:
    term, _ = TERMS[name]
    rng = _rng()
    (key, whole), *rest = term.draw(BATCH, LATENT, rng).items()
    assert rest == []
    axis = 0 if key == "columns" else 1
    for start in (0, 6):
        other = _rng()
        (part,) = term.draw(BATCH, LATENT, other, slice(start, start + 6)).values()
        assert torch.equal(part, whole.narrow(axis, start, 6))
        assert torch.equal(other.get_state(), rng.get_state())


@pytest.mark.parametrize("name", [name for name in TERMS if " " not in name])
def test_exact_terms_draw_nothing(name: str) -> None:
    rng = _rng()
    assert TERMS[name][0].draw(BATCH, LATENT, rng) == {}
    assert torch.equal(rng.get_state(), _rng().get_state())


@pytest.mark.parametrize(
    ("name", "penalty"), [("jl1", aw.jl1_penalty), ("orojar", aw.orojar_penalty)]
)
def test_the_scale_free_form_and_the_other_one(
    name: str, penalty: Callable[..., Tensor], decoder: nn.Sequential, z: Tensor
) -> None:
    plain, free = make_term(name), make_term(name, normalize=True)
    wanted, wanted_free = penalty(decoder, z), penalty(decoder, z, normalize=True)
    torch.testing.assert_close(free(_at(decoder, z)), wanted_free, rtol=1e-12, atol=0)
    assert not torch.isclose(wanted, wanted_free)
    other, other_free = plain.figures(name, _at(decoder, z)), free.figures(name, _at(decoder, z))
    assert list(other) == [f"{name}_normalized"]
    assert list(other_free) == [name]
    torch.testing.assert_close(other[f"{name}_normalized"], wanted_free, rtol=1e-12, atol=0)
    torch.testing.assert_close(other_free[name], wanted, rtol=1e-12, atol=0)
    assert not other[f"{name}_normalized"].requires_grad


def test_the_other_scale_of_a_sampled_term_is_exact(decoder: nn.Sequential, z: Tensor) -> None:
    found = make_term("jl1", columns=1).figures("jl1", _at(decoder, z))["jl1_normalized"]
    torch.testing.assert_close(found, aw.jl1_penalty(decoder, z, normalize=True))


@pytest.mark.parametrize("name", ["jl2", "hessian", "ima"])
def test_penalties_of_one_form_have_no_other_scale(
    name: str, decoder: nn.Sequential, z: Tensor
) -> None:
    assert make_term(name).figures(name, _at(decoder, z)) == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spec": "l1"}, "term must be one of hessian, ima, jl1, jl2, orojar, .*; got 'l1'"),
        ({"weight": -1.0}, "weight must be ≥ 0, got -1.0"),
        ({"weight": math.nan}, "weight must be ≥ 0, got nan"),
        ({"spec": "jl1", "columns": 0}, "columns must be at least 1, got 0"),
        ({"spec": "orojar", "probes": 1}, "probes must be at least 2, got 1"),
        ({"spec": "hessian", "groups": 1}, "groups must be at least 2, got 1"),
        (
            {"spec": "orojar", "probes": 2, "groups": 2},
            "groups must be null where probes are given",
        ),
        ({"spec": "orojar", "groups": 2, "correction": 0}, "correction must go with probes"),
        ({"spec": "orojar", "probes": 2, "normalize": True}, "normalize must go with the exact"),
        ({"method": "finite", "epsilon": 0.0}, "epsilon must be > 0, got 0.0"),
        ({"method": "finite", "epsilon": math.nan}, "epsilon must be > 0, got nan"),
        ({"epsilon": 0.1}, "epsilon is no option of method 'forward'"),
        ({"anneal": 1.5}, "anneal must be between 0 and 1, got 1.5"),
        ({"anneal": math.nan}, "anneal must be between 0 and 1, got nan"),
        ({"delay": -0.1}, "delay must be between 0 and 1, got -0.1"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_term(**({"spec": "jl1"} | arguments))


def _activations(decoder: nn.Sequential, layers: list[str]) -> Callable[[Tensor], tuple]:
    """The outputs of layers, by walking the stack."""

    def walk(z: Tensor) -> tuple[Tensor, ...]:
        found = []
        for name, layer in decoder.named_children():
            z = layer(z)
            if name in layers:
                found.append(z)
        return tuple(found)

    return walk


@pytest.mark.parametrize("layers", [["0"], ["0", "2"], ["1"]])
@pytest.mark.parametrize("name", TERMS)
def test_on_layers_it_is_the_penalty_of_their_outputs(
    name: str, layers: list[str], decoder: nn.Sequential, z: Tensor
) -> None:
    """Alone, or in a pass that keeps what the generator returns."""
    plain, penalty = TERMS[name]
    term = dataclasses.replace(plain, layers=layers)
    drawn = term.draw(BATCH, LATENT, _rng())
    wanted = penalty(_activations(decoder, layers), z, **drawn)
    torch.testing.assert_close(term(_at(decoder, z), **drawn), wanted, rtol=1e-10, atol=1e-12)
    made = _at(decoder, z)
    torch.testing.assert_close(term(made, **drawn), wanted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(made.output, decoder(z), rtol=1e-12, atol=0)
    other = dataclasses.replace(plain, layers=["1", "2"])
    assert not torch.isclose(other(_at(decoder, z), **drawn), wanted)


def test_the_value_on_layers_is_the_sum_over_them(decoder: nn.Sequential, z: Tensor) -> None:
    """By hand: of two linear layers with a tanh between them."""
    one, two = decoder[0].weight, decoder[2].weight
    slope = 1 - decoder[:2](z).square()
    jacobians = [one.expand(BATCH, -1, -1), two @ (slope[:, :, None] * one)]
    found = make_term("jl1", layers=["0", "2"])(_at(decoder, z))
    torch.testing.assert_close(found, sum(j.abs().sum((1, 2)).mean() for j in jacobians))


@pytest.mark.parametrize("name", ["jl1", "jl2", "orojar", "orojar probes", "hessian probes"])
def test_the_maximum_over_the_batch_is_that_of_its_samples(
    name: str, decoder: nn.Sequential, z: Tensor
) -> None:
    plain, penalty = TERMS[name]
    term = dataclasses.replace(plain, reduction="max", layers=["1", "2"])
    drawn = term.draw(BATCH, LATENT, _rng())
    activations = _activations(decoder, ["1", "2"])
    if name.startswith("hessian"):  # over batch and outputs together
        wanted = sum(
            penalty(lambda z, i=i: activations(z)[i], z, **drawn, reduction="max") for i in (0, 1)
        )
    else:
        alone = penalty(activations, z, **drawn, reduction=None)
        assert alone.shape == (2, BATCH)
        wanted = alone.amax(1).sum()
    value = term(_at(decoder, z), **drawn)
    torch.testing.assert_close(value, wanted, rtol=1e-10, atol=0)
    mean = dataclasses.replace(term, reduction="mean")(_at(decoder, z), **drawn)
    assert value.detach() > 1.05 * mean.detach()


@pytest.mark.parametrize("epsilon", [None, 0.5])
@pytest.mark.parametrize("name", ["jl1", "orojar probes", "hessian probes"])
def test_finite_differences_are_those_of_the_step(
    name: str, epsilon: float | None, decoder: nn.Sequential, z: Tensor
) -> None:
    """By default each penalty's own: the papers' are 1e-3 and 0.1."""
    plain, _ = TERMS[name]
    term = dataclasses.replace(plain, method="finite", epsilon=epsilon)
    drawn = term.draw(BATCH, LATENT, _rng())
    step = epsilon if epsilon is not None else {"jl1": 1e-3}.get(name, 0.1)
    directions = drawn["probes"].to(z) if drawn else torch.eye(LATENT).to(z)[:, None]
    if name.startswith("hessian"):
        moves = [
            (decoder(z + step * v) - 2 * decoder(z) + decoder(z - step * v)) / step**2
            for v in directions
        ]
        wanted = torch.stack(moves).var(0).mean()
    else:
        moves = [(decoder(z + step * v) - decoder(z)) / step for v in directions]
        if name == "jl1":
            wanted = torch.stack(moves).abs().sum((0, 2)).mean()
        else:
            wanted = torch.stack(moves).square().sum(2).var(0).mean()
    value = term(_at(decoder, z), **drawn)
    torch.testing.assert_close(value, wanted, rtol=1e-9, atol=0)
    exact = dataclasses.replace(term, method="forward", epsilon=None)(_at(decoder, z), **drawn)
    assert not torch.isclose(value, exact, rtol=1e-6)


def test_the_other_scale_is_taken_of_the_same_layers(decoder: nn.Sequential, z: Tensor) -> None:
    """Exactly and as a mean, whatever the term itself draws and reduces by."""
    term = make_term(
        "orojar", probes=2, layers=["0", "2"], reduction="max", method="finite", epsilon=0.1
    )
    wanted = aw.orojar_penalty(_activations(decoder, ["0", "2"]), z, normalize=True)
    found = term.figures("orojar", _at(decoder, z))
    assert list(found) == ["orojar_normalized"]
    torch.testing.assert_close(found["orojar_normalized"], wanted.detach())


@pytest.mark.parametrize("layers", [["3"], ["0", "0"]])
def test_layers_that_the_generator_does_not_have_or_not_twice_are_refused(
    layers: list[str], decoder: nn.Sequential, z: Tensor
) -> None:
    with pytest.raises(ValueError, match="layers must"):
        make_term("jl1", layers=layers)(_at(decoder, z))


def test_layers_count_as_their_weights_say(decoder: nn.Sequential, z: Tensor) -> None:
    """In value and gradient; the reduction over the batch comes first."""
    layers = {"0": 0.25, "1": 0.0, "2": 2.0}
    for penalty in (aw.orojar_penalty, aw.hessian_penalty, aw.jl1_penalty):
        for reduction in ("mean", "max"):
            single = {
                name: penalty(decoder, z, layers=[name], reduction=reduction) for name in layers
            }
            whole = penalty(decoder, z, layers=layers, reduction=reduction)
            wanted = sum(weight * single[name] for name, weight in layers.items())
            torch.testing.assert_close(whole, wanted)
            weight = decoder[0].weight
            if not whole.requires_grad:
                continue
            torch.testing.assert_close(
                torch.autograd.grad(whole, weight)[0], torch.autograd.grad(wanted, weight)[0]
            )


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_weights_of_layers_that_are_none_are_refused(
    decoder: nn.Sequential, z: Tensor, weight: float
) -> None:
    with pytest.raises(ValueError, match="weights of layers must be finite and ≥ 0"):
        aw.orojar_penalty(decoder, z, layers={"0": weight})
