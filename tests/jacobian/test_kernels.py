"""Operators are right however they are called, whatever lies innermost in memory."""

import threading

import pytest
import torch
from torch import nn
from torch.func import vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

import axiswise as aw
from axiswise.jacobian.kernels import Kernels

aten = torch.ops.aten
BATCH, LATENT, CHANNELS = 3, 4, 6


def latents():
    return torch.randn(
        BATCH, LATENT, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )


def numbers(*shape, seed):
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


WEIGHT, BIAS, MEAN, VARIANCE = (numbers(CHANNELS, seed=seed) + 0.5 for seed in range(4))


class Net(nn.Module):
    """An operator on maps, between a linear layer and a curved end."""

    def __init__(self, operator):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.operator = nn.Linear(LATENT, 24).double(), operator

    def forward(self, z):
        maps = torch.tanh(self.linear(z)).view(-1, CHANNELS, 2, 2)
        return torch.sin(1.3 * self.operator(maps))


def measured(net, z, parameters=None):
    """A penalty of first and one of second derivatives, and their gradients in the parameters."""
    parameters = list(net.parameters()) if parameters is None else parameters
    values = [aw.jl2_penalty(net, z), aw.hessian_penalty(net, z)]
    gradients = [torch.autograd.grad(value, parameters) for value in values]
    return [value.detach() for value in values], gradients


def assert_same(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


def by_channel(standard):
    return standard * WEIGHT[:, None, None] + BIAS[:, None, None]


def standard(x, axes):
    centred = x - x.mean(axes, keepdim=True)
    return centred * (centred.square().mean(axes, keepdim=True) + 1e-5).rsqrt()


# Plain arithmetic, whose derivatives `test_every_penalty` and `test_of_generator` check.
PLAIN = {
    "layer": lambda x: standard(x, [1, 2, 3]),
    "instance": lambda x: by_channel(standard(x, [2, 3])),
    "group": lambda x: by_channel(standard(x.reshape(-1, 3, 8), [2]).view_as(x)),
    "batch": lambda x: by_channel(
        (x - MEAN[:, None, None]) * (VARIANCE[:, None, None] + 1e-5).rsqrt()
    ),
    "rms": lambda x: x * (x.square().mean([2, 3], keepdim=True) + 1e-5).rsqrt(),
    "attention": lambda x: (x @ x.mT / 2**0.5).softmax(-1) @ x,
}
AFFINE = (WEIGHT, BIAS)


def one_row(x):
    """All samples' channels in a row, as published networks for image translation spell it."""
    return x.reshape(1, -1, 2, 2), WEIGHT.repeat(len(x)), BIAS.repeat(len(x))


SPELLED = {
    "layer": {
        "function": lambda x: F.layer_norm(x, (CHANNELS, 2, 2)),
        "raw function": lambda x: torch.layer_norm(x, (CHANNELS, 2, 2)),
        "native": lambda x: torch.native_layer_norm(x, (CHANNELS, 2, 2), None, None, 1e-5)[0],
        "packet": lambda x: aten.layer_norm(x, [CHANNELS, 2, 2]),
        "overload": lambda x: aten.native_layer_norm.default(x, [CHANNELS, 2, 2], None, None, 1e-5)[
            0
        ],
        "vmapped": vmap(lambda x: F.layer_norm(x, (CHANNELS, 2, 2))),
    },
    "instance": {
        "function": lambda x: F.instance_norm(x, None, None, *AFFINE),
        "raw function": lambda x: torch.instance_norm(
            x, *AFFINE, None, None, True, 0.1, 1e-5, False
        ),
        "overload": lambda x: aten.instance_norm.default(
            x, *AFFINE, None, None, True, 0.1, 1e-5, False
        ),
        "batch norm of one row": lambda x: F.batch_norm(
            one_row(x)[0], MEAN.repeat(len(x)), VARIANCE.repeat(len(x)), *one_row(x)[1:], True
        ).view_as(x),
        "native of one row": lambda x: torch.native_batch_norm(
            *one_row(x), None, None, True, 0.1, 1e-5
        )[0].view_as(x),
        "overload of one row": lambda x: aten._native_batch_norm_legit.no_stats(
            *one_row(x), True, 0.1, 1e-5
        )[0].view_as(x),
        "vmapped": vmap(lambda x: F.batch_norm(x[None], None, None, *AFFINE, True)[0]),
    },
    "group": {
        "function": lambda x: F.group_norm(x, 3, *AFFINE),
        "raw function": lambda x: torch.group_norm(x, 3, *AFFINE),
        "native": lambda x: torch.native_group_norm(x, *AFFINE, len(x), CHANNELS, 4, 3, 1e-5)[0],
        "overload": lambda x: aten.group_norm.default(x, 3, *AFFINE),
    },
    "batch": {
        "function": lambda x: F.batch_norm(x, MEAN, VARIANCE, *AFFINE),
        "native": lambda x: torch.native_batch_norm(x, *AFFINE, MEAN, VARIANCE, False, 0.1, 1e-5)[
            0
        ],
        "overload": lambda x: aten._native_batch_norm_legit_no_training.default(
            x, *AFFINE, MEAN, VARIANCE, 0.1, 1e-5
        )[0],
    },
    "rms": {
        "function": lambda x: F.rms_norm(x, (2, 2), eps=1e-5),
        "raw function": lambda x: torch.rms_norm(x, (2, 2), eps=1e-5),
        "overload": lambda x: aten.rms_norm.default(x, [2, 2], None, 1e-5),
    },
    "attention": {
        "function": lambda x: F.scaled_dot_product_attention(x, x, x),
        "packet": lambda x: aten.scaled_dot_product_attention(x, x, x),
        "fused": lambda x: aten._scaled_dot_product_flash_attention_for_cpu(x, x, x)[0],
    },
}
SPELLINGS = [(kind, spelling) for kind, each in SPELLED.items() for spelling in each]


@pytest.mark.parametrize(("kind", "spelling"), SPELLINGS, ids=[" ".join(s) for s in SPELLINGS])
def test_every_spelling_has_the_derivatives_of_plain_arithmetic(kind, spelling):
    z = latents()
    ours = measured(Net(SPELLED[kind][spelling]), z)
    assert_same(ours, measured(Net(PLAIN[kind]), z))


def exported(net, z):
    return torch.export.export(net, (z,), strict=False).module()


GRAPHS = {
    "torch.export": exported,
    "torch.export, decomposed": lambda net, z: (
        torch.export.export(net, (z,), strict=False).run_decompositions().module()
    ),
    "torch.fx": lambda net, _: torch.fx.symbolic_trace(net),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("kind", [kind for kind in PLAIN if kind != "batch"])
def test_graphs_have_the_derivatives_of_plain_arithmetic(kind, graph):
    z = latents()
    net = Net(SPELLED[kind]["function"])
    assert_same(measured(GRAPHS[graph](net, z), z), measured(Net(PLAIN[kind]), z))


def test_a_graph_of_make_fx_has_the_derivatives_of_plain_arithmetic():
    z, net = latents(), Net(SPELLED["layer"]["function"])
    graph = make_fx(lambda z, w, b: torch.func.functional_call(
        net, {"linear.weight": w, "linear.bias": b}, (z,)
    ))(z, *net.parameters())  # fmt: skip
    ours = measured(lambda z: graph(z, *net.parameters()), z, list(net.parameters()))
    assert_same(ours, measured(Net(PLAIN["layer"]), z))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["layer", "instance", "group"])
def test_second_derivatives_of_a_script_are_those_of_plain_arithmetic(kind):
    """Whose weights are frozen; PyTorch loses derivatives of others."""
    norms = {
        "layer": nn.LayerNorm((CHANNELS, 2, 2), elementwise_affine=False),
        "instance": nn.InstanceNorm2d(CHANNELS, affine=True),
        "group": nn.GroupNorm(3, CHANNELS),
    }
    norm = norms[kind].double()
    with torch.no_grad():
        for parameter, value in zip(norm.parameters(), AFFINE, strict=False):
            parameter.copy_(value)
    scripted = torch.jit.script(norm.requires_grad_(False))
    net, plain = Net(scripted).requires_grad_(False), Net(PLAIN[kind]).requires_grad_(False)
    probes = numbers(2, BATCH, LATENT, seed=0)
    for _ in range(3):
        ours = aw.Jacobian(net, latents()).curvatures(probes)
        assert_same(ours, aw.Jacobian(plain, latents()).curvatures(probes))


@pytest.mark.parametrize("index", [1, -1])
def test_what_a_graph_writes_into_a_part_has_right_gradients(index):
    """Graphs without work in place have `select_scatter` for x[:, index] = …."""

    def in_place(x):
        whole = x.clone()
        whole[:, index] = x[:, 0].sin()
        return whole

    net = Net(lambda x: torch.select_scatter(x, x[:, 0].sin(), -3, index))
    assert_same(measured(net, latents()), measured(Net(in_place), latents()))


# What lies innermost in memory

LAYOUTS = {
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "cloned channels last": lambda x: x.clone(memory_format=torch.channels_last),
    "converted channels last": lambda x: x.to(memory_format=torch.channels_last),
    "places before channels": lambda x: (
        x.flatten(1).view(-1, 4, CHANNELS).transpose(1, 2).reshape(-1, CHANNELS, 2, 2)
    ),
    "transposed": lambda x: x.mT,
    "expanded": lambda x: x[:, :, :1].expand(-1, -1, 2, -1),
    "batch innermost": lambda x: x.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2),
}
LAYERS = {
    "group norm": lambda x: F.group_norm(x, 3, *AFFINE),
    "instance norm": lambda x: F.instance_norm(x, None, None, *AFFINE),
    "layer norm": lambda x: F.layer_norm(x, (CHANNELS, 2, 2)),
    "batch norm": lambda x: F.batch_norm(x, MEAN, VARIANCE, *AFFINE),
    "convolution": lambda x: F.conv2d(x, numbers(2, CHANNELS, 2, 2, seed=5)),
    "attention over places": lambda x: F.scaled_dot_product_attention(*[x.flatten(2).mT] * 3),
    "pixel shuffle": lambda x: F.pixel_shuffle(x[:, :4], 2),
    "upsampling": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "pooling": lambda x: F.adaptive_avg_pool2d(x, 1),
    "flattened": lambda x: x.flatten(1),
}


def oracle_columns(net, z):
    full = torch.autograd.functional.jacobian(net, z, create_graph=True)
    return torch.stack([full[b, ..., b, :].movedim(-1, 0) for b in range(len(z))])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("layer", LAYERS)
def test_any_order_in_memory_is_differentiated(layer, layout):
    net, z = Net(lambda x: LAYERS[layer](LAYOUTS[layout](x))), latents()
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        wanted = oracle_columns(net, z)
        gradient = torch.autograd.grad(wanted.square().sum() / BATCH, net.linear.weight)
    columns = aw.jacobian_columns(net, z)
    torch.testing.assert_close(columns, wanted, rtol=1e-9, atol=1e-11)
    for some in ([2], [3, 0]):
        chosen = aw.jacobian_columns(net, z, some)
        torch.testing.assert_close(chosen, wanted[:, some], rtol=1e-9, atol=1e-11)
    flat = wanted.flatten(2)
    torch.testing.assert_close(aw.jacobian_gram(net, z), flat @ flat.mT, rtol=1e-9, atol=1e-11)
    pulled = aw.Jacobian(net, z).transposed_products(torch.ones(1, *columns[:, 0].shape).double())
    torch.testing.assert_close(pulled[0], flat.sum(2), rtol=1e-9, atol=1e-11)
    finite = aw.jacobian_columns(net, z, method="finite", epsilon=1e-7)
    torch.testing.assert_close(finite, wanted, rtol=1e-4, atol=1e-4)
    ours = torch.autograd.grad(aw.jl2_penalty(net, z), net.linear.weight)
    torch.testing.assert_close(ours, gradient, rtol=1e-8, atol=1e-10)
    torch.autograd.grad(aw.hessian_penalty(net, z, probes=2), net.linear.weight)


# Batch norm


@pytest.mark.parametrize(
    "operator",
    [
        lambda x: torch.native_batch_norm(x, *AFFINE, MEAN, VARIANCE, True, 0.1, 1e-5)[0],
        lambda x: aten.batch_norm.default(x, *AFFINE, MEAN, VARIANCE, True, 0.1, 1e-5, False),
        lambda x: aten._native_batch_norm_legit_functional.default(
            x, *AFFINE, MEAN, VARIANCE, True, 0.1, 1e-5
        )[0],
    ],
    ids=["native", "overload", "functional"],
)
@pytest.mark.parametrize("method", ["forward", "finite"])
def test_batch_norm_over_the_batch_is_refused_however_it_is_called(operator, method):
    with pytest.raises(ValueError, match=r"batch norm is in train mode.*\.eval\(\)"):
        aw.jacobian_columns(Net(operator), latents(), method=method)


def test_batch_norm_of_one_row_is_refused_where_the_batch_is_one():
    """It cannot be told from an instance norm, and chunks must give what the whole batch gives."""
    net = Net(lambda x: F.batch_norm(x, MEAN.clone(), VARIANCE.clone(), training=True))
    for arguments in ({"z": latents()[:1]}, {"z": latents(), "chunk_size": 1}):
        with pytest.raises(ValueError, match="generator must treat samples independently"):
            aw.jacobian_columns(net, **arguments)


# Within and without


def test_operators_of_higher_order_are_as_they_were():
    net = Net(lambda x: torch.cond(x.shape[0] > 1, torch.sin, torch.cos, (x,)))
    wanted = aw.jacobian_columns(Net(torch.sin), latents())
    torch.testing.assert_close(aw.jacobian_columns(net, latents()), wanted)


def test_outside_operators_are_as_they_were():
    x = torch.randn(2, CHANNELS, 2, 2)
    before = F.layer_norm(x, (2, 2)), F.batch_norm(x, None, None, training=True)
    aw.jacobian_columns(Net(SPELLED["layer"]["function"]), latents())
    with pytest.raises(ZeroDivisionError):
        aw.jacobian_columns(lambda z: z / (1 // 0), latents())
    after = F.layer_norm(x, (2, 2)), F.batch_norm(x, None, None, training=True)
    assert all(map(torch.equal, before, after))


def test_other_threads_are_left_alone():
    x, found = torch.randn(2, CHANNELS, 2, 2), []
    with Kernels(2, order=1):
        other = threading.Thread(
            target=lambda: found.append(F.batch_norm(x, None, None, training=True))
        )
        other.start()
        other.join()
    assert torch.equal(found[0], F.batch_norm(x, None, None, training=True))


def test_a_generator_that_takes_a_jacobian_itself_keeps_its_own_settings():
    norm = SPELLED["layer"]["function"]
    other = Net(norm)

    def inner(x):
        aw.jacobian_columns(other, latents(), method="finite")
        return norm(x)

    z = latents()
    assert_same(measured(Net(inner), z), measured(Net(PLAIN["layer"]), z))
