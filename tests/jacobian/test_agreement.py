"""Derivatives that vanish on their way are noticed; those that are rightly zero are not."""

import copy
import functools
import gc
import itertools
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import axiswise as aw

# PyTorch would rather have no more TorchScript; people's files will stay for years.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
LATENT = 4


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def latents(dtype=torch.float32):
    return torch.randn(3, LATENT, generator=rng()).to(dtype)


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(LATENT, 8), nn.Tanh(), nn.Linear(8, 5), nn.Sigmoid())


class Wraps(nn.Module):
    """No plain stack, whatever it holds."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, z):
        for part in self.parts:
            z = part(z)
        return z


# TorchScript: PyTorch loses tangents from the second call on (pytorch/pytorch#73972)


with warnings.catch_warnings(action="ignore", category=DeprecationWarning):

    @torch.jit.script
    def scripted_function(z, weight):
        return torch.tanh(z @ weight) * 2.0


def saved_and_loaded(module, tmp_path):
    module.save(tmp_path / "module.pt")
    return torch.jit.load(tmp_path / "module.pt")


def closure_of(net):
    return lambda z: net(z)


SCRIPTED = {
    "scripted": lambda inner, _: torch.jit.script(inner),
    "traced": lambda inner, _: torch.jit.trace(inner, latents()),
    "traced, saved, loaded": lambda inner, tmp_path: saved_and_loaded(
        torch.jit.trace(inner, latents()), tmp_path
    ),
    "scripted part": lambda inner, _: Wraps(torch.jit.script(inner[:2]), *inner[2:]),
    "scripted part of a stack": lambda inner, _: nn.Sequential(
        inner[0], torch.jit.script(inner[1:])
    ),
    "closure": lambda inner, _: closure_of(torch.jit.script(inner)),
    "bound method": lambda inner, _: torch.jit.script(inner).forward,
    "frozen": lambda inner, _: torch.jit.freeze(torch.jit.script(inner.eval())),
}


@pytest.mark.parametrize(
    ("kind", "used"),
    [(kind, False) for kind in SCRIPTED]
    + [(kind, True) for kind in ("scripted", "scripted part", "frozen")],
)
def test_torchscript_gives_the_same_each_time(kind, used, tmp_path):
    plain, z = net(), latents()
    scripted = SCRIPTED[kind](copy.deepcopy(plain), tmp_path)
    if used:
        for _ in range(3):
            (scripted(z) + z.requires_grad_()[:, :1]).sum().backward()
    probes = torch.randn(2, 3, 5, generator=rng())
    probes_of_z = torch.randn(2, 3, LATENT, generator=rng())
    for _ in range(2):
        for penalty in (
            aw.jl1_penalty,
            functools.partial(aw.hessian_penalty, probes=probes_of_z),
            functools.partial(aw.jl1_penalty, columns=[1]),
            functools.partial(aw.jl1_penalty, method="finite"),
        ):
            torch.testing.assert_close(penalty(scripted, z), penalty(plain, z))
        torch.testing.assert_close(
            aw.Jacobian(scripted, z).transposed_products(probes),
            aw.Jacobian(plain, z).transposed_products(probes),
        )
        scripted(z)


@pytest.mark.parametrize("kind", ["scripted", "traced, saved, loaded", "scripted part"])
def test_gradients_go_to_the_parameters_of_torchscript(kind, tmp_path):
    plain, z = net(), latents()
    scripted = SCRIPTED[kind](copy.deepcopy(plain), tmp_path)
    for _ in range(3):
        scripted.zero_grad()
        aw.jl1_penalty(scripted, z).backward()
    aw.jl1_penalty(plain, z).backward()
    given = dict(zip(scripted.parameters(), plain.parameters(), strict=True))
    for ours, theirs in given.items():
        wanted = torch.zeros_like(theirs) if theirs.grad is None else theirs.grad
        torch.testing.assert_close(
            torch.zeros_like(ours) if ours.grad is None else ours.grad, wanted
        )


def test_a_scripted_function_gives_the_same_each_time_or_is_refused():
    weight = nn.Parameter(torch.randn(LATENT, 5, generator=rng()))
    wanted = aw.jl1_penalty(lambda z: torch.tanh(z @ weight) * 2.0, latents())
    for _ in range(3):
        found = aw.jl1_penalty(lambda z: scripted_function(z, weight), latents())
        torch.testing.assert_close(found, wanted)


# What loses derivatives


class WrongRule(torch.autograd.Function):
    """A square whose forward rule gives half of the derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.square()

    @staticmethod
    def setup_context(ctx, inputs, _output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, gradient):
        return 0 * gradient * ctx.saved_tensors[0]

    @staticmethod
    def jvp(ctx, tangent):
        return tangent * ctx.saved_tensors[0]


@torch.inference_mode()
def without_gradients(module, z):
    return module(z).clone()


BODY, OTHER = net(1), net(2)


@torch.inference_mode()
def own_road(module, z):
    return module(z)


class PartlyInferred(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = BODY

    def forward(self, z):
        return self.body(z) + own_road(self.body, z).clone()


LOST = {
    "detach": lambda z: BODY(z).detach(),
    "data": lambda z: BODY(z).data,
    "inference mode": lambda z: without_gradients(BODY, z) + 0,
    "one of two branches": lambda z: BODY(z) + OTHER(z).detach(),
    "one of two branches in inference mode": lambda z: PartlyInferred()(z),
    "one of two outputs": lambda z: (BODY(z), OTHER(z).detach()),
    "half of the samples": lambda z: torch.where(z[:, :1] > 0, BODY(z), BODY(z).detach()),
    "first layer": lambda z: OTHER[2:](BODY[:2](z).detach()) + 0.1 * z[:, :1],
    "scaled gradients": lambda z: (h := BODY(z)) * 0.1 + 0.9 * h.detach(),
    "quantised": lambda z: (255 * BODY(z)).round() / 255,
    "wrong rule": lambda z: WrongRule.apply(BODY(z)),
}


@pytest.mark.parametrize("kind", LOST)
def test_lost_derivatives_are_refused_each_time_with_the_way_out(kind):
    z = latents(torch.float64)
    BODY.double(), OTHER.double()
    for _ in range(2):
        with pytest.raises(NotImplementedError, match=r"loses derivatives.*use method='finite'"):
            aw.jacobian_columns(LOST[kind], z)
    found = aw.jacobian_columns(LOST[kind], z, method="finite", epsilon=0.1)
    assert all(each.any() for each in (found if isinstance(found, tuple) else [found]))


def test_a_lost_second_derivative_is_refused():
    """The first is right: its rule takes the slope for a constant."""

    def generator(z):
        slope = BODY(z).detach()
        return slope * z[:, :1] + (BODY(z) - slope) * z[:, :1].detach()

    def product(z):
        return torch.sin(BODY(z))

    BODY.double()
    aw.hessian_penalty(product, latents(torch.float64))
    aw.jacobian_columns(generator, latents(torch.float64))
    with pytest.raises(NotImplementedError, match=r"loses derivatives.*use method='finite'"):
        aw.hessian_penalty(generator, latents(torch.float64))


@pytest.mark.parametrize("kind", ["one of two branches", "half of the samples", "wrong rule"])
def test_lost_gradients_are_refused_of_transposed_products(kind):
    BODY.double(), OTHER.double()
    jacobian = aw.Jacobian(LOST[kind], latents(torch.float64))
    with pytest.raises(NotImplementedError, match="take columns with method='finite'"):
        jacobian.transposed_products(torch.ones(1, 3, 5))


# What does not


FINE = {
    "constant": lambda z: torch.ones(len(z), 5).to(z),
    "constant weights": lambda z: BODY[2].bias.expand(len(z), 5),
    "itself": lambda z: z,
    "identity": nn.Identity(),
    "dead latents": lambda z: BODY(z * torch.tensor([1.0, 0, 0, 0]).to(z)),
    "saturated": lambda z: torch.sigmoid(BODY(z) + 1000),
    "straight through": lambda z: (h := BODY(z)) + (h.round() - h).detach(),
    "kinks": nn.Sequential(Wraps(nn.Linear(LATENT, 512)), nn.ReLU(), nn.Linear(512, 64)),
    "kinks at the latents": lambda z: F.relu(z - latents()[:1].to(z)),
    "steep": lambda z: torch.sin(1000 * BODY(z)),
    "tiny": lambda z: 1e-6 * BODY(z) + 1,
    "norm in eval mode": Wraps(nn.Linear(LATENT, 5), nn.BatchNorm1d(5)).eval(),
    "largest": lambda z: BODY(z).gather(1, BODY(z).argmax(1, keepdim=True)),
    "without gradients of weights": torch.no_grad()(lambda z: BODY(z)),
    "branch by value": lambda z: BODY(z) if z.sum() > 0 else OTHER(z),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("kind", FINE)
def test_derivatives_that_are_there_or_rightly_zero_are_no_obstacle(kind, dtype):
    BODY.to(dtype), OTHER.to(dtype)
    generator = FINE[kind]
    if isinstance(generator, nn.Module):
        generator.to(dtype)
    for z in (latents(dtype), torch.zeros(2, LATENT, dtype=dtype), 100 * latents(dtype)):
        aw.jacobian_columns(generator, z)
        aw.hessian_penalty(generator, z)


def test_the_check_runs_once_for_each_generator():
    calls = itertools.count()

    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, z):
            next(calls)
            return self.net(z)

    generator = Counted()

    def passes(question, generator=generator):
        before = next(calls)
        question(generator, latents())
        return next(calls) - before - 1

    assert passes(aw.jl1_penalty) == 1
    assert passes(aw.jl1_penalty) > 1
    assert [passes(aw.jl1_penalty) for _ in range(3)] == [1, 1, 1]
    kinds = [passes(aw.hessian_penalty) for _ in range(4)]
    assert kinds[0] == kinds[2] == kinds[3] == 1
    for make in (lambda: lambda z: generator(z), lambda: generator.forward):
        assert [passes(aw.jl1_penalty, make()) for _ in range(5)][2:] == [1, 1, 1]
    with torch.inference_mode():
        assert [passes(aw.jl1_penalty) for _ in range(4)][2:] == [1, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_does_not_look_like_a_loss(dtype):
    torch.manual_seed(0)
    deep = [nn.Sequential(nn.Linear(32, 32), nn.LayerNorm(32), nn.GELU()) for _ in range(12)]
    generator = Wraps(nn.Linear(LATENT, 32), *deep).to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.float32):
        for _ in range(3):
            aw.jl1_penalty(generator, latents(dtype)).backward()
            aw.hessian_penalty(generator, latents(dtype), probes=2).backward()


def test_a_generator_that_was_checked_can_be_freed():
    gone = []

    class Freed(Wraps):
        def __del__(self):
            gone.append(True)

    generator = Freed(net())
    aw.jl1_penalty(generator, latents())
    del generator
    gc.collect()
    assert gone


def test_the_check_draws_no_random_numbers_and_changes_no_buffer():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.utils.parametrizations.spectral_norm(nn.Linear(LATENT, 5))

        def forward(self, z):
            return self.linear(z) + 0.1 * torch.randn(len(z), 5)

    torch.manual_seed(0)
    generator = Noisy()
    twin = copy.deepcopy(generator)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    for _ in range(3):
        torch.set_rng_state(state)
        generator.load_state_dict(twin.state_dict())
        found = aw.jacobian_columns(generator, latents())
    drawn = torch.rand(3)
    torch.manual_seed(1)
    wanted = torch.func.vmap(
        lambda v: torch.func.jvp(twin, (latents(),), (v.expand(3, -1),))[1], randomness="same"
    )(torch.eye(LATENT))
    torch.testing.assert_close(found, wanted.transpose(0, 1))
    assert torch.equal(drawn, torch.rand(3))
    for one, other in zip(generator.buffers(), twin.buffers(), strict=True):
        assert torch.equal(one, other)


# Differences compare two passes


class Noise(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, z):
        x = self.body(z)
        return x + 0.1 * torch.randn_like(x)


def mlp(*end):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(LATENT, 16), nn.Tanh(), nn.Linear(16, 9), *end).double()


class Functional(Noise):
    def forward(self, z):
        return F.dropout(self.body(z), 0.5)


RANDOM = {
    "noise": lambda: Noise(mlp()),
    "dropout": lambda: mlp(nn.Dropout(0.5)).train(),
    "alpha dropout": lambda: mlp(nn.AlphaDropout(0.5)).train(),
    "functional dropout": lambda: closure_of(Functional(mlp())),
    "spectral norm": lambda: nn.Sequential(mlp(), nn.utils.spectral_norm(nn.Linear(9, 7).double())),
    "parametrised spectral norm": lambda: nn.Sequential(
        mlp(), nn.utils.parametrizations.spectral_norm(nn.Linear(9, 7).double())
    ),
    "closure": lambda: closure_of(
        nn.utils.parametrizations.spectral_norm(nn.Linear(LATENT, 7).double())
    ),
    "random slopes": lambda: mlp(nn.RReLU()).train(),
}


@pytest.mark.parametrize("kind", RANDOM)
def test_differences_are_taken_under_the_same_random_numbers_and_buffers(kind):
    z = latents(torch.float64)
    probes = torch.randn(2, 3, LATENT, dtype=torch.float64, generator=rng())

    def taken(method, **settings):
        torch.manual_seed(3)
        generator = RANDOM[kind]()
        torch.manual_seed(4)
        jacobian = aw.Jacobian(generator, z, method, **settings)
        found = [jacobian.columns(), jacobian.along(torch.eye(LATENT)[:2]).columns()]
        if kind != "random slopes":  # bends
            found.append(jacobian.curvatures(probes))
        buffers = generator.state_dict() if isinstance(generator, nn.Module) else {}
        return found, torch.rand(2), buffers

    ours, drawn, buffers = taken("finite", epsilon=1e-4)
    again, *_ = taken("finite", epsilon=1e-4)
    assert all(map(torch.equal, ours, again))
    if kind == "random slopes":  # which has no forward derivative
        assert max(each.abs().max() for each in ours) < 10
        return
    exact, wanted, theirs = taken("forward")
    for one, other in zip(ours, exact, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    assert torch.equal(drawn, wanted)  # as many random numbers as a single pass
    for name, buffer in buffers.items():
        assert torch.equal(buffer, theirs[name]), name


def test_differences_with_noise_keep_their_gradients():
    z = latents(torch.float64)
    values = {}
    for method in ("forward", "finite"):
        torch.manual_seed(0)
        generator = nn.Sequential(
            nn.utils.parametrizations.spectral_norm(nn.Linear(LATENT, 7).double()),
            nn.Tanh(),
            nn.Dropout(0.5),
        )
        torch.manual_seed(1)
        loss = aw.jl2_penalty(
            generator, z, method=method, **({"epsilon": 1e-6} if method == "finite" else {})
        )
        loss.backward()
        values[method] = [parameter.grad for parameter in generator.parameters()]
    torch.testing.assert_close(values["finite"], values["forward"], rtol=1e-4, atol=1e-5)


class Private(nn.Module):
    """Its noise comes from a generator of random numbers of its own, or it counts its passes."""

    def __init__(self, kind):
        super().__init__()
        self.body, self.kind, self.own, self.passes = mlp(), kind, rng(), 0

    def forward(self, z):
        self.passes += 1
        noise = torch.randn(9, generator=self.own).to(z) if self.kind == "noise" else self.passes
        return self.body(z) + 0.01 * noise


@pytest.mark.parametrize("kind", ["noise", "count"])
@pytest.mark.parametrize("order", ["columns", "curvatures"])
def test_passes_that_cannot_be_made_again_are_refused_by_name(kind, order):
    jacobian = aw.Jacobian(Private(kind), latents(torch.float64), "finite")
    with pytest.raises(ValueError, match="generator must return the same for the same latents"):
        jacobian.columns() if order == "columns" else jacobian.curvatures(
            torch.ones(1, 3, LATENT).double()
        )


def test_a_generator_that_returns_its_own_memory_has_differences():
    body, memory = mlp(), torch.zeros(3, 9, dtype=torch.float64)

    def generator(z):
        memory.copy_(body(z).detach())
        return memory

    z = latents(torch.float64)
    jacobian = aw.Jacobian(generator, z, "finite", epsilon=1e-6)
    torch.testing.assert_close(
        jacobian.columns(), aw.jacobian_columns(body, z), rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(jacobian.output, body(z))
