"""Attention is differentiated as it is called, with the derivatives of plain arithmetic."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

import axiswise as aw
from axiswise.jacobian.kernels import Kernels

LATENT, LONG, WIDE = 4, 3, 8


def latents():
    return torch.randn(2, LATENT, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self, attention, **named):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.attention, self.named = nn.Linear(LATENT, LONG * WIDE), attention, named
        self.double()

    def forward(self, z):
        x = self.linear(z).sin().view(-1, LONG, WIDE)
        out = self.attention(x, x, x, **self.named)
        return out[0] if isinstance(out, tuple) else out


def in_heads(attend):
    def attention(query, key, value):
        split = (each.unflatten(2, (4, 2)).transpose(1, 2) for each in (query, key, value))
        return attend(*split).transpose(1, 2).flatten(2)

    return attention


LOWER = torch.ones(LONG, LONG, dtype=torch.bool).tril()
MASKED = torch.tensor([[True, False, True], [False] * 3, [True, True, False]])  # one row wholly
BIAS = torch.randn(LONG, LONG, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
sdpa = F.scaled_dot_product_attention
CASES = {
    "plain": sdpa,
    "in heads": in_heads(sdpa),
    "causal": in_heads(lambda q, k, v: sdpa(q, k, v, is_causal=True)),
    "mask": in_heads(lambda q, k, v: sdpa(q, k, v, attn_mask=LOWER)),
    "mask of whole rows": in_heads(lambda q, k, v: sdpa(q, k, v, attn_mask=MASKED)),
    "bias": in_heads(lambda q, k, v: sdpa(q, k, v, attn_mask=BIAS)),
    "bias of the latents": lambda q, k, v: sdpa(q, k, v, attn_mask=q @ k.mT),
    "scale": in_heads(lambda q, k, v: sdpa(q, k, v, scale=0.3)),
    "fewer keys": in_heads(lambda q, k, v: sdpa(q, k[:, :2], v[:, :2], enable_gqa=True)),
}


def oracle(net, z):
    """Columns by reverse mode, through the one kernel that can be differentiated twice."""
    with sdpa_kernel(SDPBackend.MATH):
        full = torch.autograd.functional.jacobian(net, z, create_graph=True)
    return torch.stack([full[b, ..., b, :].movedim(-1, 0) for b in range(len(z))])


def assert_right(net):
    z, weight = latents(), net.linear.weight
    columns, wanted = aw.jacobian_columns(net, z), oracle(net, z)
    torch.testing.assert_close(columns, wanted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        torch.autograd.grad(columns.square().sum(), weight),
        torch.autograd.grad(wanted.square().sum(), weight),
        rtol=1e-9,
        atol=1e-11,
    )
    with Kernels(len(z), order=1):
        inside = net(z)
    torch.testing.assert_close(inside, net(z), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_columns_and_their_gradients_equal_the_oracle(case):
    assert_right(Net(CASES[case]))


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "trained"])
def test_attention_layers_take_no_fast_path_without_derivatives(frozen):
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(WIDE, 2, batch_first=True).eval().requires_grad_(not frozen)
    for named in ({"need_weights": False}, {}):
        assert_right(Net(attention, **named))


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "trained"])
def test_transformers_take_no_fast_path_without_derivatives(frozen):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(WIDE, 2, 8, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2).double().eval().requires_grad_(not frozen)
    net = Net(lambda x, *_: encoder(x))
    wanted = oracle(net, latents()).detach()
    torch.testing.assert_close(aw.jacobian_columns(net, latents()), wanted, rtol=1e-10, atol=1e-12)
    with torch.no_grad():
        unrecorded = aw.jacobian_columns(net, latents())
    torch.testing.assert_close(unrecorded, wanted, rtol=1e-10, atol=1e-12)
    assert aw.hessian_penalty(net, latents()).isfinite()


def test_curvatures_equal_those_of_plain_arithmetic():
    probes = torch.randn(2, 2, LATENT, dtype=torch.float64)
    plain = Net(lambda q, k, v: (q @ k.mT / WIDE**0.5).softmax(-1) @ v)
    ours, theirs = Net(sdpa), plain
    values = [aw.Jacobian(net, latents()).curvatures(probes) for net in (ours, theirs)]
    torch.testing.assert_close(*values, rtol=1e-9, atol=1e-11)
    gradients = [
        torch.autograd.grad(value.square().sum(), net.linear.weight)
        for value, net in zip(values, (ours, theirs), strict=True)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-10)
