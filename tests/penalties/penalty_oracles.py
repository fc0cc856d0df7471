"""Generators, definitions by reverse mode, published inputs: what tests of penalties share."""

from pathlib import Path

import numpy as np
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from torch import nn

import axiswise as aw

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


def with_zero_column(index=1):
    matrix = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix[:, index] = 0
    return matrix.requires_grad_()


Z = latents()

SAMPLED = [aw.orojar_penalty, aw.hessian_penalty]

EVERY = [aw.jl1_penalty, aw.jl2_penalty, *SAMPLED, aw.ima_contrast]
