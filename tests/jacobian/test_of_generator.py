"""Columns, products and Gram matrices against `torch.autograd.functional.jacobian` in float64."""

import doctest
import functools
import itertools
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import axiswise as aw
import axiswise.jacobian.of_generator

REFERENCE = np.load(Path(__file__).parents[1] / "reference" / "penalties.npz")
BATCH, LATENT = 4, 5


def oracle_columns(generator, z):
    """Reverse-mode Jacobian, (batch, latent, *output) for each activation, differentiable."""
    output = generator(z)
    several = not isinstance(output, torch.Tensor)
    full = torch.autograd.functional.jacobian(
        lambda z: tuple(generator(z)) if several else generator(z), z, create_graph=True
    )
    own = [
        torch.stack([each[b, ..., b, :].movedim(-1, 0) for b in range(len(z))])
        for each in (full if several else [full])
    ]
    return own if several else own[0]


def latents(batch=BATCH, latent=LATENT, dtype=torch.float64, seed=0):
    return torch.randn(batch, latent, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def gradients(derivatives, module):
    """Gradients of the derivatives, contracted with fixed random weights, in the parameters."""
    each = [derivatives] if isinstance(derivatives, torch.Tensor) else derivatives
    weights = [torch.randn(d.shape, generator=torch.Generator().manual_seed(1)) for d in each]
    loss = sum((d * w).sum() for d, w in zip(each, weights, strict=True))
    parameters = list(module.parameters())
    return torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True)


def assert_close(ours, theirs, **tolerance):
    tolerance = tolerance or {"rtol": 1e-10, "atol": 1e-12}
    if isinstance(ours, torch.Tensor):
        torch.testing.assert_close(ours, theirs, **tolerance)
        return
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


class Scalar(nn.Module):
    """One number for each sample: output shape (batch,)."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(LATENT, 6), nn.Softplus(), nn.Linear(6, 1))

    def forward(self, z):
        return self.net(z).squeeze(1)


class Images(nn.Module):
    """Upsampling GAN-like generator with instance norm and in-place ReLU."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(LATENT, 12)
        self.norm = nn.InstanceNorm2d(3, affine=True)
        self.second = nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1)

    def forward(self, z):
        x = F.relu(self.first(z).view(-1, 3, 2, 2), inplace=True)
        return torch.tanh(self.second(self.norm(x)))


class Several(nn.Module):
    """Activations of different shapes, as a tuple or a list; the last one does not depend on z."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.first, self.second = nn.Linear(LATENT, 8), nn.Linear(8, 3)

    def forward(self, z):
        hidden = torch.tanh(self.first(z))
        constant = torch.ones(len(z), 2, dtype=z.dtype) * self.second.bias[0]
        return self.kind([hidden.view(-1, 2, 4), self.second(hidden), hidden.sum(1), constant])


class Stack(nn.Sequential):
    """A plain stack, which takes the fast road, with in-place ReLU."""

    def __init__(self):
        super().__init__(
            nn.Linear(LATENT, 12),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, (3, 2, 2)),
            nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1),
            nn.Sigmoid(),
        )


class NormedStack(nn.Sequential):
    """A plain stack with instance norm, as the simple GAN."""

    def __init__(self):
        super().__init__(
            nn.Unflatten(1, (LATENT, 1, 1)),
            nn.ConvTranspose2d(LATENT, 3, 3),
            nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1),
            nn.InstanceNorm2d(2, affine=True),
            nn.LeakyReLU(0.2),
        )


class WorksInPlace(nn.Module):
    """Fills a buffer slice by slice, and changes its own input."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(LATENT, 4)

    def forward(self, z):
        z *= 2
        out = torch.empty(len(z), 2, 4, dtype=z.dtype)
        hidden = self.linear(z)
        out[:, 0] = hidden
        out[:, 1] = torch.sin(hidden)
        return out


ZOO = {
    "scalar": Scalar,
    "images": Images,
    "tuple": functools.partial(Several, tuple),
    "list": functools.partial(Several, list),
    "stack": Stack,
    "stack with norm": NormedStack,
    "in place": WorksInPlace,
}


@pytest.fixture(params=ZOO)
def generator(request):
    torch.manual_seed(0)
    return ZOO[request.param]().double()


def pure(generator):
    return lambda z: generator(z.clone())


# Values and gradients


def test_all_columns_equal_the_oracle_and_so_do_their_parameter_gradients(generator):
    z = latents()
    ours, theirs = aw.jacobian_columns(generator, z), oracle_columns(pure(generator), z)
    assert isinstance(ours, tuple) == isinstance(theirs, list)
    assert_close(ours, theirs)
    assert_close(gradients(ours, generator), gradients(theirs, generator))
    assert any(g.abs().max() > 0.01 for g in gradients(ours, generator))


def test_columns_of_a_linear_map_are_its_matrix():
    matrix = torch.randn(7, LATENT, dtype=torch.float64)
    columns = aw.jacobian_columns(lambda z: z @ matrix.T + 3, latents())
    torch.testing.assert_close(columns, matrix.T.expand(BATCH, -1, -1), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_agrees_with_the_published_jacobian(name):
    given = {key: torch.from_numpy(REFERENCE[key]) for key in ("W", "b", "W1", "b1", "W2", "b2")}
    generators = {
        "linear": lambda z: z @ given["W"].T + given["b"],
        "mlp": lambda z: torch.tanh(z @ given["W1"].T + given["b1"]) @ given["W2"].T + given["b2"],
    }
    columns = aw.jacobian_columns(generators[name], torch.from_numpy(REFERENCE["z"]))
    published = torch.from_numpy(REFERENCE[f"jacobian/{name}"])
    torch.testing.assert_close(columns.transpose(1, 2), published, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("chosen", [[2], [4, 0, 0], range(LATENT)], ids=str)
def test_chosen_columns_are_those_of_all(generator, chosen):
    z, chosen = latents(), list(chosen)
    every = oracle_columns(pure(generator), z)
    wanted = every[:, chosen] if isinstance(every, torch.Tensor) else [e[:, chosen] for e in every]
    ours = aw.jacobian_columns(generator, z, columns=chosen)
    assert_close(ours, wanted)
    assert_close(gradients(ours, generator), gradients(wanted, generator))


@pytest.mark.parametrize("k", [1, 3])
def test_each_sample_can_have_columns_of_its_own(generator, k):
    z = latents()
    index = aw.sample_columns(BATCH, LATENT, k, rng=torch.Generator().manual_seed(3))
    every = oracle_columns(pure(generator), z)
    each = [every] if isinstance(every, torch.Tensor) else every
    wanted = [torch.stack([e[b, index[b]] for b in range(BATCH)]) for e in each]
    ours = aw.jacobian_columns(generator, z, columns=index)
    ours = [ours] if isinstance(ours, torch.Tensor) else ours
    assert_close(ours, wanted)
    assert_close(gradients(ours, generator), gradients(wanted, generator))


def test_products_are_the_jacobian_times_the_probes(generator):
    z = latents()
    probes = torch.randn(3, BATCH, LATENT, dtype=torch.float64)
    every = oracle_columns(pure(generator), z)
    each = [every] if isinstance(every, torch.Tensor) else every
    wanted = [torch.einsum("pbl,bl...->pb...", probes, e) for e in each]
    ours = aw.jacobian_products(generator, z, probes)
    ours = [ours] if isinstance(ours, torch.Tensor) else ours
    assert_close(ours, wanted)
    assert_close(gradients(ours, generator), gradients(wanted, generator))


def test_gram_is_the_columns_inner_products(generator):
    z = latents()
    every = oracle_columns(pure(generator), z)
    each = [every] if isinstance(every, torch.Tensor) else every
    flat = [e.reshape(BATCH, LATENT, -1) for e in each]
    ours = aw.jacobian_gram(generator, z)
    ours = [ours] if isinstance(ours, torch.Tensor) else ours
    assert_close(ours, [f @ f.mT for f in flat])


def test_finite_differences_converge_to_the_oracle_with_their_step(generator):
    z = latents()
    every = oracle_columns(pure(generator), z)
    each = [every] if isinstance(every, torch.Tensor) else every
    errors = []
    for epsilon in (1e-3, 1e-4):
        ours = aw.jacobian_columns(generator, z, method="finite", epsilon=epsilon)
        ours = [ours] if isinstance(ours, torch.Tensor) else ours
        errors.append(max((o - e).abs().max().item() for o, e in zip(ours, each, strict=True)))
    assert errors[0] < 0.02
    assert errors[1] < 0.15 * errors[0] + 1e-10  # one-sided: first order in the step


def test_finite_differences_are_the_published_formula_exactly():
    z, epsilon = latents(), 0.25
    ours = aw.jacobian_columns(torch.exp, z, method="finite", epsilon=epsilon)
    for i, unit in enumerate(torch.eye(LATENT, dtype=z.dtype)):
        theirs = (torch.exp(z + epsilon * unit) - torch.exp(z)) / epsilon
        torch.testing.assert_close(ours[:, i], theirs, rtol=0, atol=0)


def test_float32_stays_float32_and_agrees_within_its_rounding(generator):
    exact = aw.jacobian_columns(generator, latents())
    ours = aw.jacobian_columns(generator.float(), latents().float())
    each = [ours] if isinstance(ours, torch.Tensor) else ours
    assert {e.dtype for e in each} == {torch.float32}
    rounded = exact.float() if isinstance(exact, torch.Tensor) else [e.float() for e in exact]
    assert_close(ours, rounded, rtol=1e-4, atol=1e-5)


class Wide(nn.Module):
    """The layers of a stack, wide enough for rounding to average out, not recognised as one."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(LATENT, 64),
            nn.ReLU(),
            nn.Unflatten(1, (16, 2, 2)),
            nn.ConvTranspose2d(16, 8, 4, 2, 1),
            nn.Sigmoid(),
        )

    def forward(self, z):
        return self.net(z)


@pytest.mark.parametrize("road", ["general", "stack"])
def test_bfloat16_autocast_is_within_bfloat16_rounding_of_float32(road):
    torch.manual_seed(0)
    module = Wide()
    generator = module.net if road == "stack" else module
    z = latents(dtype=torch.float32)
    exact = aw.jacobian_columns(generator, z)
    with torch.autocast("cpu", torch.bfloat16):
        assert generator(z).dtype == torch.bfloat16  # autocast does act
        ours = aw.jacobian_columns(generator, z)
    assert ours.isfinite().all()
    assert (ours - exact).norm() / exact.norm() < 2**-7
    assert not torch.equal(ours, exact)
    for one, other in zip(gradients(ours, module), gradients(exact, module), strict=True):
        assert (one - other).norm() < 2**-5 * other.norm()


def test_a_bfloat16_network_works_without_autocast_on_both_roads():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(LATENT, 64), nn.Tanh(), nn.Linear(64, 64), nn.Sigmoid())
    exact = aw.jacobian_columns(net, latents().float())
    rounded, z = net.bfloat16(), latents().bfloat16()
    for generator in (rounded, lambda z: rounded(z)):
        ours = aw.jacobian_columns(generator, z)
        assert ours.dtype == torch.bfloat16
        assert (ours - exact).norm() / exact.norm() < 2**-5


def test_finite_differences_are_taken_outside_of_autocast():
    """Differences of numbers rounded to bfloat16 would be off by more than their size."""
    torch.manual_seed(0)
    net, z = Wide(), latents(dtype=torch.float32)
    exact = aw.jacobian_columns(net, z, method="finite")
    with torch.autocast("cpu", torch.bfloat16):
        ours = aw.jacobian_columns(net, z, method="finite")
    assert exact.dtype == torch.float32
    torch.testing.assert_close(ours, exact, rtol=0, atol=0)


@pytest.mark.parametrize("road", ["general", "stack"])
@pytest.mark.parametrize("method", ["forward", "finite"])
def test_detach_decides_whether_z_gets_a_gradient(road, method):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(LATENT, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    generator = net if road == "stack" else lambda z: net(z)
    z = latents().requires_grad_()
    settings = {"method": method, "epsilon": 1e-6}

    cut = aw.jacobian_columns(generator, z, **settings).square().sum()
    assert torch.autograd.grad(cut, z, allow_unused=True) == (None,)
    kept = aw.jacobian_columns(generator, z, detach=False, **settings).square().sum()
    (ours,) = torch.autograd.grad(kept, z)
    (theirs,) = torch.autograd.grad(oracle_columns(net, z).square().sum(), z)
    precision = 1e-10 if method == "forward" else 1e-4
    torch.testing.assert_close(ours, theirs, rtol=precision, atol=precision)
    assert theirs.abs().max() > 1e-3


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_works_where_no_gradients_are_recorded(generator, context):
    z = latents()
    exact = aw.jacobian_columns(generator, z)
    with context():
        for chunk_size in (None, 3):
            ours = aw.jacobian_columns(generator, z, chunk_size=chunk_size)
            each = [ours] if isinstance(ours, torch.Tensor) else ours
            assert not any(e.requires_grad for e in each)
            assert_close(ours, exact)


@pytest.mark.parametrize("method", ["forward", "finite"])
def test_the_given_latents_stay_as_they_are(method):
    z = latents()
    before = z.clone()
    aw.jacobian_columns(WorksInPlace().double(), z, method=method)
    assert torch.equal(z, before)


@pytest.mark.parametrize("method", ["forward", "finite"])
def test_latents_that_are_no_contiguous_memory_work(generator, method):
    for z in (latents(1).expand(BATCH, -1), latents(LATENT, BATCH).T, latents(8)[::2]):
        ours = aw.jacobian_columns(generator, z, method=method)
        assert_close(ours, aw.jacobian_columns(generator, z.clone(), method=method))


# Any callable


class Decoder:
    """No module itself: its method is the generator."""

    def __init__(self, net):
        self.net = net

    def decode(self, z):
        return self.net(z)

    def __call__(self, z):
        return self.net(z)


def scaled(scale, net, z):
    return scale * net(z)


def test_any_kind_of_callable_gives_the_same():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(LATENT, 4), nn.GELU()).double()
    z = latents()
    wanted = oracle_columns(net, z)
    kinds = {
        "module": net,
        "bound method": Decoder(net).decode,
        "bound method of a module": net.forward,
        "object": Decoder(net),
        "lambda": lambda z: net(z),
        "partial": functools.partial(scaled, 1, net),
        "functional call": lambda z: torch.func.functional_call(
            net, dict(net.named_parameters()), (z,)
        ),
    }
    for name, generator in kinds.items():
        columns = aw.jacobian_columns(generator, z)
        assert torch.allclose(columns, wanted, rtol=1e-10), name
        assert_close(gradients(columns, net), gradients(wanted, net))


def test_parameters_can_be_differentiated_by_torch_func():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(LATENT, 4), nn.Tanh()).double()
    z, parameters = latents(), dict(net.named_parameters())

    def loss(parameters):
        columns = aw.jacobian_columns(lambda z: torch.func.functional_call(net, parameters, z), z)
        return columns.square().sum()

    ours = torch.func.grad(loss)(parameters)
    theirs = torch.autograd.grad(oracle_columns(net, z).square().sum(), list(parameters.values()))
    assert_close(list(ours.values()), theirs)


# Chunks and conditioning

# A row, part of the batch, the batch, with several of the five probes, all, more than all.
CHUNK_SIZES = (1, 3, 4, 8, 12, 20, 1000)


@pytest.mark.parametrize("method", ["forward", "finite"])
def test_every_chunk_size_gives_the_same_columns_and_gradients(generator, method):
    z = latents()
    whole = aw.jacobian_columns(generator, z, method=method)
    wanted = gradients(whole, generator)
    for chunk_size in CHUNK_SIZES:
        chunked = aw.jacobian_columns(generator, z, method=method, chunk_size=chunk_size)
        assert_close(chunked, whole, rtol=1e-10, atol=1e-11)
        assert_close(gradients(chunked, generator), wanted, rtol=1e-8, atol=1e-8)


@settings(deadline=None, max_examples=40)
@given(
    batch=st.integers(1, 5),
    latent=st.integers(1, 4),
    shape=st.lists(st.integers(1, 3), max_size=3),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    chunk_size=st.none() | st.integers(1, 30),
    chosen=st.data(),
)
def test_any_shape_type_chunk_and_choice_of_columns_agrees_with_the_oracle(
    batch, latent, shape, dtype, chunk_size, chosen
):
    z = latents(batch, latent, dtype)
    weight = latents(math.prod(shape), latent, dtype, seed=1)
    columns = chosen.draw(st.none() | st.lists(st.integers(0, latent - 1), min_size=1, max_size=5))

    def generator(z):
        return torch.sin(z @ weight.T).view(-1, *shape)

    ours = aw.jacobian_columns(generator, z, columns, chunk_size=chunk_size)
    wanted = oracle_columns(generator, z)[:, columns if columns is not None else slice(None)]
    precision = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(ours, wanted, rtol=precision, atol=precision)


def test_chunks_keep_each_samples_own_columns():
    net, z = Images().double(), latents()
    index = torch.tensor([[0, 1], [2, 3], [4, 0], [1, 2]])
    whole = aw.jacobian_columns(net, z, columns=index)
    for chunk_size in CHUNK_SIZES:
        chunked = aw.jacobian_columns(net, z, columns=index, chunk_size=chunk_size)
        assert_close(chunked, whole)


def test_chunks_in_autocast_are_run_again_in_autocast():
    torch.manual_seed(0)
    net, z = Wide(), latents(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        whole = gradients(aw.jacobian_columns(net, z), net)
        chunked = aw.jacobian_columns(net, z, chunk_size=3)
    for one, other in zip(gradients(chunked, net), whole, strict=True):
        assert (one - other).norm() < 2**-5 * other.norm()


class LargestTensor(TorchDispatchMode):
    """Remembers the number of elements of the largest tensor made."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.largest = max(self.largest, out.numel())
        return out


@pytest.mark.parametrize("road", ["general", "stack"])
def test_no_tensor_outgrows_the_chunk_size(road):
    """The hidden layer is the largest: it shows how many rows are in flight."""
    width = 500
    net = nn.Sequential(nn.Linear(LATENT, width), nn.Tanh(), nn.Linear(width, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.randn(width, LATENT))
    generator = net if road == "stack" else lambda z: net(z)
    z = latents(dtype=torch.float32)
    weights = net[0].weight.numel()
    for chunk_size in CHUNK_SIZES:
        with LargestTensor() as seen:
            aw.jacobian_columns(generator, z, chunk_size=chunk_size).sum().backward()
        assert seen.largest <= max(weights, width * chunk_size)
    with LargestTensor() as seen:
        aw.jacobian_columns(generator, z)
    assert seen.largest >= width * BATCH * LATENT


@pytest.mark.parametrize("road", ["general", "stack"])
def test_chunks_are_not_kept_for_the_backward_pass(road):
    net = nn.Sequential(nn.Linear(LATENT, 500), nn.Tanh(), nn.Linear(500, 1))
    generator = net if road == "stack" else lambda z: net(z)

    def kept(chunk_size):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: (sizes.append(tensor.nbytes), tensor)[1], lambda tensor: tensor
        ):
            aw.jacobian_columns(generator, latents(dtype=torch.float32), chunk_size=chunk_size)
        return sum(sizes)

    kept(None)  # the second call checks, once for all, that no derivative is lost
    assert kept(None) > 500 * 4 * BATCH * LATENT
    assert kept(5) < 0.05 * kept(None)


def test_tensors_with_a_row_for_each_sample_are_split_with_the_batch():
    torch.manual_seed(0)
    net = nn.Linear(LATENT + 3, 6).double()
    z, classes, scale = latents(), torch.tensor([0, 2, 1, 2]), torch.tensor([1.0, 2.0]).double()
    weights = torch.rand(BATCH, 1, dtype=torch.float64)
    rows = []

    def generator(z, *, y, weight, scale, offset):
        rows.append(len(z))
        assert len(y) == len(weight) == len(z)
        assert scale.shape == (2,)
        given = torch.cat([z, F.one_hot(y, 3).to(z)], 1)
        return weight * torch.sin(net(given) + offset).view(-1, 2, 3) * scale[:, None].sum()

    def conditioned(z):
        return generator(z, y=classes, weight=weights[:, :, None], scale=scale, offset=0.5)

    settings = {
        "conditioning": {"y": classes, "weight": weights[:, :, None], "scale": scale, "offset": 0.5}
    }
    wanted = oracle_columns(conditioned, z)
    for method, chunk_size in itertools.product(["forward", "finite"], [None, 1, 3, 4, 9]):
        rows.clear()
        ours = aw.jacobian_columns(
            generator, z, method=method, epsilon=1e-7, chunk_size=chunk_size, **settings
        )
        precision = 1e-12 if method == "forward" else 1e-5
        torch.testing.assert_close(ours, wanted, rtol=precision, atol=precision)
        assert max(rows) == min(BATCH, chunk_size or BATCH)


def test_conditioning_gets_gradients_through_chunks():
    z, scale = latents(), torch.rand(BATCH, 1, dtype=torch.float64, requires_grad=True)
    for chunk_size in (None, 1, 3):
        columns = aw.jacobian_columns(
            lambda z, scale: torch.sin(scale * z),
            z,
            chunk_size=chunk_size,
            conditioning={"scale": scale},
        )
        (ours,) = torch.autograd.grad(columns.sum(), scale)
        theirs = (torch.cos(scale * z) - scale * z * torch.sin(scale * z)).sum(1, keepdim=True)
        torch.testing.assert_close(ours, theirs.detach())


# Errors

Z = latents()


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"z": Z[0]}, ValueError, r"z must be \(batch, \*latent\).*got \(5,\)"),
        (
            {"z": Z[:0]},
            ValueError,
            r"z must be \(batch, \*latent\), no axis empty, got \(0, 5\)",
        ),
        ({"z": Z[:, :0]}, ValueError, r"z must be .* got \(4, 0\)"),
        ({"z": Z.long()}, TypeError, "z must be floating, got torch.int64"),
        ({"z": Z.to(torch.complex64)}, TypeError, "z must be floating, got torch.complex64"),
        ({"z": Z.numpy()}, TypeError, "z must be a tensor, got ndarray"),
        ({"epsilon": 0.0}, ValueError, "epsilon must be > 0, got 0.0"),
        ({"epsilon": -1e-3}, ValueError, "epsilon must be > 0, got -0.001"),
        ({"epsilon": float("nan")}, ValueError, "epsilon must be > 0, got nan"),
        ({"chunk_size": 0}, ValueError, "chunk_size must be at least 1, got 0"),
        ({"method": "reverse"}, ValueError, "method must be 'forward' or 'finite', got 'reverse'"),
        ({"columns": [5]}, ValueError, "columns must be between 0 and 4, got 5 to 5"),
        ({"columns": [0, -1]}, ValueError, "columns must be between 0 and 4, got -1 to 0"),
        ({"columns": [1.0]}, ValueError, "columns must be integer indices, got torch.float32"),
        ({"columns": [True] * 5}, ValueError, "columns must be integer indices, got torch.bool"),
        ({"columns": 2}, ValueError, r"columns must be \(k,\) or \(batch, k\) = \(4, k\).*\(\)"),
        (
            {"columns": torch.zeros(3, 2, dtype=torch.int64)},
            ValueError,
            r"columns must be \(k,\) or \(batch, k\) = \(4, k\) with k ≥ 1, got \(3, 2\)",
        ),
        (
            {"columns": torch.zeros(4, 0, dtype=torch.int64)},
            ValueError,
            r"columns must be .* got \(4, 0\)",
        ),
    ],
)
def test_a_bad_argument_is_named(arguments, error, message):
    given = {"generator": torch.sin, "z": Z, **arguments}
    with pytest.raises(error, match=message):
        aw.jacobian_columns(**given)


@pytest.mark.unchecked
@pytest.mark.parametrize("shape", [(BATCH, LATENT), (2, 3, LATENT), (2, BATCH, 4), (0, 4, 5)])
def test_probes_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"probes must be .* \(≥ 1, 4, 5\), got"):
        aw.jacobian_products(torch.sin, Z, torch.ones(shape))


@pytest.mark.unchecked
@pytest.mark.parametrize("method", ["forward", "finite"])
@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        (lambda z: z.sum(), ValueError, r"one row for each of the 4 latents, got shape \(\)"),
        (lambda z: z[:1], ValueError, r"one row for each of the 4 latents, got shape \(1, 5\)"),
        (lambda z: (z, z.T), ValueError, r"one row for each of the 4 latents, got shape \(5, 4\)"),
        (lambda z: {"image": z}, TypeError, "a tensor, or a tuple or list of tensors, got dict"),
        (lambda _: None, TypeError, "a tensor, or a tuple or list of tensors, got NoneType"),
        (lambda _: (), TypeError, "a tensor, or a tuple or list of tensors, got tuple"),
        (lambda z: [z, "label"], TypeError, "floating tensors, got str"),
        (lambda z: z.argmax(1), TypeError, "floating tensors, got torch.int64"),
    ],
)
def test_a_generator_that_returns_something_else_is_refused(method, output, error, message):
    with pytest.raises(error, match="^generator must return .*" + message):
        aw.jacobian_columns(output, Z, method=method)


class WithBatchNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, LATENT), nn.BatchNorm1d(LATENT))
        self.plain = nn.Linear(LATENT, 4)
        self.norm = nn.BatchNorm1d(4)

    def decode(self, z):
        return self.norm(self.plain(z))

    def decode_without_norm(self, z):
        return self.plain(z)

    def forward(self, z):
        return self.decode(z)


MODEL = WithBatchNorm().double()


def batch_normed(model):
    statistics = torch.zeros(4).double(), torch.ones(4).double()
    return {
        "module": model,
        "sequential": nn.Sequential(model.plain, model.norm),
        "bound method": model.decode,
        "bound method of another object": Decoder(model).decode,
        "closure": lambda z: model(z),
        "global": lambda z: MODEL(z) if model.training else model(z),
        "partial": functools.partial(scaled, 1, model),
        "partial of a method": functools.partial(model.decode),
        "in a dictionary": lambda z, parts={"net": model}: parts["net"](z),
        "function": lambda z: F.batch_norm(model.plain(z), *statistics, training=model.training),
        "raw function": lambda z: torch.batch_norm(
            model.plain(z), None, None, *statistics, model.training, 0.1, 1e-5, False
        ),
    }


@pytest.mark.parametrize("method", ["forward", "finite"])
@pytest.mark.parametrize("kind", batch_normed(MODEL))
def test_batch_norm_in_train_mode_is_refused_and_in_eval_mode_is_not(kind, method):
    model = WithBatchNorm().double()
    with pytest.raises(ValueError, match=r"^generator must .*batch norm.*call \.eval\(\)"):
        aw.jacobian_columns(batch_normed(model)[kind], Z, method=method)
    model.eval()
    columns = aw.jacobian_columns(batch_normed(model)[kind], Z, method=method)
    assert columns.shape == (BATCH, LATENT, 4)


def test_batch_norm_that_keeps_no_statistics_is_refused_even_in_eval_mode():
    norm = nn.BatchNorm1d(LATENT, track_running_stats=False).eval()
    with pytest.raises(ValueError, match="generator must treat samples independently"):
        aw.jacobian_columns(norm, Z.float())


def test_batch_norm_that_the_generator_does_not_use_is_no_obstacle():
    """A VAE whose encoder has batch norm in train mode: the decoder is fine."""
    model = WithBatchNorm().double().train()
    wanted = model.plain.weight.T.expand(BATCH, -1, -1)
    for generator in (model.decode_without_norm, lambda z: model.decode_without_norm(z)):
        torch.testing.assert_close(aw.jacobian_columns(generator, Z), wanted)


# Operations without forward-mode derivative


class OldStyle(torch.autograd.Function):
    """As custom operations of published GANs are written."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0].cos()


class NoVmap(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return x.sin()

    @staticmethod
    def setup_context(ctx, inputs, _output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0].cos()


class NoJvp(NoVmap):
    generate_vmap_rule = True


class Complete(NoJvp):
    @staticmethod
    def jvp(ctx, tangent):
        return tangent * ctx.saved_tensors[0].cos()


@pytest.mark.parametrize("columns", [None, [1]], ids=["batched", "one by one"])
@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (OldStyle.apply, "OldStyle"),
        (NoVmap.apply, "NoVmap"),
        (NoJvp.apply, "NoJvp"),
        (lambda z: torch.cdist(z[:, None], z[:, None].square()), "_cdist_forward"),
    ],
    ids=["OldStyle", "NoVmap", "NoJvp", "cdist"],
)
def test_an_operation_without_forward_derivative_is_named_with_the_way_out(
    operation, name, columns
):
    with pytest.raises(NotImplementedError, match="use method='finite'") as error:
        aw.jacobian_columns(operation, Z, columns=columns)
    assert name in str(error.value)
    ours = aw.jacobian_columns(operation, Z, columns=columns, method="finite", epsilon=1e-7)
    wanted = oracle_columns(operation, Z)[:, columns or slice(None)]
    torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-6)


def test_a_custom_operation_with_its_rules_works():
    torch.testing.assert_close(aw.jacobian_columns(Complete.apply, Z), torch.diag_embed(Z.cos()))


def test_errors_of_the_generator_itself_are_not_renamed():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        aw.jacobian_columns(lambda z: z @ torch.ones(7, 2).double(), Z)


# What users of strict settings rely on


@pytest.mark.slow
def test_a_first_call_raises_no_warning_of_pytorchs_own():
    program = """
import warnings, torch, axiswise as aw
warnings.simplefilter("error")
aw.jl1_penalty(torch.sin, torch.randn(2, 3))
aw.hessian_penalty(torch.sin, torch.randn(2, 3))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_the_docstrings_examples_run():
    result = doctest.testmod(axiswise.jacobian.of_generator, raise_on_error=True)
    assert result.attempted >= 3
