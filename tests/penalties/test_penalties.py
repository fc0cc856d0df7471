"""Penalties against the published code, against definitions on an oracle's Jacobian, and laws."""

import doctest
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import axiswise as aw
from axiswise.penalties import hessian, jl1, orojar

REFERENCES = Path(__file__).parents[1] / "reference"
REFERENCE = np.load(REFERENCES / "penalties.npz")
LATENT = 5


def latents(batch=3, latent=LATENT, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(batch, latent, dtype=torch.float64, generator=rng)


class Net(nn.Module):
    """A curved generator of 2×4 images; with `several`, of two activations."""

    def __init__(self, latent=LATENT, several=False):
        super().__init__()
        self.first, self.second = nn.Linear(latent, 7), nn.Linear(7, 8)
        self.several = several

    def forward(self, z):
        hidden = torch.tanh(self.first(z))
        image = self.second(hidden).view(-1, 2, 4).sin()
        return [hidden, image] if self.several else image


def net(**arguments):
    torch.manual_seed(0)
    return Net(**arguments).double()


def oracle_jacobian(generator, z):
    """Reverse mode, (batch, latent, output), differentiable."""
    full = torch.autograd.functional.jacobian(generator, z, create_graph=True)
    return torch.stack([full[b, ..., b, :].reshape(-1, z.shape[1]).T for b in range(len(z))])


def oracle_hessian(generator, z):
    """Reverse over reverse, (batch, output, latent, latent), differentiable."""

    def row(z):
        return torch.autograd.functional.jacobian(
            lambda z: generator(z[None]).flatten(), z, create_graph=True
        )

    each = [torch.autograd.functional.jacobian(row, one, create_graph=True) for one in z]
    return torch.stack(each)


def off_diagonal(matrices):
    """Sum of squares off the diagonal."""
    diagonal = torch.diag_embed(matrices.diagonal(dim1=-2, dim2=-1))
    return (matrices - diagonal).square().sum((-2, -1))


def cosines(jacobian):
    unit = jacobian / jacobian.norm(dim=2, keepdim=True)
    return unit @ unit.mT


DEFINITIONS = {
    "jl1": (aw.jl1_penalty, {}, lambda g, z: oracle_jacobian(g, z).abs().sum((1, 2))),
    "jl2": (aw.jl2_penalty, {}, lambda g, z: oracle_jacobian(g, z).square().sum((1, 2))),
    "jl1 scale-free": (
        aw.jl1_penalty,
        {"normalize": True},
        lambda g, z: (
            oracle_jacobian(g, z).abs().sum(2) / oracle_jacobian(g, z).square().sum(2).sqrt()
        ).sum(1),
    ),
    "orojar": (
        aw.orojar_penalty,
        {},
        lambda g, z: 2 * off_diagonal(oracle_jacobian(g, z) @ oracle_jacobian(g, z).mT),
    ),
    "orojar scale-free": (
        aw.orojar_penalty,
        {"normalize": True},
        lambda g, z: 2 * off_diagonal(cosines(oracle_jacobian(g, z))),
    ),
    "hessian": (
        aw.hessian_penalty,
        {},
        lambda g, z: 2 * off_diagonal(oracle_hessian(g, z)).mean(1),
    ),
    "ima": (
        aw.ima_contrast,
        {},
        lambda g, z: (
            oracle_jacobian(g, z).norm(dim=2).log().sum(1)
            - 0.5 * torch.logdet(oracle_jacobian(g, z) @ oracle_jacobian(g, z).mT)
        ),
    ),
}


@pytest.fixture(params=DEFINITIONS)
def definition(request):
    return DEFINITIONS[request.param]


# The published code


def published(name):
    given = {key: torch.from_numpy(REFERENCE[key]) for key in ("W", "b", "W1", "b1", "W2", "b2")}

    def hidden(z):
        return torch.tanh(z @ given["W1"].T + given["b1"])

    def mlp(z):
        return hidden(z) @ given["W2"].T + given["b2"]

    return {
        "linear": lambda z: z @ given["W"].T + given["b"],
        "mlp": mlp,
        "mlp_multilayer": lambda z: [hidden(z), mlp(z)],
    }[name]


PUBLISHED_Z = torch.from_numpy(REFERENCE["z"])
PUBLISHED_PROBES = torch.from_numpy(REFERENCE["probes"])
PENALTIES = {"orojar": aw.orojar_penalty, "hessian_penalty": aw.hessian_penalty}


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("reduction", ["mean", "max"])
@pytest.mark.parametrize("name", ["linear", "mlp", "mlp_multilayer"])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_estimators_agree_with_the_published_code(penalty, name, reduction, k):
    ours = PENALTIES[penalty](
        published(name),
        PUBLISHED_Z,
        PUBLISHED_PROBES[:k],
        reduction=reduction,
        method="finite",
        epsilon=0.1,
    )
    theirs = REFERENCE[f"{penalty}/{name}/{reduction}/k{k}"].item()
    # A linear generator has no curvature: what is left there is the rounding of differences.
    assert ours.item() == pytest.approx(theirs, rel=1e-9, abs=1e-20)


@pytest.mark.parametrize("name", ["linear", "mlp"])
@pytest.mark.parametrize(
    ("key", "penalty", "arguments"),
    [
        ("jl1", aw.jl1_penalty, {}),
        ("jl2", aw.jl2_penalty, {}),
        ("jl1_fd_eps1e-3", aw.jl1_penalty, {"method": "finite", "epsilon": 1e-3}),
        ("jl2_fd_eps1e-3", aw.jl2_penalty, {"method": "finite", "epsilon": 1e-3}),
    ],
)
def test_jacobian_costs_agree_with_the_published_code(key, penalty, arguments, name):
    ours = penalty(published(name), PUBLISHED_Z, **arguments)
    assert ours.item() == pytest.approx(REFERENCE[f"{key}/{name}"].item(), rel=1e-11)


def published_gan():
    """The simple GAN at size 64 in float64, weights by the rule of the reference."""
    keys = json.loads((REFERENCES / "gan_g64_keys.json").read_text())
    weights = {}
    for position, (key, shape) in enumerate(keys.items(), start=1):
        angle = position + 12.9898 * torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
        weights[key] = 0.05 * (2 * (angle.sin() * 43758.5453).remainder(1) - 1).view(shape)
    return aw.nets.SimpleGenerator.from_published(weights)


@torch.no_grad()
def central_difference(value, parameter, direction, step):
    """How fast a scalar changes as the parameter moves along the direction."""
    before, ends = parameter.clone(), []
    for move in (step, -step):
        parameter.copy_(before + move * direction)
        ends.append(value().item())
    parameter.copy_(before)
    return (ends[0] - ends[1]) / (2 * step)


@pytest.mark.parametrize("method", ["forward", "finite"])
def test_the_gradient_of_the_published_gans_penalty_is_that_of_finite_differences(method):
    """One training step's penalty: the first four convolutions, the largest of the batch.

    The oracle runs the whole generator, keeps the convolutions' outputs by hooks, and takes the
    published differences, or exact products by double backward; its own gradient is by differences.
    """
    generator = published_gan()
    names = generator.convolutions[:4]
    z = torch.from_numpy(np.load(REFERENCES / "gan_g64.npz")["z"]).double()
    probes = aw.rademacher((2, *z.shape), rng=torch.Generator().manual_seed(0), dtype=z.dtype)

    def outputs(z):
        kept = []
        hooks = [
            generator.get_submodule(name).register_forward_hook(
                lambda *given: kept.append(given[2])
            )
            for name in names
        ]
        generator(z)
        for hook in hooks:
            hook.remove()
        return kept

    def products(probe):
        if method == "finite":
            both = zip(outputs(z + 0.1 * probe), outputs(z), strict=True)
            return [(ahead - here) / 0.1 for ahead, here in both]
        return torch.autograd.functional.jvp(lambda z: tuple(outputs(z)), z, probe)[1]

    def oracle():
        squares = [[p.square().sum((1, 2, 3)) for p in products(probe)] for probe in probes]
        return sum(torch.stack(each).var(0).max() for each in zip(*squares, strict=True))

    penalty = aw.orojar_penalty(generator, z, probes, reduction="max", method=method, layers=names)
    with torch.no_grad():
        expected = oracle().item()
    assert penalty.item() == pytest.approx(expected, rel=1e-10)

    # Directions along which every entry's slope counts, lest a wrong one be lost among many.
    parameters = [generator.get_parameter(f"{n}.weight") for n in ("0.1", "1.1", "3.0")]
    for parameter, ours in zip(parameters, torch.autograd.grad(penalty, parameters), strict=True):
        direction = ours.sign() * torch.rand(ours.shape, generator=torch.Generator().manual_seed(1))
        theirs = central_difference(oracle, parameter, direction, 1e-6)
        assert (ours * direction).sum().item() == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("groups", [None, 6], ids=["exact", "as many groups as latents"])
@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_exact_orojar_is_twice_the_published_sum_of_squares(name, groups):
    ours = aw.orojar_penalty(published(name), PUBLISHED_Z, groups=groups)
    theirs = REFERENCE[f"orojar_exact_sum_offdiag_sq/{name}"].item()
    assert ours.item() == pytest.approx(2 * theirs, rel=1e-12)


# Definitions, on an oracle's derivatives


def test_value_and_parameter_gradients_equal_the_definition(definition):
    penalty, arguments, define = definition
    generator, z = net(), latents()
    ours, theirs = penalty(generator, z, **arguments), define(generator, z).mean()
    assert ours.shape == ()
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    parameters = list(generator.parameters())
    for one, other in zip(
        torch.autograd.grad(ours, parameters, materialize_grads=True),
        torch.autograd.grad(theirs, parameters, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


def test_reductions(definition):
    penalty, arguments, define = definition
    generator, z = net(), latents()
    each = define(generator, z)
    ours = penalty(generator, z, reduction=None, **arguments)
    torch.testing.assert_close(ours, each, rtol=1e-10, atol=1e-12)
    if penalty is not aw.hessian_penalty:  # whose maximum is over the outputs too
        ours = penalty(generator, z, reduction="max", **arguments)
        torch.testing.assert_close(ours, each.max(), rtol=1e-10, atol=1e-12)


def test_the_hessian_penaltys_maximum_is_over_batch_and_outputs():
    generator, z = net(), latents()
    each = 2 * off_diagonal(oracle_hessian(generator, z))
    torch.testing.assert_close(aw.hessian_penalty(generator, z, reduction="max"), each.max())


@pytest.mark.parametrize("reduction", ["mean", "max"])
def test_activations_are_reduced_over_the_batch_then_summed(definition, reduction):
    penalty, arguments, _ = definition
    generator, z = net(several=True), latents()
    alone = [
        penalty(lambda z, i=i: generator(z)[i], z, reduction=reduction, **arguments)
        for i in range(2)
    ]
    torch.testing.assert_close(penalty(generator, z, reduction=reduction, **arguments), sum(alone))
    table = penalty(generator, z, reduction=None, **arguments)
    assert table.shape == (2, len(z))
    rows = [
        penalty(lambda z, i=i: generator(z)[i], z, reduction=None, **arguments) for i in range(2)
    ]
    torch.testing.assert_close(table, torch.stack(rows))


@pytest.mark.parametrize(
    ("penalty", "arguments"),
    [
        (aw.jl1_penalty, {}),
        (aw.jl1_penalty, {"columns": 2}),
        (aw.jl2_penalty, {}),
        (aw.orojar_penalty, {}),
        (aw.orojar_penalty, {"probes": 2}),
        (aw.orojar_penalty, {"groups": 2}),
        (aw.hessian_penalty, {}),
        (aw.hessian_penalty, {"probes": 2}),
        (aw.hessian_penalty, {"groups": 2}),
    ],
)
@pytest.mark.parametrize("shape", [(), (1,), (2, 1, 3)], ids=str)
def test_any_output_shape_is_the_same_as_its_flat_form(penalty, arguments, shape):
    size = math.prod(shape)
    generator, z = net(), latents()

    def flat(z):
        return generator(z).flatten(1)[:, :size]

    given = {**arguments, "reduction": None}
    ours = penalty(
        lambda z: flat(z).view(-1, *shape), z, rng=torch.Generator().manual_seed(1), **given
    )
    wanted = penalty(flat, z, rng=torch.Generator().manual_seed(1), **given)
    torch.testing.assert_close(ours, wanted)
    assert ours.shape == (3,)


@pytest.mark.parametrize("chunk_size", [2, 8])
@pytest.mark.parametrize("method", ["forward", "finite"])
def test_chunks_change_neither_value_nor_gradient(definition, chunk_size, method):
    penalty, arguments, _ = definition
    generator, z = net(several=True), latents()
    given = {**arguments, "method": method, "epsilon": 1e-3}
    results = []
    for chunk in (None, chunk_size):
        value = penalty(generator, z, chunk_size=chunk, **given)
        results.append(
            (value, *torch.autograd.grad(value, generator.parameters(), materialize_grads=True))
        )
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


def test_detach_false_gives_z_the_gradient_of_the_definition(definition):
    penalty, arguments, define = definition
    generator, z = net(), latents().requires_grad_()
    cut = penalty(generator, z, **arguments)
    assert torch.autograd.grad(cut, z, allow_unused=True) == (None,)
    (ours,) = torch.autograd.grad(penalty(generator, z, detach=False, **arguments), z)
    (theirs,) = torch.autograd.grad(define(generator, z).mean(), z)
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)
    assert theirs.abs().max() > 1e-6


def test_conditioning_reaches_the_generator(definition):
    penalty, arguments, _ = definition
    generator, z, scale = net(), latents(), torch.rand(3, 1, 1, dtype=torch.float64) + 0.5
    ours = penalty(
        lambda z, scale: scale * generator(z),
        z,
        chunk_size=2,
        conditioning={"scale": scale},
        **arguments,
    )
    wanted = penalty(lambda z: scale * generator(z), z, **arguments)
    torch.testing.assert_close(ours, wanted)


@pytest.mark.parametrize(
    ("penalty", "arguments"),
    [
        (aw.jl1_penalty, {}),
        (aw.jl1_penalty, {"columns": 2}),
        (aw.jl1_penalty, {"normalize": True}),
        (aw.jl2_penalty, {}),
        (aw.orojar_penalty, {}),
        (aw.orojar_penalty, {"groups": 3}),
        (aw.orojar_penalty, {"normalize": True}),
        (aw.ima_contrast, {}),
    ],
)
@pytest.mark.parametrize("road", ["general", "stack"])
def test_bfloat16_autocast_comes_close_to_float32(penalty, arguments, road):
    torch.manual_seed(0)
    stack = nn.Sequential(nn.Linear(4, 128), nn.Tanh(), nn.Linear(128, 512), nn.Sigmoid())
    generator = stack if road == "stack" else lambda z: stack(z)
    z = torch.randn(8, 4)

    def measured():
        torch.manual_seed(1)
        value = penalty(generator, z, **arguments)
        return value, torch.cat([g.flatten() for g in torch.autograd.grad(value, weights)])

    weights = [stack[0].weight, stack[2].weight]
    value, gradient = measured()
    with torch.autocast("cpu", torch.bfloat16):
        rounded, its_gradient = measured()
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, value, rtol=0.02, atol=0)
    assert (its_gradient - gradient).norm() < 0.1 * gradient.norm()


def test_float32_orojar_of_nearly_orthogonal_columns_keeps_its_digits():
    """Columns of length 100 with cosine 1e-4: the diagonal's squares are 2e8 times as large."""
    jacobian = torch.tensor([[100.0, 0.0, 0.0], [0.01, 100.0, 0.0]])
    ours = aw.orojar_penalty(lambda z: z @ jacobian, torch.zeros(1, 2))
    assert ours.item() == pytest.approx(4 * 1.0**2, rel=1e-6)


# Estimators: unbiased, by going through all that can be drawn


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("normalize", [False, True])
def test_sampled_columns_average_to_the_exact_cost(k, normalize):
    """Over all sets of k columns; the gradient too."""
    generator, z = net(), latents()
    for penalty, arguments in [(aw.jl1_penalty, {"normalize": normalize}), (aw.jl2_penalty, {})]:
        sets = list(itertools.combinations(range(LATENT), k))
        mean = sum(penalty(generator, z, list(chosen), **arguments) for chosen in sets) / len(sets)
        exact = penalty(generator, z, **arguments)
        assert_same_with_gradient(mean, exact, generator)


def assert_same_with_gradient(one, other, module):
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    own, others = (
        torch.autograd.grad(
            value, list(module.parameters()), retain_graph=True, materialize_grads=True
        )
        for value in (one, other)
    )
    for a, b in zip(own, others, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


def sign_patterns(latent):
    return torch.tensor(list(itertools.product([-1.0, 1.0], repeat=latent)), dtype=torch.float64)


@pytest.mark.parametrize("penalty", [aw.orojar_penalty, aw.hessian_penalty])
@pytest.mark.parametrize("k", [2, 4])
def test_probes_average_to_the_exact_penalty(penalty, k):
    """Over all k-tuples of sign patterns of three latents, half of them by symmetry v ~ −v."""
    generator, z = net(latent=3), latents(1, 3)
    signs = sign_patterns(3)[:4]
    tuples = list(itertools.product(range(4), repeat=k))
    probes = signs[torch.tensor(tuples)].transpose(0, 1)  # (k, tuple, latent)
    mean = penalty(generator, z.expand(len(tuples), -1), probes)
    assert_same_with_gradient(mean, penalty(generator, z), generator)


def splits(latent, groups):
    """All ways to deal latents to groups as equally as possible, (way, group, latent)."""
    large, more = divmod(latent, groups)
    sizes = sorted([large + 1] * more + [large] * (groups - more))
    members = [
        owner
        for owner in itertools.product(range(groups), repeat=latent)
        if sorted(owner.count(group) for group in range(groups)) == sizes
    ]
    return torch.nn.functional.one_hot(torch.tensor(members)).transpose(1, 2).double()


@pytest.mark.parametrize("penalty", [aw.orojar_penalty, aw.hessian_penalty])
@pytest.mark.parametrize("groups", [2, 3, 4])
def test_groups_average_to_the_exact_penalty(penalty, groups):
    """Over all splits of four latents and all their signs."""
    latent = 4
    generator, z = net(latent=latent), latents(1, latent)
    drawn = splits(latent, groups)[:, None] * sign_patterns(latent)[None, :, None, :]
    drawn = drawn.flatten(0, 1).transpose(0, 1)  # (group, way, latent)
    mean = penalty(generator, z.expand(drawn.shape[1], -1), groups=drawn)
    assert_same_with_gradient(mean, penalty(generator, z), generator)


@pytest.mark.parametrize("penalty", [aw.orojar_penalty, aw.hessian_penalty])
def test_as_many_groups_as_latents_are_exact_at_every_draw(penalty):
    generator, z = net(), latents()
    exact = penalty(generator, z)
    for seed in range(5):
        rng = torch.Generator().manual_seed(seed)
        drawn = penalty(generator, z, groups=LATENT, rng=rng)
        assert_same_with_gradient(drawn, exact, generator)


@pytest.mark.parametrize(
    ("penalty", "arguments"),
    [
        (aw.jl1_penalty, {"columns": 1}),
        (aw.jl1_penalty, {"columns": 3}),
        (aw.jl2_penalty, {"columns": 1}),
        (aw.jl2_penalty, {"columns": 3}),
        (aw.orojar_penalty, {"probes": 2}),
        (aw.orojar_penalty, {"probes": 4}),
        (aw.orojar_penalty, {"groups": 2}),
        (aw.orojar_penalty, {"groups": 3}),
        (aw.hessian_penalty, {"probes": 2}),
        (aw.hessian_penalty, {"groups": 3}),
    ],
)
def test_drawn_values_average_to_the_exact_one(penalty, arguments):
    """20,000 seeded draws: within four standard errors, which are at most 1.2 % of the value."""
    generator, z = net(), latents(1)
    exact = penalty(generator, z).item()
    draws = penalty(
        generator,
        z.expand(20_000, -1),
        reduction=None,
        rng=torch.Generator().manual_seed(0),
        **arguments,
    )
    error = draws.std().item() / math.sqrt(len(draws))
    assert error < 0.012 * exact
    assert draws.mean().item() == pytest.approx(exact, abs=4 * error)
    assert draws.std() > 0.02 * exact  # a draw does differ from the next


@pytest.mark.parametrize("latent", range(2, 9))
def test_groups_are_as_equal_as_possible_and_signed(latent):
    for groups in range(2, latent + 1):
        drawn = aw.sample_groups(200, latent, groups, rng=torch.Generator().manual_seed(0))
        assert drawn.shape == (groups, 200, latent)
        assert (drawn.abs().sum(0) == 1).all()  # each latent in one group
        sizes = drawn.abs().sum(2)
        assert sizes.max() - sizes.min() <= 1
        assert 0.4 < (drawn.sum(0) == 1).double().mean() < 0.6
        assert (drawn.abs()[0].mean(0) > 0).all()  # any latent may be in the first group


def deviations(outputs, products):
    """Relative standard deviation of one draw, paper's and grouped, mean over 20 Jacobians."""
    rng = torch.Generator().manual_seed(0)
    z = torch.zeros(1500, 10, dtype=torch.float64)
    both = []
    for _ in range(20):
        generator = linear(torch.randn(outputs, 10, dtype=torch.float64, generator=rng))
        exact = aw.orojar_penalty(generator, z[:1])
        drawn = [
            aw.orojar_penalty(generator, z, reduction=None, rng=rng, **{kind: products})
            for kind in ("probes", "groups")
        ]
        both.append([(each.std() / exact).item() for each in drawn])
    return np.mean(both, axis=0).tolist()


@pytest.mark.parametrize(
    ("products", "simulated"),
    [(2, [1.84, 1.74]), (3, [1.34, 1.11]), (4, [1.13, 0.84]), (6, [0.89, 0.55])],
)
def test_grouped_probes_vary_less_than_the_papers_from_three_products_up(products, simulated):
    """With two outputs close to the design's simulation; with fifty the gain is greater yet."""
    assert deviations(2, products) == pytest.approx(simulated, abs=0.2)
    paper, grouped = deviations(50, products)
    assert grouped < {2: 1.0, 3: 0.85, 4: 0.75, 6: 0.6}[products] * paper


# Repeatability


@pytest.mark.parametrize(
    ("penalty", "argument", "sample"),
    [
        (aw.jl1_penalty, {"columns": 2}, lambda rng: aw.sample_columns(3, LATENT, 2, rng=rng)),
        (aw.jl2_penalty, {"columns": 2}, lambda rng: aw.sample_columns(3, LATENT, 2, rng=rng)),
        (
            aw.orojar_penalty,
            {"probes": 4},
            lambda rng: aw.rademacher((4, 3, LATENT), rng=rng, dtype=torch.float64),
        ),
        (
            aw.hessian_penalty,
            {"probes": 4},
            lambda rng: aw.rademacher((4, 3, LATENT), rng=rng, dtype=torch.float64),
        ),
        (
            aw.orojar_penalty,
            {"groups": 3},
            lambda rng: aw.sample_groups(3, LATENT, 3, rng=rng, dtype=torch.float64),
        ),
        (
            aw.hessian_penalty,
            {"groups": 3},
            lambda rng: aw.sample_groups(3, LATENT, 3, rng=rng, dtype=torch.float64),
        ),
    ],
)
def test_a_draw_can_be_repeated_by_seed_and_by_hand(penalty, argument, sample):
    generator, z = net(), latents()
    before = torch.get_rng_state()

    def drawn(seed):
        return penalty(generator, z, rng=torch.Generator().manual_seed(seed), **argument)

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    (name,) = argument
    own = sample(torch.Generator().manual_seed(1))
    by_hand = penalty(generator, z, **{name: own})
    assert torch.equal(by_hand, drawn(1))
    assert torch.equal(by_hand, penalty(generator, z, **{name: own}))
    assert torch.equal(torch.get_rng_state(), before)


def test_exact_forms_draw_nothing(definition):
    penalty, arguments, _ = definition
    before = torch.get_rng_state()
    first = penalty(net(), latents(), method="finite", epsilon=0.1, **arguments)
    torch.manual_seed(99)
    assert torch.equal(first, penalty(net(), latents(), method="finite", epsilon=0.1, **arguments))
    torch.set_rng_state(before)
    penalty(PUBLISHED_MLP, PUBLISHED_Z, **arguments)
    assert torch.equal(torch.get_rng_state(), before)


PUBLISHED_MLP = published("mlp")


def test_sampled_columns_use_a_fresh_set_for_each_sample():
    """With the same z in every row, rows differ only by their columns."""
    generator, z = net(), latents(1).expand(50, -1)
    each = aw.jl1_penalty(
        generator, z, columns=1, reduction=None, rng=torch.Generator().manual_seed(0)
    )
    assert len(each.detach().numpy().round(12).tolist()) == 50
    assert len(set(each.detach().numpy().round(12).tolist())) == LATENT


# Laws


ALL = {
    "jl1": lambda j: aw.jl1_penalty(linear(j), zeros(j)),
    "jl1 scale-free": lambda j: aw.jl1_penalty(linear(j), zeros(j), normalize=True),
    "jl2": lambda j: aw.jl2_penalty(linear(j), zeros(j)),
    "orojar": lambda j: aw.orojar_penalty(linear(j), zeros(j)),
    "orojar scale-free": lambda j: aw.orojar_penalty(linear(j), zeros(j), normalize=True),
    "ima": lambda j: aw.ima_contrast(linear(j), zeros(j)),
    "hessian": lambda j: aw.hessian_penalty(lambda z: (z @ j.T).square(), zeros(j)),
}


def linear(jacobian):
    return lambda z: z @ jacobian.T


def zeros(jacobian):
    return jacobian.new_zeros(2, jacobian.shape[1])


def orthogonal(size, rng, dtype):
    random = torch.randn(size, size, dtype=torch.float64, generator=rng)
    return torch.linalg.qr(random).Q.to(dtype)


jacobians = st.builds(
    lambda latent, more, seed, dtype: torch.randn(
        latent + more,
        latent,
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    ).to(dtype),
    latent=st.integers(2, 6),
    more=st.integers(0, 12),
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
laws = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])


def close(one, other, dtype, scale=None):
    """Up to rounding; sums that cancel are measured against what they are sums of."""
    precision = 2e-3 if dtype == torch.float32 else 1e-9
    scale = max(abs(one.item()), abs(other.item())) if scale is None else scale
    return abs(one.item() - other.item()) <= precision * max(scale, 1.0)


@pytest.mark.parametrize("name", ALL)
@laws
@given(jacobian=jacobians, seed=st.integers(0, 2**31))
def test_permuting_and_flipping_latents_changes_nothing(name, jacobian, seed):
    rng = torch.Generator().manual_seed(seed)
    latent = jacobian.shape[1]
    order = torch.randperm(latent, generator=rng)
    signs = aw.rademacher((latent,), rng=rng, dtype=jacobian.dtype)
    assert close(ALL[name](jacobian), ALL[name](jacobian[:, order] * signs), jacobian.dtype)


@pytest.mark.parametrize("name", ["jl2", "orojar", "orojar scale-free", "ima"])
@laws
@given(jacobian=jacobians, seed=st.integers(0, 2**31))
def test_rotating_the_output_changes_nothing_that_is_built_on_inner_products(name, jacobian, seed):
    rotation = orthogonal(len(jacobian), torch.Generator().manual_seed(seed), jacobian.dtype)
    assert close(ALL[name](jacobian), ALL[name](rotation @ jacobian), jacobian.dtype)


@pytest.mark.parametrize("name", ["jl1", "jl1 scale-free"])
def test_rotating_the_output_changes_the_l1_cost(name):
    eighth = math.sqrt(0.5) * torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    sparse = torch.eye(2)
    assert ALL[name](sparse).item() == pytest.approx(2.0)
    assert ALL[name](eighth @ sparse).item() == pytest.approx(2 * math.sqrt(2))


@pytest.mark.parametrize("name", ["jl1", "jl1 scale-free", "orojar", "orojar scale-free", "ima"])
def test_rotating_the_latents_changes_both_sparsity_and_orthogonality(name):
    """Sparse orthogonal columns of different lengths, turned by 45°."""
    columns = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    eighth = math.sqrt(0.5) * torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    assert ALL[name](columns @ eighth) > ALL[name](columns) + 0.1


def test_among_equally_long_orthogonal_columns_only_sparsity_sees_a_rotation_of_the_latents():
    eighth = math.sqrt(0.5) * torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    for name in ("orojar", "orojar scale-free", "ima", "jl2"):
        assert ALL[name](eighth).item() == pytest.approx(ALL[name](torch.eye(2)).item(), abs=1e-6)
    assert ALL["jl1"](eighth) > ALL["jl1"](torch.eye(2)) + 0.8


@laws
@given(
    latent=st.integers(2, 6),
    more=st.integers(0, 8),
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_orthonormal_columns_cost_no_orojar_and_no_ima(latent, more, seed, dtype):
    rng = torch.Generator().manual_seed(seed)
    lengths = 1 + torch.rand(latent, generator=rng).to(dtype)
    jacobian = orthogonal(latent + more, rng, dtype)[:, :latent] * lengths
    zero = torch.zeros(())
    assert close(ALL["orojar"](jacobian), zero, dtype)
    assert close(ALL["orojar scale-free"](jacobian), zero, dtype)
    assert close(ALL["ima"](jacobian), zero, dtype)
    assert ALL["orojar"](jacobian) >= 0


POWERS = {"jl1": 1, "jl2": 2, "orojar": 4, "jl1 scale-free": 0, "orojar scale-free": 0, "ima": 0}


@pytest.mark.parametrize("name", POWERS)
@laws
@given(jacobian=jacobians, scale=st.floats(0.1, 10))
def test_scaling_the_generator_scales_a_penalty_by_its_power(name, jacobian, scale):
    ours, scaled = ALL[name](jacobian), ALL[name](jacobian * scale)
    assert close(scaled, ours * scale ** POWERS[name], jacobian.dtype)


@pytest.mark.parametrize("name", ALL)
@laws
@given(jacobian=jacobians)
def test_no_penalty_is_negative(name, jacobian):
    assert ALL[name](jacobian).item() >= -1e-6


@laws
@given(jacobian=jacobians)
def test_the_scale_free_l1_lies_between_one_and_the_root_of_the_outputs_per_column(jacobian):
    outputs, latent = jacobian.shape
    ours = ALL["jl1 scale-free"](jacobian).item() / latent
    assert 1 - 1e-6 <= ours <= math.sqrt(outputs) + 1e-6


@laws
@given(jacobian=jacobians, chosen=st.data())
def test_own_indices_may_repeat_and_scale_by_their_share(jacobian, chosen):
    latent = jacobian.shape[1]
    index = chosen.draw(st.lists(st.integers(0, latent - 1), min_size=1, max_size=8))
    ours = aw.jl1_penalty(linear(jacobian), zeros(jacobian), index)
    wanted = jacobian[:, index].abs().sum() * latent / len(index)
    assert close(ours, wanted, jacobian.dtype)


# IMA contrast


def test_ima_of_two_columns_is_minus_the_log_of_the_sine():
    for angle in (0.1, 0.7, math.pi / 2):
        jacobian = torch.tensor(
            [[2.0, 3 * math.cos(angle)], [0.0, 3 * math.sin(angle)]], dtype=torch.float64
        )
        assert ALL["ima"](jacobian).item() == pytest.approx(-math.log(math.sin(angle)), abs=1e-12)


def test_ima_of_dependent_columns_is_large():
    jacobian = torch.ones(3, 2, dtype=torch.float64)
    assert ALL["ima"](jacobian) > 15


def with_zero_column(index=1):
    matrix = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix[:, index] = 0
    return matrix.requires_grad_()


def test_ima_refuses_a_column_of_length_zero_by_its_number_or_leaves_it_out():
    matrix = with_zero_column()
    with pytest.raises(ValueError, match="column 1 of the generator's Jacobian has length zero"):
        ALL["ima"](matrix)
    dropped = aw.ima_contrast(linear(matrix), zeros(matrix), zero_columns="drop")
    without = aw.ima_contrast(linear(matrix[:, [0, 2, 3]]), zeros(matrix)[:, 1:])
    torch.testing.assert_close(dropped, without)
    (gradient,) = torch.autograd.grad(dropped, matrix)
    (wanted,) = torch.autograd.grad(without, matrix)
    torch.testing.assert_close(gradient, wanted)
    assert wanted.abs().max() > 0.01


def test_ima_drops_columns_for_each_sample_alone():
    matrix = with_zero_column().detach()
    z = torch.tensor([[1.0], [0.0]], dtype=torch.float64).expand(-1, 4)
    own = matrix.clone()
    own[:, 1] = 1.0

    def generator(z):  # column 1 is zero where z_1 is zero
        return z @ matrix.T + 0.5 * z[:, 1:2].square() * own[:, 1]

    ours = aw.ima_contrast(generator, z, zero_columns="drop", reduction=None)
    torch.testing.assert_close(ours[0], ALL["ima"](own))
    torch.testing.assert_close(ours[1], ALL["ima"](matrix[:, [0, 2, 3]]))


def test_ima_needs_as_many_outputs_as_latents():
    with pytest.raises(ValueError, match="at least as many outputs as the 4 latents, got 3"):
        ALL["ima"](torch.randn(3, 4))


# Columns of length zero in scale-free forms


@pytest.mark.parametrize("name", ["jl1 scale-free", "orojar scale-free"])
@pytest.mark.parametrize("index", [1, [0, 1, 2, 3]], ids=["one", "all"])
def test_scale_free_forms_count_a_zero_column_as_nothing_and_stay_finite(name, index):
    matrix = with_zero_column(index)
    value = ALL[name](matrix)
    (gradient,) = torch.autograd.grad(value, matrix)
    assert gradient.isfinite().all()
    assert (gradient[:, index] == 0).all()
    if index == 1:
        alive = matrix[:, [0, 2, 3]]
        wanted = ALL[name](alive)
        torch.testing.assert_close(value, wanted)
        torch.testing.assert_close(gradient, torch.autograd.grad(wanted, matrix)[0])
    else:
        assert value.item() == 0


def test_a_dead_unit_leaves_no_nan_in_the_generators_weights(definition):
    """A latent that nothing reads: its column is zero, as in a collapsed VAE."""
    penalty, arguments, _ = definition
    generator = net()
    with torch.no_grad():
        generator.first.weight[:, 2] = 0
    given = {"zero_columns": "drop"} if penalty is aw.ima_contrast else {}
    value = penalty(generator, latents(), **arguments, **given)
    for gradient in torch.autograd.grad(value, generator.parameters(), materialize_grads=True):
        assert gradient.isfinite().all()


# Errors

Z = latents()
SAMPLED = [aw.orojar_penalty, aw.hessian_penalty]
EVERY = [aw.jl1_penalty, aw.jl2_penalty, *SAMPLED, aw.ima_contrast]


@pytest.mark.unchecked
@pytest.mark.parametrize("penalty", EVERY)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"z": Z[0]}, ValueError, r"z must be \(batch, \*latent\)"),
        ({"z": Z.int()}, TypeError, "z must be floating, got torch.int32"),
        ({"z": Z.tolist()}, TypeError, "z must be a tensor, got list"),
        ({"epsilon": 0}, ValueError, "epsilon must be > 0, got 0"),
        ({"method": "central"}, ValueError, "method must be 'forward' or 'finite', got 'central'"),
        ({"chunk_size": 0}, ValueError, "chunk_size must be at least 1, got 0"),
        ({"reduction": "sum"}, ValueError, "reduction must be 'mean', 'max' or None, got 'sum'"),
    ],
)
def test_every_penalty_names_a_bad_argument(penalty, arguments, error, message):
    with pytest.raises(error, match=message):
        penalty(**{"generator": net(), "z": Z, **arguments})


@pytest.mark.parametrize("penalty", EVERY)
def test_every_penalty_refuses_batch_norm_in_train_mode(penalty):
    normed = nn.Sequential(nn.Linear(LATENT, 8), nn.BatchNorm1d(8)).double()
    with pytest.raises(ValueError, match=r"generator must .*batch norm.*\.eval\(\)"):
        penalty(normed, Z)
    assert penalty(normed.eval(), Z).isfinite()


@pytest.mark.unchecked
@pytest.mark.parametrize("penalty", [aw.jl1_penalty, aw.jl2_penalty])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (0, "columns must be between 1 and the 5 latents, got 0"),
        (6, "columns must be between 1 and the 5 latents, got 6"),
        ([5], "columns must be between 0 and 4, got 5 to 5"),
        ([-1], "columns must be between 0 and 4, got -1 to -1"),
        ([0.0], "columns must be integer indices, got torch.float32"),
        ([True, False], "columns must be integer indices, got torch.bool"),
        (torch.zeros(2, 2, dtype=torch.int64), r"columns must be \(k,\) or \(batch, k\)"),
    ],
)
def test_bad_columns_are_refused(penalty, columns, message):
    with pytest.raises(ValueError, match=message):
        penalty(net(), Z, columns)


@pytest.mark.unchecked
@pytest.mark.parametrize("penalty", SAMPLED)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probes": 1}, "probes must be at least 2, .* got 1"),
        ({"probes": 0}, "probes must be at least 2, .* got 0"),
        ({"probes": torch.ones(1, 3, 5)}, "probes must be at least 2, .* got 1"),
        ({"probes": torch.ones(2, 3, 4)}, r"probes must be .* got \(2, 3, 4\)"),
        ({"probes": torch.ones(2, 5)}, r"probes must be .* got \(2, 5\)"),
        ({"groups": 1}, "groups must be between 2 and the 5 latents, got 1"),
        ({"groups": 6}, "groups must be between 2 and the 5 latents, got 6"),
        ({"groups": torch.ones(1, 3, 5)}, "groups must be at least 2, got 1"),
        ({"groups": 2, "probes": 2}, "give one of probes, groups"),
    ],
)
def test_bad_probes_and_groups_are_refused(penalty, arguments, message):
    with pytest.raises(ValueError, match=message):
        penalty(net(), Z, **arguments)


@pytest.mark.parametrize("arguments", [{"probes": 2}, {"groups": 2}])
def test_the_scale_free_orojar_has_neither_probes_nor_groups(arguments):
    with pytest.raises(ValueError, match="normalize must go with columns or the exact form"):
        aw.orojar_penalty(net(), Z, normalize=True, **arguments)


@pytest.mark.parametrize("normalize", [False, True])
def test_orojar_of_sampled_columns_is_unbiased(normalize):
    """The mean over all pairs of columns is the exact value, sample by sample."""
    exact = aw.orojar_penalty(net(), Z, normalize=normalize, reduction=None)
    latent = Z.shape[1]
    pairs = [[i, j] for i in range(latent) for j in range(i)]
    values = [
        aw.orojar_penalty(net(), Z, columns=pair, normalize=normalize, reduction=None)
        for pair in pairs
    ]
    torch.testing.assert_close(torch.stack(values).mean(0), exact)
    every = aw.orojar_penalty(net(), Z, columns=latent, normalize=normalize, reduction=None)
    torch.testing.assert_close(every, exact)


def test_orojar_needs_a_pair_of_columns():
    with pytest.raises(ValueError, match="columns must be at least 2, of which pairs are made"):
        aw.orojar_penalty(net(), Z, columns=[1])


@pytest.mark.unchecked
def test_an_unknown_treatment_of_zero_columns_is_refused():
    with pytest.raises(ValueError, match="zero_columns must be 'error' or 'drop', got 'keep'"):
        aw.ima_contrast(net(), Z, zero_columns="keep")


def test_too_many_groups_are_refused_when_sampled():
    for groups in (1, 6):
        with pytest.raises(ValueError, match=f"between 2 and the 5 latents, got {groups}"):
            aw.sample_groups(3, 5, groups)


def test_one_latent_alone_has_nothing_to_be_orthogonal_to():
    z = torch.zeros(2, 1)
    assert aw.orojar_penalty(torch.exp, z).item() == 0
    assert aw.ima_contrast(torch.exp, z).item() == 0
    with pytest.raises(ValueError, match=r"z must have at least 2 latents .* got \(2, 1\)"):
        aw.hessian_penalty(torch.exp, z)


def test_a_non_finite_generator_gives_a_non_finite_penalty():
    """So that a training loop can see it and stop."""
    for penalty in EVERY:
        assert not penalty(lambda z: (z * float("nan")).square(), Z).isfinite()


def test_the_docstrings_examples_run():
    attempted = 0
    for module in (jl1, orojar, hessian):
        for seed in range(3):
            torch.manual_seed(seed)
            result = doctest.testmod(module, raise_on_error=True)
        attempted += result.attempted
    assert attempted >= 8
