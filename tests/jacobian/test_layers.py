"""One shared pass gives the penalty, the output and the gradients that two passes give."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import axiswise as aw
from axiswise.jacobian import push
from axiswise.jacobian.layers import Pass

aten = torch.ops.aten
BATCH, LATENT = 5, 4


def stack():
    return nn.Sequential(nn.Linear(LATENT, 6), nn.Tanh(), nn.Linear(6, 7))


class General(nn.Module):
    """Nothing that the fast road for plain stacks knows."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(LATENT, 6), nn.Linear(6, 7)

    def forward(self, z, *, shift=0.0):
        return self.second(torch.sin(self.first(z)) + shift)


class Several(General):
    def forward(self, z, *, shift=0.0):
        hidden = torch.sin(self.first(z)) + shift
        return hidden, self.second(hidden).view(-1, 1, 7)


PENALTIES = {
    "jl1": lambda *g, **o: aw.jl1_penalty(*g, columns=[1, 3], **o),
    "orojar": aw.orojar_penalty,
    "hessian": aw.hessian_penalty,
}
OPTIONS = {
    "as published": {},
    "attached": {"detach": False},
    "differences": {"method": "finite"},
    "chunks of the batch and the probes": {"chunk_size": 2},
    "attached chunks": {"chunk_size": 3, "detach": False},
}


def through(then, output):
    return output if then is None else then(output)


def total(output):
    """A loss in which every entry of every output has a weight of its own."""
    each = [output] if isinstance(output, torch.Tensor) else output
    return sum((o.flatten().square() * torch.arange(o.numel(), dtype=o.dtype)).sum() for o in each)


# All options with one penalty; of the others what differs: more probes, second derivatives.
CASES = [
    *(("jl1", option) for option in OPTIONS),
    ("orojar", "as published"),
    ("hessian", "attached"),
    ("hessian", "differences"),
    ("hessian", "chunks of the batch and the probes"),
]


@pytest.mark.parametrize(("penalty", "option"), CASES)
@pytest.mark.parametrize(
    ("make", "then"),
    [
        (stack, None),
        (stack, nn.Sigmoid()),
        (stack, torch.exp),
        (General, None),
        (General, nn.Sigmoid()),
        (Several, None),
        (Several, lambda both: both[1].exp()),
    ],
    ids=["stack", "stack, sigmoid", "stack, exp", "any", "any, sigmoid", "several", "several, exp"],
)
def test_equals_two_passes_in_value_and_gradient(make, then, penalty, option):
    """The oracle runs the generator once for the loss and once for the penalty.

    The latents come out of an encoder, whose gradient shows what reached them.
    """
    penalty, options = PENALTIES[penalty], OPTIONS[option]
    torch.manual_seed(0)
    encoder, generator = nn.Linear(3, LATENT).double(), make().double()
    x = torch.randn(BATCH, 3, dtype=torch.float64)
    parameters = [*encoder.parameters(), *generator.parameters()]

    jacobian = aw.Jacobian(generator, encoder(x), then=then, **options)
    ours = [penalty(jacobian), total(jacobian.output)]

    z = encoder(x)
    alone = penalty(lambda z: through(then, generator(z)), z, **options)
    theirs = [alone, total(generator(encoder(x) if options.get("detach", True) else z))]

    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    for one, other in zip(
        torch.autograd.grad(sum(ours), parameters),
        torch.autograd.grad(sum(theirs), parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("make", [stack, General], ids=["stack", "any"])
def test_the_generator_runs_once(make):
    generator, runs = make(), []
    generator.register_forward_hook(lambda *_: runs.append(1))
    jacobian = aw.Jacobian(generator, torch.randn(BATCH, LATENT))
    aw.orojar_penalty(jacobian, probes=2)
    assert jacobian.output.shape == (BATCH, 7)
    assert len(runs) == 1


def test_keyword_conditioning_reaches_the_generator():
    generator = General()
    z, shift = torch.randn(BATCH, LATENT), torch.randn(BATCH, 6)
    jacobian = aw.Jacobian(
        generator, z, then=nn.Sigmoid(), chunk_size=2, conditioning={"shift": shift}
    )
    aw.jl1_penalty(jacobian)
    torch.testing.assert_close(jacobian.output, generator(z, shift=shift))


def test_latents_that_need_no_gradient_get_none():
    """As in a GAN: there is nothing before the latents, so that nothing is walked back to them."""
    z = torch.randn(BATCH, LATENT)
    jacobian = aw.Jacobian(stack(), z)
    penalty = aw.orojar_penalty(jacobian, probes=2)
    (penalty + jacobian.output.sum()).backward()
    assert z.grad is None
    assert jacobian.generator[0].weight.grad is not None


def test_without_gradients_the_output_is_plain():
    z = torch.randn(BATCH, LATENT, requires_grad=True)
    jacobian = aw.Jacobian(stack(), z)
    with torch.no_grad():
        aw.jl1_penalty(jacobian)
        plain = jacobian.output
    assert not plain.requires_grad
    assert jacobian.output.requires_grad  # asked for where gradients are recorded
    torch.testing.assert_close(jacobian.output, plain)


def test_the_latents_own_gradient_is_left_alone():
    """A leaf z gets the loss's gradient only, the graph's inner cut nothing that anyone sees."""
    generator = stack().double()
    z = torch.randn(BATCH, LATENT, dtype=torch.float64, requires_grad=True)
    jacobian = aw.Jacobian(generator, z)
    (aw.jl1_penalty(jacobian) + total(jacobian.output)).backward()
    (expected,) = torch.autograd.grad(total(generator(z)), z)
    torch.testing.assert_close(z.grad, expected)


ASKED_FIRST = {"plain": {}, "layers": {"layers": ("0",)}, "then": {"then": torch.exp}}


@pytest.mark.parametrize("options", ASKED_FIRST.values(), ids=ASKED_FIRST)
def test_an_output_that_is_asked_for_first_is_the_generators(options):
    generator = stack()
    z = torch.randn(BATCH, LATENT, requires_grad=True)
    output = aw.Jacobian(generator, z, **options).output
    torch.testing.assert_close(output, generator(z), rtol=0, atol=0)
    ours, theirs = (torch.autograd.grad(total(each), z)[0] for each in (output, generator(z)))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.unchecked
def test_a_generator_that_returns_no_tensor_is_refused():
    z = torch.randn(BATCH, LATENT)
    jacobian = aw.Jacobian(lambda z: {"image": z}, z, then=lambda d: d["image"])
    with pytest.raises(TypeError, match="generator must return a tensor"):
        aw.jl1_penalty(jacobian)


# Layers


class Layered(nn.Module):
    """Modules that are called in another order than named, with work in place behind them."""

    def __init__(self):
        super().__init__()
        self.late, self.early = nn.Linear(6, 7), nn.Linear(LATENT, 6)
        self.blocks = nn.ModuleList([nn.Linear(6, 6), nn.Linear(7, 3)])

    def outputs(self, z, shift):
        """Every layer's output, with nothing done in place."""
        early = self.early(z)
        middle = self.blocks[0](torch.sin(early) + shift)
        late = self.late(torch.tanh(middle))
        image = self.blocks[1](torch.exp(-late)).sin()
        return {"early": early, "blocks.0": middle, "late": late, "": image}

    def forward(self, z, *, shift=0.0):
        middle = self.blocks[0](torch.sin_(self.early(z)) + shift)
        late = self.late(torch.tanh_(middle))
        return self.blocks[1](torch.exp_(late.neg_())).sin_()


class LayeredStack(nn.Sequential):
    """The same as a plain stack, nested, with instance norm and work in place."""

    def __init__(self):
        super().__init__(
            nn.Sequential(nn.Linear(LATENT, 12), nn.LeakyReLU(0.3, inplace=True)),
            nn.Sequential(nn.Unflatten(1, (3, 2, 2)), nn.ConvTranspose2d(3, 2, 4, 2, 1)),
            nn.Sequential(nn.InstanceNorm2d(2, affine=True), nn.Tanh()),
            nn.Conv2d(2, 1, 3),
            nn.ReLU(inplace=True),
        )

    def outputs(self, z, _shift):
        first = self[0][0](z)
        block = nn.functional.leaky_relu(first, 0.3)
        second = self[1](block)
        normed = self[2](second)
        last = self[3](normed)
        return {"0.0": first, "0": block, "1": second, "1.1": second, "2": normed, "3": last}


class LayeredGeneral(LayeredStack):
    """Not recognised as a plain stack."""

    def forward(self, z):
        return super().forward(z)


NAMED = {
    "any": (Layered, ("late", "early")),
    "any, first": (Layered, ("early",)),
    "any, output too": (Layered, ("", "blocks.0")),
    "stack": (LayeredStack, ("0.0", "1.1")),
    "stack, blocks": (LayeredStack, ("2", "0")),
    "stack, before work in place": (LayeredStack, ("3", "1")),
    "stack as any": (LayeredGeneral, ("2", "0.0")),
}


def named(name):
    torch.manual_seed(0)
    make, layers = NAMED[name]
    return make().double(), layers


@pytest.mark.parametrize(
    ("penalty", "option"),
    [("orojar" if kind == "jl1" else kind, name) for kind, name in CASES if kind != "orojar"],
)
@pytest.mark.parametrize("name", NAMED)
def test_layers_equal_a_generator_that_returns_them_and_another_pass(name, penalty, option):
    penalty, options = PENALTIES[penalty], OPTIONS[option]
    generator, layers = named(name)
    encoder = nn.Linear(3, LATENT).double()
    x = torch.randn(BATCH, 3, dtype=torch.float64)
    parameters = [*encoder.parameters(), *generator.parameters()]
    probes = torch.randn(3, BATCH, LATENT, dtype=torch.float64)

    jacobian = aw.Jacobian(generator, encoder(x), layers=layers, **options)
    ours = [penalty(jacobian, probes=probes), total(jacobian.output)]

    z = encoder(x)
    alone = penalty(lambda z: [generator.outputs(z, 0.0)[k] for k in layers], z, probes, **options)
    theirs = [alone, total(generator(encoder(x) if options.get("detach", True) else z))]

    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-11)
    for one, other in zip(
        torch.autograd.grad(sum(ours), parameters, retain_graph=True, materialize_grads=True),
        torch.autograd.grad(sum(theirs), parameters, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)
    assert not any(module._forward_hooks for module in generator.modules())


@pytest.mark.parametrize("name", NAMED)
def test_the_pass_of_layers_returns_their_outputs_in_the_order_given(name):
    generator, layers = named(name)
    z = torch.randn(BATCH, LATENT, dtype=torch.float64)
    outputs = Pass(generator, layers=layers).differentiated(z)
    assert isinstance(outputs, tuple)
    wanted = generator.outputs(z, 0.0)
    torch.testing.assert_close(outputs, tuple(wanted[k] for k in layers), rtol=0, atol=0)


def test_conditioning_reaches_a_generator_with_layers():
    generator, layers = named("any")
    z = torch.randn(BATCH, LATENT, dtype=torch.float64)
    shift = torch.randn(BATCH, 6, dtype=torch.float64)
    for method, chunk_size in [("forward", None), ("forward", 2), ("finite", 2)]:
        settings = {"method": method, "chunk_size": chunk_size, "conditioning": {"shift": shift}}
        jacobian = aw.Jacobian(generator, z, layers=layers, **settings)
        theirs = aw.jacobian_columns(
            lambda z, shift: [generator.outputs(z, shift)[k] for k in layers], z, **settings
        )
        torch.testing.assert_close(jacobian.columns(), theirs)
        torch.testing.assert_close(jacobian.output, generator(z, shift=shift))
        torch.testing.assert_close(
            aw.jacobian_columns(generator, z, layers=layers, **settings), theirs
        )


class Rows(TorchDispatchMode):
    """Rows of the results of matrix products and convolutions, by the rest of their shape."""

    def __init__(self):
        super().__init__()
        self.rows = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in (aten.mm, aten.addmm, aten.convolution):
            self.rows.setdefault(tuple(out.shape[1:]), set()).add(out.shape[0])
        return out


@pytest.mark.parametrize(
    ("generator", "layers", "last", "rest"),
    [
        (LayeredStack(), ("0.0",), (12,), (1, 2, 2)),
        (LayeredGeneral(), ("0.0",), (12,), (1, 2, 2)),
        (Layered(), ("early", "late"), (7,), (3,)),
    ],
    ids=["stack", "stack as any", "any"],
)
def test_what_follows_the_layers_is_run_without_tangents(generator, layers, last, rest):
    z, probes = torch.randn(BATCH, LATENT), torch.randn(4, BATCH, LATENT)
    with Rows() as whole:
        aw.Jacobian(generator, z).products(probes)
    with Rows() as part:
        aw.Jacobian(generator, z, layers=layers).products(probes)
    assert whole.rows[last] == whole.rows[rest] == part.rows[last] == {BATCH, 4 * BATCH}
    assert part.rows[rest] == {BATCH}


def test_finite_differences_run_what_follows_the_layers_once():
    generator, calls = Layered(), {"early": 0, "late": 0, "blocks.1": 0}
    for name in calls:
        module = generator.get_submodule(name)
        module.register_forward_pre_hook(
            lambda *_, name=name: calls.__setitem__(name, calls[name] + 1)
        )
    z, probes = torch.randn(BATCH, LATENT), torch.randn(4, BATCH, LATENT)
    jacobian = aw.Jacobian(generator, z, "finite", layers=("late", "early"))
    jacobian.products(probes)  # and once for all, that passes can be made again
    calls.update(dict.fromkeys(calls, 0))
    jacobian.products(probes)
    assert calls == {"early": 5, "late": 5, "blocks.1": 1}


def test_a_layer_that_is_used_again_elsewhere_leaves_the_others_on_the_fast_road(monkeypatch):
    taken = []
    known = push.push_forward
    monkeypatch.setattr(push, "push_forward", lambda *g: (taken.append(1), known(*g))[1])
    tanh = nn.Tanh()
    generator = nn.Sequential(tanh, nn.Linear(LATENT, 6), tanh, nn.Linear(6, 2))
    z = torch.randn(BATCH, LATENT)
    ours = aw.jacobian_columns(generator, z, layers=("1",))
    assert taken
    torch.testing.assert_close(ours[0], aw.jacobian_columns(generator[:2], z))


class OddLayers(nn.Module):
    def __init__(self):
        super().__init__()
        self.once, self.twice, self.never = (nn.Linear(LATENT, LATENT) for _ in range(3))
        self.pair = Several()

    def forward(self, z):
        self.pair(z)
        return self.twice(self.twice(self.once(z)))


@pytest.mark.parametrize("method", ["forward", "finite"])
@pytest.mark.parametrize(
    ("generator", "layers", "error", "message"),
    [
        (OddLayers(), ["once", "twice"], ValueError, "once in a pass, but 'twice' is called twice"),
        (OddLayers(), ["never", "once"], ValueError, r"once in a pass, but \['never'\] are not"),
        (OddLayers(), ["pair"], TypeError, "return a tensor, but 'pair' returns tuple"),
        ((lambda t: nn.Sequential(t, t))(nn.Tanh()), ["0"], ValueError, "'0' is called twice"),
    ],
    ids=["twice", "never", "tuple", "twice in a stack"],
)
def test_layers_that_are_not_called_once_or_return_no_tensor(
    generator, layers, error, message, method
):
    z = torch.randn(BATCH, LATENT)
    with pytest.raises(error, match="^layers must each .*" + message):
        aw.jl1_penalty(generator, z, method=method, layers=layers)
    assert not any(module._forward_hooks for module in generator.modules())


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layers": ["0", "5"]}, ValueError, r"must be among \['', '0', '1', '2'\], got \['5'\]"),
        ({"layers": ["0", "0"]}, ValueError, r"must name each layer once, got \['0', '0'\]"),
        ({"layers": "0"}, TypeError, r"must be several names, \('0',\) for one, got '0'"),
        ({"layers": ["0"], "then": torch.exp}, ValueError, r"must go without then, .* \['0'\]"),
        (
            {"generator": torch.sin, "layers": ["0"]},
            TypeError,
            "must be names in an nn.Module, but the generator is of type builtin_function",
        ),
    ],
)
def test_layers_that_cannot_be_are_refused(arguments, error, message):
    with pytest.raises(error, match="^layers " + message):
        aw.Jacobian(**{"generator": stack(), "z": torch.zeros(1, LATENT), **arguments})
