"""Lengths and deviations: second derivatives and their gradients, and what becomes of zeros."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import axiswise as aw

LATENT, WIDE = 3, 6


def latents():
    return torch.randn(2, LATENT, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


EYE = torch.eye(WIDE, dtype=torch.float64)


def unit(x):
    return x * x.square().sum(1, keepdim=True).rsqrt()


def scaled(x, correction):
    centred = x - x.mean(1, keepdim=True)
    return x * ((centred.square().sum(1, keepdim=True)) / (WIDE - correction)).rsqrt()


def by_power(x, p):
    return x / x.abs().pow(p).sum(1, keepdim=True).pow(1 / p)


CASES = {
    "normalize": (lambda x: F.normalize(x, dim=1), unit),
    "normalize, 3": (lambda x: F.normalize(x, p=3, dim=1), lambda x: by_power(x, 3)),
    "norm": (lambda x: x / x.norm(dim=1, keepdim=True), unit),
    "norm by name": (lambda x: x / torch.norm(x, p="fro", dim=1, keepdim=True), unit),
    "norm of all": (lambda x: torch.stack([each / each.norm() for each in x]), unit),
    "linalg.norm": (lambda x: x / torch.linalg.norm(x, dim=1, keepdim=True), unit),
    "vector norm": (lambda x: x / torch.linalg.vector_norm(x, dim=1, keepdim=True), unit),
    "vector norm, 1.5": (
        lambda x: x / torch.linalg.vector_norm(x, 1.5, dim=1, keepdim=True),
        lambda x: by_power(x, 1.5),
    ),
    "vector norm, -2": (
        lambda x: x / torch.linalg.vector_norm(x, -2, dim=1, keepdim=True),
        lambda x: by_power(x, -2),
    ),
    "matrix norm": (
        lambda x: x / torch.linalg.matrix_norm(x.view(-1, 2, WIDE // 2))[:, None],
        unit,
    ),
    "aten": (lambda x: x / torch.ops.aten.linalg_vector_norm.default(x, 2, [1], True), unit),
    "std": (lambda x: x / x.std(1, keepdim=True), lambda x: scaled(x, 1)),
    "std, biased": (
        lambda x: x / x.std(1, unbiased=False, keepdim=True),
        lambda x: scaled(x, 0),
    ),
    "std of all": (lambda x: torch.stack([e / e.std() for e in x]), lambda x: scaled(x, 1)),
    "std_mean": (
        lambda x: x / torch.std_mean(x, 1, keepdim=True)[0],
        lambda x: scaled(x, 1),
    ),
    "cosines": (lambda x: F.cosine_similarity(x[:, None], EYE, dim=2), unit),
    "distance": (
        lambda x: F.pairwise_distance(x, x.roll(1, 1).sin())[:, None] * x,
        lambda x: (x - x.roll(1, 1).sin() + 1e-6).square().sum(1, keepdim=True).sqrt() * x,
    ),
    "dist": (
        lambda x: torch.stack([torch.dist(e, e.roll(1).sin()) * e for e in x]),
        lambda x: (x - x.roll(1, 1).sin()).square().sum(1, keepdim=True).sqrt() * x,
    ),
    "of complex numbers": (
        lambda x: x / torch.linalg.vector_norm(torch.fft.fft(x), dim=1, keepdim=True),
        lambda x: unit(x) / WIDE**0.5,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_equal_plain_arithmetic(case):
    torch.manual_seed(0)
    first, second = nn.Linear(LATENT, WIDE).double(), nn.Linear(WIDE, 2).double()

    def measured(operator):
        def generator(z):
            return second(operator(torch.sin(first(z)) + 0.1 * first(z)))

        values = [aw.jl2_penalty(generator, latents()), aw.hessian_penalty(generator, latents())]
        values.append(aw.hessian_penalty(generator, latents(), 2, rng=seeded()))
        return values, [torch.autograd.grad(value, first.weight) for value in values]

    ours, theirs = (measured(operator) for operator in CASES[case])
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


def seeded():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    "operator",
    [
        lambda x: x.norm(dim=1, keepdim=True),
        lambda x: torch.linalg.vector_norm(x, 3, dim=1, keepdim=True),
        lambda x: F.normalize(x, dim=1),
        lambda x: x.std(1, keepdim=True),
    ],
    ids=["norm", "vector norm, 3", "normalize", "std"],
)
def test_where_all_is_zero_derivatives_are_finite(operator):
    linear = nn.Linear(LATENT, WIDE, bias=False).double()
    value = aw.hessian_penalty(lambda z: operator(linear(z)), 0 * latents())
    (gradient,) = torch.autograd.grad(value, linear.weight)
    assert value.isfinite()
    assert gradient.isfinite().all()
