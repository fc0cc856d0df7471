"""Norms inside a generator: same values as PyTorch's, and right derivatives of the Jacobian."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import axiswise as aw
from axiswise.jacobian import norms
from axiswise.jacobian.kernels import Kernels

LATENT = 4


class Normed(nn.Module):
    def __init__(self, norm, *shape):
        super().__init__()
        self.first, self.norm, self.shape = nn.Linear(LATENT, 24), norm, shape

    def forward(self, z):
        return torch.sin(self.norm(self.first(z).view(-1, *self.shape)))


def transformer():
    layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True, norm_first=True)
    layer.self_attn = Attention()
    return layer


class Attention(nn.Module):
    """Plain attention; the fused one has no forward-mode derivative on a CPU."""

    batch_first = True
    in_proj_bias = None

    def forward(self, query, key, value, **_):
        return (query @ key.mT).softmax(-1) @ value, None


NETS = {
    "instance norm": lambda: Normed(nn.InstanceNorm2d(2), 2, 3, 4),
    "instance norm, affine": lambda: Normed(nn.InstanceNorm1d(3, affine=True), 3, 8),
    "instance norm, tracking": lambda: Normed(
        nn.InstanceNorm2d(2, track_running_stats=True), 2, 3, 4
    ),
    "instance norm, tracking, eval": lambda: Normed(
        nn.InstanceNorm2d(2, track_running_stats=True), 2, 3, 4
    ).eval(),
    "layer norm": lambda: Normed(nn.LayerNorm(24), 24),
    "layer norm, two axes": lambda: Normed(nn.LayerNorm((3, 4), eps=0.1), 2, 3, 4),
    "raw layer norm": lambda: Normed(lambda x: torch.layer_norm(x, (24,)), 24),
    "group norm": lambda: Normed(nn.GroupNorm(2, 6), 6, 2, 2),
    "rms norm": lambda: Normed(nn.RMSNorm(24), 24),
    "batch norm, eval": lambda: Normed(nn.BatchNorm1d(24), 24).eval(),
    "transformer": lambda: Normed(transformer(), 4, 6),
}


@pytest.fixture(params=NETS)
def net(request):
    torch.manual_seed(0)
    net = NETS[request.param]().double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return net


def latents():
    return torch.randn(3, LATENT, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_gradients_of_the_jacobian_equal_double_backward(net):
    """PyTorch's own forward-mode derivative of instance and layer norm fails this by 100 %."""
    z = latents()
    full = torch.autograd.functional.jacobian(net, z, create_graph=True)
    theirs = torch.stack([full[b, ..., b, :].movedim(-1, 0) for b in range(len(z))])
    ours = aw.jacobian_columns(net, z)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)

    weights = torch.randn_like(theirs)
    parameters = list(net.parameters())
    for one, other in zip(
        torch.autograd.grad((ours * weights).sum(), parameters, materialize_grads=True),
        torch.autograd.grad((theirs * weights).sum(), parameters, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


def test_second_derivatives_equal_reverse_over_reverse(net):
    z = latents()

    def hessian(z):
        outputs = [lambda z, i=i: net(z[None]).flatten()[i] for i in range(24)]
        return torch.stack([torch.autograd.functional.hessian(o, z) for o in outputs])

    mixed = torch.stack([hessian(each) for each in z]).triu(1)
    ours = aw.hessian_penalty(net, z)
    torch.testing.assert_close(ours, 4 * mixed.square().sum((2, 3)).mean(), rtol=1e-9, atol=1e-12)


def test_values_are_those_of_the_network(net):
    z = latents()
    with Kernels(len(z), order=1):
        inside = net(z)
    torch.testing.assert_close(inside, net(z), rtol=1e-12, atol=1e-12)


aten = torch.ops.aten
PRECISION = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.03}


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("dtype", PRECISION, ids=str)
@pytest.mark.parametrize("affine", [True, False])
def test_written_out_norms_equal_pytorchs(dtype, affine, memory):
    torch.manual_seed(0)
    x = (5 * torch.randn(3, 4, 8, 8) + 2).to(dtype).contiguous(memory_format=memory)
    per_channel = [torch.randn(4).to(dtype) for _ in range(2)] if affine else [None, None]
    per_pixel = [torch.randn(8, 8).to(dtype) for _ in range(2)] if affine else [None, None]
    for ours, theirs in [
        (norms.instance_norm(x, *per_channel), F.instance_norm(x, None, None, *per_channel)),
        (
            norms.layer_norm(x, [8, 8], *per_pixel, 0.1),
            torch.native_layer_norm(x, (8, 8), *per_pixel, 0.1),
        ),
        (
            norms.group_norm(x, 2, *per_channel, 0.1),
            torch.native_group_norm(x, *per_channel, 3, 4, 64, 2, 0.1),
        ),
        (
            norms.batch_norm(x, *per_channel, 0.1),
            torch.native_batch_norm(x, *per_channel, None, None, True, 0.1, 0.1),
        ),
        (norms.rms_norm(x, [8, 8], per_pixel[0])[0], F.rms_norm(x, (8, 8), per_pixel[0])),
    ]:
        one, other = (
            (each,) if isinstance(each, torch.Tensor) else each for each in (ours, theirs)
        )
        for part, (mine, its) in enumerate(zip(one, other, strict=True)):
            assert mine.shape == its.shape
            assert part or mine.dtype == its.dtype == dtype
            torch.testing.assert_close(
                mine.to(its.dtype), its, rtol=PRECISION[dtype], atol=PRECISION[dtype]
            )


def test_running_statistics_are_used_in_eval_mode_and_never_changed():
    norm = nn.InstanceNorm2d(2, track_running_stats=True).double()
    generator = Normed(norm, 2, 3, 4).double()
    norm.running_mean.copy_(torch.tensor([1.0, -2.0]))
    norm.running_var.copy_(torch.tensor([0.5, 2.0]))
    before = {name: value.clone() for name, value in norm.named_buffers()}
    for train in (True, False):
        generator.train(train)
        aw.jacobian_columns(generator, latents())
        for name in ("running_mean", "running_var"):
            assert torch.equal(getattr(norm, name), before[name])
    expected = (norm.running_var + norm.eps).rsqrt().repeat_interleave(12)[:, None]
    hidden = generator.first(latents())
    with Kernels(3, order=1):
        slope = torch.autograd.functional.jacobian(
            lambda x: norm(x.view(1, 2, 3, 4)).flatten(), hidden[0].detach()
        )
    torch.testing.assert_close(slope.diagonal(), expected.squeeze(1))


@pytest.mark.parametrize("batch", [1, 3])
def test_finite_differences_take_the_norms_as_they_are(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's own are faster, and right where nothing is differentiated in forward mode."""
    taken_apart: list[tuple[object, ...]] = []
    ours = norms.instance_norm
    monkeypatch.setattr(
        norms,
        "instance_norm",
        lambda *given: taken_apart.append(given) or ours(*given),
    )
    norm = torch.nn.InstanceNorm2d(2, affine=True).double()
    generator = torch.nn.Sequential(torch.nn.Unflatten(1, (2, 3, 3)), norm)
    z = torch.randn(batch, 18, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    finite = aw.jacobian_columns(generator, z, method="finite", epsilon=1e-6)
    # One sample alone is left to ours: PyTorch's own has wrong gradients there.
    assert bool(taken_apart) == (batch == 1)
    torch.testing.assert_close(finite, aw.jacobian_columns(generator, z), rtol=0, atol=1e-4)
