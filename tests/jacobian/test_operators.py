"""Transposed products, curvatures, directions, shaped latents, columns at hand: against oracles.

The oracle is `torch.autograd.functional` in float64, and gradients in the generator's parameters,
the probes and the directions are compared with its own.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import axiswise as aw

BATCH, LATENT, DIRECTIONS = 3, 4, 2


def generator(several=False):
    torch.manual_seed(0)
    return Net(several).double()


class Net(nn.Module):
    """Curved, with a norm; of two tensors, and one that does not depend on z, if several."""

    def __init__(self, several):
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(4, 6), nn.InstanceNorm1d(2), nn.Linear(6, 8)
        self.several = several

    def forward(self, z, *, shift=0.0):
        hidden = self.first(z.reshape(len(z), 4)) + shift
        normed = hidden + self.norm(hidden.view(-1, 2, 3)).flatten(1)
        image = torch.sin(self.second(F.softplus(normed))).view(-1, 2, 4)
        return (hidden.tanh(), image, torch.ones(len(z), 2).to(z)) if self.several else image


def stack():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(LATENT, 12),
        nn.ReLU(inplace=True),
        nn.Unflatten(1, (3, 2, 2)),
        nn.InstanceNorm2d(3, affine=True),
        nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1),
        nn.Sigmoid(),
    ).double()


ROADS = {"any": generator, "stack": stack}


def randn(*shape, seed=1):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def latents(*shape):
    return randn(BATCH, *(shape or (LATENT,)), seed=0)


def oracle(net, z):
    """(batch, latent, *output) by reverse mode, differentiable; latents in C order."""
    flat = z.flatten(1)
    full = torch.autograd.functional.jacobian(
        lambda flat: net(flat.view(z.shape)), flat, create_graph=True
    )
    return torch.stack([full[b, ..., b, :].movedim(-1, 0) for b in range(len(z))])


def assert_same(ours, theirs, *wanted):
    """In value, and in the gradients of a sum with random weights."""
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-11)
    weights = randn(*theirs.shape, seed=7)
    gradients = [
        torch.autograd.grad(
            (each * weights).sum(), wanted, retain_graph=True, materialize_grads=True
        )
        for each in (ours, theirs)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)
    assert any(gradient.abs().max() > 1e-3 for gradient in gradients[1])


# Transposed products


@pytest.mark.parametrize("chunk_size", [None, 1, 2, 4, 7])
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("road", ROADS)
def test_transposed_products_equal_the_oracle(road, detach, chunk_size):
    net, z = ROADS[road](), latents().requires_grad_()
    u = randn(5, *net(z).shape).requires_grad_()
    J = aw.Jacobian(net, z, detach=detach, chunk_size=chunk_size)
    theirs = torch.einsum("pbo,blo->pbl", u.flatten(2), oracle(net, z).flatten(2))
    assert_same(J.transposed_products(u), theirs, u, *net.parameters(), *([] if detach else [z]))
    if detach:
        assert torch.autograd.grad(J.transposed_products(u).sum(), z, allow_unused=True) == (None,)


def test_transposed_products_of_several_tensors_are_summed():
    net, z = generator(several=True), latents()
    u = [randn(2, *each.shape, seed=seed) for seed, each in enumerate(net(z))]
    theirs = sum(
        torch.einsum("pbo,blo->pbl", u[i].flatten(2), oracle(lambda z: net(z)[i], z).flatten(2))  # noqa: B023
        for i in range(2)
    )
    assert_same(aw.Jacobian(net, z).transposed_products(u), theirs, *net.parameters())


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_transposed_products_work_where_no_gradients_are_recorded(context):
    net, z, u = generator(), latents(), randn(2, BATCH, 2, 4)
    wanted = aw.Jacobian(net, z).transposed_products(u)
    with context():
        for chunk_size in (None, 2):
            ours = aw.Jacobian(net, z, chunk_size=chunk_size).transposed_products(u)
            assert not ours.requires_grad
            torch.testing.assert_close(ours, wanted.detach())


def test_transposed_products_go_through_layers_then_and_conditioning():
    net, z, shift = generator(), latents(), randn(BATCH, 6)
    shifted = {"conditioning": {"shift": shift}, "chunk_size": 2}
    u = randn(2, BATCH, 6)
    wanted = torch.einsum("pbo,ol->pbl", u, net.first.weight)
    ours = aw.Jacobian(net, z, layers=("first",), **shifted).transposed_products([u])
    torch.testing.assert_close(ours, wanted)
    u = randn(2, BATCH, 2, 4)
    wanted = aw.Jacobian(lambda z: net(z, shift=shift).exp(), z).transposed_products(u)
    ours = aw.Jacobian(net, z, then=torch.exp, **shifted).transposed_products(u)
    torch.testing.assert_close(ours, wanted)


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("net", "probes", "options", "message"),
    [
        (generator(), randn(2, 1, 2, 4), {}, r"probes must be \(probe, batch, \*output\)"),
        (generator(), randn(2, 3, 8), {}, r"probes must be .*\(≥ 1, 3, 2, 4\), got \(2, 3, 8\)"),
        (generator(), randn(0, 3, 2, 4), {}, r"probes must be .* got \(0, 3, 2, 4\)"),
        (generator(True), randn(2, 3, 6), {}, "probes must be one for each of .* 3 tensors, got 1"),
        (generator(), randn(2, 3, 2, 4), {"method": "finite"}, "method must be 'forward'"),
        (torch.no_grad()(generator().forward), randn(2, 3, 2, 4), {}, "must record gradients"),
        (nn.BatchNorm1d(4).double(), randn(2, 3, 4), {}, "generator must .*batch norm"),
    ],
)
def test_transposed_products_name_what_is_wrong(net, probes, options, message):
    with pytest.raises(ValueError, match=message):
        aw.Jacobian(net, latents(), **options).transposed_products(probes)


# Curvatures, Gram matrices and shaped latents


@pytest.mark.parametrize("road", ROADS)
def test_curvatures_equal_reverse_over_reverse(road):
    net, z, v = ROADS[road](), latents(), randn(2, BATCH, LATENT)
    # PyTorch's own third derivative of an instance norm is wrong: the oracle is without.
    setattr(net, "norm" if road == "any" else "3", nn.Identity())

    def along(probe, row):
        first = torch.zeros((), dtype=z.dtype, requires_grad=True)
        values = net((z + first * probe)[row : row + 1]).flatten()
        slopes = [torch.autograd.grad(y, first, create_graph=True)[0] for y in values]
        return torch.stack(
            [
                torch.autograd.grad(s, first, create_graph=True, materialize_grads=True)[0]
                for s in slopes
            ]
        )

    theirs = torch.stack([torch.stack([along(p, row) for row in range(BATCH)]) for p in v])
    ours = aw.Jacobian(net, z).curvatures(v)
    assert_same(ours.flatten(2), theirs, *net.parameters())


@pytest.mark.parametrize("method", ["forward", "finite"])
@pytest.mark.parametrize("shape", [(2, 2), (1, 4), (2, 1, 2)], ids=str)
def test_shaped_latents_have_the_derivatives_of_flat_ones(shape, method):
    net, z = generator(), latents(*shape)
    settings = {"method": method, "epsilon": 1e-7}
    J, flat = aw.Jacobian(net, z, **settings), aw.Jacobian(net, z.flatten(1), **settings)
    assert (J.batch, J.latent) == (BATCH, 4)
    close = {"rtol": 1e-10, "atol": 1e-12} if method == "forward" else {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(J.columns(), oracle(net, z), **close)
    index = torch.tensor([[3, 0], [1, 1], [2, 3]])
    torch.testing.assert_close(J.columns(index), flat.columns(index))
    torch.testing.assert_close(J.gram(), flat.gram())
    v = randn(2, BATCH, 4)
    torch.testing.assert_close(J.products(v.view(2, *z.shape)), flat.products(v))
    with pytest.raises(ValueError, match=r"probes must be \(probe, batch, \*latent\)"):
        J.products(v)
    if method == "forward":
        u = randn(2, BATCH, 2, 4)
        pulled = J.transposed_products(u)
        assert pulled.shape == (2, *z.shape)
        torch.testing.assert_close(pulled.flatten(2), flat.transposed_products(u))


def test_a_stack_takes_shaped_latents():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(), nn.ConvTranspose2d(3, 1, 2, 2))
    net, z = net.double(), latents(2, 2, 3)
    assert_same(aw.jacobian_columns(net, z), oracle(net, z), *net.parameters())


def scores(J, **given):
    rng = torch.Generator().manual_seed(3)
    return [
        aw.jl1_penalty(J, columns=2, rng=rng),
        aw.jl1_penalty(J, normalize=True),
        aw.jl2_penalty(J),
        aw.orojar_penalty(J),
        aw.orojar_penalty(J, **(given or {"probes": 2}), rng=rng),
        aw.orojar_penalty(J, groups=2, rng=rng),
        aw.orojar_penalty(J, columns=2, normalize=True, rng=rng),
        aw.ima_contrast(J),
    ]


def test_penalties_of_shaped_latents_are_those_of_flat_ones():
    net, z = generator(), latents(2, 2)
    ours, theirs = (aw.Jacobian(net, each) for each in (z, z.flatten(1)))
    torch.testing.assert_close(scores(ours), scores(theirs))
    for form in ({}, {"probes": 3}, {"groups": 2}):
        values = [
            aw.hessian_penalty(J, rng=torch.Generator().manual_seed(0), **form)
            for J in (ours, theirs)
        ]
        torch.testing.assert_close(*values)


# Directions


def moved(net, z, matrix):
    """The function w ↦ G(z + wA), as anyone would write it."""
    return lambda w: net(z + torch.tensordot(w, matrix, 1))


@pytest.mark.parametrize("shape", [(4,), (2, 2)], ids=str)
def test_along_is_the_jacobian_of_the_moved_generator_and_differentiable_in_the_directions(shape):
    net, z = generator(), latents(*shape)
    matrix = randn(DIRECTIONS, *shape).requires_grad_()
    J, w = aw.Jacobian(net, z).along(matrix), z.new_zeros(BATCH, DIRECTIONS)
    assert (J.batch, J.latent) == (BATCH, DIRECTIONS)
    theirs = oracle(moved(net, z, matrix), w)
    wanted = [matrix, *net.parameters()]
    assert_same(J.columns(), theirs, *wanted)
    index = torch.tensor([[1], [0], [1]])
    assert_same(J.columns(index), theirs[torch.arange(BATCH)[:, None], index], *wanted)
    assert_same(J.gram(), theirs.flatten(2) @ theirs.flatten(2).mT, *wanted)
    v, u = randn(3, BATCH, DIRECTIONS), randn(3, BATCH, 2, 4)
    assert_same(J.products(v), torch.einsum("pbd,bd...->pb...", v, theirs), *wanted)
    pulled = torch.einsum("pbo,bdo->pbd", u.flatten(2), theirs.flatten(2))
    assert_same(J.transposed_products(u), pulled, *wanted)
    bent = aw.Jacobian(moved(net, z, matrix), w).curvatures(v)
    assert_same(J.curvatures(v), bent, *wanted)
    other = randn(3, DIRECTIONS)
    assert_same(J.along(other).columns(), torch.einsum("cd,bd...->bc...", other, theirs), *wanted)


def test_penalties_along_directions_are_those_of_the_moved_generator():
    net, z, matrix = generator(), latents(), randn(3, LATENT)
    ours = aw.Jacobian(net, z).along(matrix)
    theirs = aw.Jacobian(moved(net, z, matrix), z.new_zeros(BATCH, 3))
    torch.testing.assert_close(scores(ours), scores(theirs))
    torch.testing.assert_close(aw.hessian_penalty(ours), aw.hessian_penalty(theirs))


@pytest.mark.parametrize("k", [1, 2])
def test_some_directions_against_all_average_to_the_exact_penalty_and_its_gradient(k):
    """Over all sets of k directions, with the gradient in the directions."""
    net, z = generator(), latents()
    matrix = randn(3, LATENT).requires_grad_()
    J = aw.Jacobian(net, z).along(matrix)
    sets = torch.combinations(torch.arange(3), k)
    values = torch.stack([aw.orojar_penalty(J, columns=each, all_pairs=True) for each in sets])
    exact = aw.orojar_penalty(J)
    torch.testing.assert_close(values.mean(), exact)
    ours, theirs = (torch.autograd.grad(each, matrix)[0] for each in (values.mean(), exact))
    torch.testing.assert_close(ours, theirs)


def test_all_pairs_are_of_sampled_directions_only():
    net, z, matrix = generator(), latents(), randn(3, LATENT).requires_grad_()
    along = aw.Jacobian(net, z).along(matrix)
    for J, given in [(aw.Jacobian(net, z), {"columns": 1}), (along, {})]:
        with pytest.raises(ValueError, match="all_pairs must go with columns of a Jacobian along"):
            aw.orojar_penalty(J, all_pairs=True, **given)
    with pytest.raises(ValueError, match="normalize must go with columns or the exact form"):
        aw.orojar_penalty(along, columns=1, all_pairs=True, normalize=True)
    several = aw.Jacobian(generator(True), z).along(matrix)
    with pytest.raises(ValueError, match=r"all_pairs must go with one tensor, .* gives 3"):
        aw.orojar_penalty(several, columns=1, all_pairs=True)
    with torch.no_grad(), pytest.raises(ValueError, match="generator must record gradients"):
        aw.orojar_penalty(along, columns=1, all_pairs=True)


@pytest.mark.unchecked
@pytest.mark.parametrize("shape", [(4,), (2, 5), (0, 4), (2, 2, 2)], ids=str)
def test_directions_of_a_wrong_shape_are_refused(shape):
    J = aw.Jacobian(generator(), latents())
    for each in (J, J.along(randn(4, 4)), aw.KnownJacobian(J.columns())):
        with pytest.raises(ValueError, match=r"directions must be .* \(≥ 1, 4\), got"):
            each.along(torch.zeros(shape))


# Columns at hand


def test_columns_at_hand_give_what_is_linear():
    net, z = generator(), latents()
    J = aw.Jacobian(net, z)
    known = aw.KnownJacobian(J.columns())
    v, u, matrix = randn(2, BATCH, LATENT), randn(2, BATCH, 2, 4), randn(3, LATENT)
    index = [[0, 2], [1, 3], [3, 3]]
    torch.testing.assert_close(known.products(v), J.products(v))
    torch.testing.assert_close(known.transposed_products(u), J.transposed_products(u))
    torch.testing.assert_close(known.columns(torch.tensor(index)), J.columns(torch.tensor(index)))
    torch.testing.assert_close(known.gram(), J.gram())
    torch.testing.assert_close(known.along(matrix).columns(), J.along(matrix).columns())
    torch.testing.assert_close(scores(known), scores(J))
    torch.testing.assert_close(scores(known.along(matrix)), scores(J.along(matrix)))
    with pytest.raises(TypeError, match="second derivatives, got a KnownJacobian"):
        aw.hessian_penalty(known)


@pytest.mark.unchecked
def test_columns_at_hand_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"columns must be \(batch, latent, \*output\)"):
        aw.KnownJacobian(torch.zeros(3))


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"z": latents()}, "z must be given to the Jacobian, not beside it"),
        ({"method": "forward"}, "method must be given to the Jacobian"),
        ({"conditioning": {}}, "conditioning must be given to the Jacobian"),
        ({"chunk": 3}, "chunk must be given to the Jacobian"),
    ],
    ids=str,
)
def test_an_option_beside_a_jacobian_is_an_error(options, message):
    J = aw.Jacobian(generator(), latents())
    for ask in (aw.jl1_penalty, aw.orojar_penalty, aw.hessian_penalty, aw.jacobian_columns):
        with pytest.raises(TypeError, match=message):
            ask(J, **options)


def test_an_unknown_option_or_no_latents_are_errors():
    with pytest.raises(TypeError, match="unexpected keyword argument 'chunk'"):
        aw.jl1_penalty(generator(), latents(), chunk=3)
    with pytest.raises(TypeError, match="z must be given with a generator"):
        aw.jl1_penalty(generator())


def test_the_step_of_differences_is_the_askers_own_unless_the_jacobian_has_one():
    net, z, probes = generator(), latents(), aw.rademacher((2, BATCH, LATENT)).double()
    for penalty, step, given in [
        (aw.jl1_penalty, 1e-3, {}),
        (aw.orojar_penalty, 0.1, {"probes": probes}),
        (aw.hessian_penalty, 0.1, {"probes": probes}),
    ]:
        own, same, other = (
            penalty(aw.Jacobian(net, z, "finite", epsilon=epsilon), **given)
            for epsilon in (None, step, 0.05)
        )
        assert torch.equal(own, same)
        assert not torch.equal(own, other)
