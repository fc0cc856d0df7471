"""What all penalties have in common: definitions on an oracle's Jacobian, options, laws, errors."""

import doctest
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from penalty_oracles import (
    ALL,
    EVERY,
    LATENT,
    PUBLISHED_Z,
    Z,
    close,
    jacobians,
    latents,
    laws,
    net,
    orthogonal,
    published,
    with_zero_column,
)
from torch import nn

import axiswise as aw
from axiswise.penalties import hessian, jl1, orojar


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


@pytest.mark.parametrize("name", ["jl1", "jl1 scale-free", "orojar", "orojar scale-free", "ima"])
def test_rotating_the_latents_changes_both_sparsity_and_orthogonality(name):
    """Sparse orthogonal columns of different lengths, turned by 45°."""
    columns = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    eighth = math.sqrt(0.5) * torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    assert ALL[name](columns @ eighth) > ALL[name](columns) + 0.1


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
