"""Errors of a generator's pass lead somewhere: to a name, and to a way out that works."""

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import axiswise as aw

LATENT = 4
Z = torch.randn(3, LATENT, generator=torch.Generator().manual_seed(0))
LINEAR = nn.Linear(LATENT, 6)
METHODS = pytest.mark.parametrize("method", ["forward", "finite"])


class Decoded(OrderedDict):
    """As the outputs of diffusers: fields by name and by key."""

    def __getattr__(self, name):
        return self[name]


@dataclass
class Fields:
    images: torch.Tensor


OUTPUTS = [
    (
        lambda x: {"loss": 0, "reconstruction": x},
        TypeError,
        r"dict: return one tensor of it, \['reconstruction'\]",
    ),
    (lambda x: Decoded(sample=x), TypeError, r"Decoded: return one tensor of it, \.sample"),
    (lambda x: Fields(x), TypeError, r"Fields: return one tensor of it, \.images"),
    (lambda x: (x, {"mean": x}), TypeError, r"floating tensors, got dict: .*\['mean'\]"),
    (lambda _: None, TypeError, "got NoneType"),
    (lambda _: "image", TypeError, "got str"),
    (lambda x: x.detach().numpy(), TypeError, r"ndarray: return torch\.from_numpy"),
    (lambda x: x.long(), TypeError, r"floating tensors, got torch\.int64"),
    (lambda x: x > 0, TypeError, r"floating tensors, got torch\.bool"),
    (lambda x: torch.complex(x, x), TypeError, r"torch\.complex64: return torch\.view_as_real"),
    (lambda x: x.sum(), ValueError, r"one row for each of the 3 latents, got shape \(\)"),
    (
        lambda x: x.repeat(2, 1),
        ValueError,
        r"one row for each of the 3 latents, got shape \(6, 6\)",
    ),
]


@pytest.mark.unchecked
@METHODS
@pytest.mark.parametrize(("output", "error", "message"), OUTPUTS, ids=range(len(OUTPUTS)))
def test_what_is_no_output_is_named_with_what_can_be_returned(output, error, message, method):
    if method == "forward" and "ndarray" in message:
        return  # NumPy refuses before there is an output: see below
    with pytest.raises(error, match="^generator must return .*" + message):
        aw.jacobian_columns(lambda z: output(LINEAR(z)), Z, method=method)


def test_a_sparse_output_is_refused():
    with pytest.raises(TypeError, match=r"torch\.sparse_coo: return its \.to_dense\(\)"):
        aw.jacobian_columns(lambda z: LINEAR(z).to_sparse(), Z, method="finite")
    with pytest.raises((TypeError, NotImplementedError)):
        aw.jacobian_columns(lambda z: LINEAR(z).to_sparse(), Z)


@METHODS
@pytest.mark.parametrize("kind", ["stack", "module", "closure", "transposed"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_latents_of_another_type_than_the_weights_are_named(kind, method, dtype):
    net = nn.Sequential(nn.Linear(LATENT, 6), nn.Tanh()).to(dtype)
    generator = {"stack": net, "closure": lambda z: net(z)}.get(kind, nn.Sequential(net, nn.SiLU()))
    message = f"z must be of the type of the generator's weights, {dtype}, got torch.float32"
    jacobian = aw.Jacobian(generator, Z, "forward" if kind == "transposed" else method)
    ask = partial(jacobian.transposed_products, torch.ones(1, 3, 6))
    with pytest.raises(TypeError, match=message):
        ask() if kind == "transposed" else jacobian.columns()
    with pytest.raises(TypeError, match=message):
        jacobian.output  # noqa: B018


@METHODS
def test_latents_on_another_device_than_the_weights_are_named(method):
    net = nn.Sequential(nn.Linear(LATENT, 6, device="meta"), nn.SiLU())
    with pytest.raises(ValueError, match="z must be on the generator's device, meta, got cpu"):
        aw.jacobian_columns(net, Z, method=method)


def test_a_generator_that_casts_its_latents_is_fine():
    net = nn.Linear(LATENT, 6).double()
    columns = aw.jacobian_columns(lambda z: net(z.double()).float(), Z)
    torch.testing.assert_close(columns, net.weight.T.float().expand(3, -1, -1))


def energy(z):
    with torch.enable_grad():
        z = z.requires_grad_()
        return torch.autograd.grad(LINEAR(z).tanh().sum(), z, create_graph=True)[0]


def one_by_one(z):
    return torch.stack([torch.tensor([2 * value.item() for value in row]) for row in LINEAR(z)])


@pytest.mark.parametrize("columns", [None, [1]], ids=["all", "one"])
@pytest.mark.parametrize(
    "generator",
    [
        energy,
        one_by_one,
        lambda z: torch.from_numpy(np.sin(LINEAR(z).detach().numpy())),
        lambda z: torch.tensor(LINEAR(z).tolist()),
        lambda z: LINEAR(z) * float(z.sum()),
        nn.Sequential(LINEAR, nn.RReLU()).train(),
    ],
    ids=["energy", "item", "numpy", "tolist", "float", "random slopes"],
)
def test_what_forward_mode_cannot_follow_leads_to_differences_which_work(generator, columns):
    if isinstance(generator, nn.Module) and columns:
        return  # one by one there is a derivative
    with pytest.raises(NotImplementedError, match="use method='finite'"):
        aw.jacobian_columns(generator, Z, columns)
    assert aw.jacobian_columns(generator, Z, columns, method="finite").any()


@pytest.mark.parametrize(
    "constant",
    [
        lambda: torch.tensor(LINEAR.bias.detach().numpy()),
        lambda: torch.from_numpy(np.asarray(LINEAR.bias.detach())),
        lambda: torch.tensor(LINEAR.bias.tolist()),
        lambda: LINEAR.bias.norm().item(),
        lambda: float(LINEAR.bias.detach().sum()),
    ],
    ids=["numpy", "asarray", "tolist", "item", "float"],
)
@pytest.mark.parametrize("columns", [None, [1]], ids=["all", "one"])
def test_constants_that_leave_pytorch_are_no_obstacle(constant, columns):
    wanted = aw.jacobian_columns(LINEAR, Z, columns) * constant()
    found = aw.jacobian_columns(lambda z: LINEAR(z) * constant(), Z, columns)
    torch.testing.assert_close(found, wanted)


def test_batch_norm_without_statistics_is_said_to_have_none():
    norm = nn.BatchNorm1d(6, track_running_stats=False)
    for generator in (nn.Sequential(LINEAR, norm).eval(), lambda z: norm(LINEAR(z))):
        with pytest.raises(ValueError, match=r"no running statistics.*eval mode too") as error:
            aw.jacobian_columns(generator, Z)
        assert "call .eval()" not in str(error.value)


def test_random_leaky_relu_in_eval_mode_has_its_mean_slope():
    net = nn.Sequential(LINEAR, nn.RReLU(0.1, 0.3)).eval()
    for method in ("forward", "finite"):
        found = aw.jacobian_columns(net, Z, method=method)
        wanted = aw.jacobian_columns(nn.Sequential(LINEAR, nn.LeakyReLU(0.2)), Z)
        torch.testing.assert_close(found, wanted, rtol=1e-2, atol=1e-3)


@METHODS
def test_the_generators_own_errors_stay_as_they_are(method):
    class Own(Exception):
        pass

    def raises(_):
        raise Own("words")

    with pytest.raises(Own, match=r"^words$"):
        aw.jacobian_columns(raises, Z, method=method)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        aw.jacobian_columns(nn.Sequential(nn.Linear(5, 6), nn.SiLU()), Z, method=method)


def test_what_is_fine_stays_fine():
    for generator in (lambda z: z, nn.Identity(), lambda z: z.view_as(z)):
        torch.testing.assert_close(aw.jacobian_columns(generator, Z), torch.eye(4).expand(3, 4, 4))
    z = Z.clone().requires_grad_()
    aw.jl1_penalty(lambda z: LINEAR(z).sin(), z).backward()
    assert z.grad is None
    assert z.requires_grad
