"""Determinants, solutions and reflections: right derivatives, and gradients of these."""

import pytest
import torch
from torch import nn

import axiswise as aw

LATENT, SIZE = 3, 3
RIGHT = torch.randn(SIZE, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def latents():
    return torch.randn(2, LATENT, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def inverse(a):
    return torch.linalg.inv(a)


def expanded(a):
    """The determinant of a 3 × 3 matrix by its definition."""
    return (torch.linalg.cross(a[:, 0], a[:, 1]) * a[:, 2]).sum(1)


def reflected(a):
    """Two reflections of the first two axes, by their definition."""
    first = torch.cat([torch.ones(len(a), 1), a[:, 1:, 0]], 1)[:, :, None]
    second = torch.cat([torch.zeros(len(a), 1), torch.ones(len(a), 1), a[:, 2:, 1]], 1)[:, :, None]
    each = (
        torch.eye(SIZE) - a[:, 2, i, None, None] * v @ v.mT for i, v in enumerate((first, second))
    )
    return (next(each) @ next(each))[:, :, :2]


CASES = {
    "reflections": (
        lambda a: torch.linalg.householder_product(a[:, :, :2], a[:, 2, :2]),
        reflected,
    ),
    "solve": (lambda a: torch.linalg.solve(a, RIGHT), lambda a: inverse(a) @ RIGHT),
    "solve, vector": (
        lambda a: torch.linalg.solve(a, a[:, 0].sin()),
        lambda a: (inverse(a) @ a[:, 0].sin()[:, :, None])[:, :, 0],
    ),
    "solve, from the right": (
        lambda a: torch.linalg.solve(a, RIGHT.T.expand(len(a), -1, -1), left=False),
        lambda a: RIGHT.T @ inverse(a),
    ),
    "solve_ex": (lambda a: torch.linalg.solve_ex(a, RIGHT)[0], lambda a: inverse(a) @ RIGHT),
    "tensorsolve": (
        lambda a: torch.stack([torch.linalg.tensorsolve(each, RIGHT[:, 0]) for each in a]),
        lambda a: inverse(a) @ RIGHT[:, 0],
    ),
    "det": (torch.det, expanded),
    "slogdet": (
        lambda a: torch.stack(torch.linalg.slogdet(a), 1),
        lambda a: torch.stack([expanded(a).sign(), expanded(a).abs().log()], 1),
    ),
    "logdet": (lambda a: torch.logdet(a @ a.mT), lambda a: expanded(a).square().log()),
}


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_equal_plain_arithmetic(case):
    """PyTorch's own are wrong without a word, by 50 % to 10,000 %."""
    torch.manual_seed(0)
    linear = nn.Linear(LATENT, SIZE * SIZE).double()

    def measured(operator):
        def generator(z):
            matrices = torch.sin(linear(z)).view(-1, SIZE, SIZE) + torch.eye(SIZE).double()
            return operator(matrices).reshape(len(z), -1)

        values = [aw.jl2_penalty(generator, latents()), aw.hessian_penalty(generator, latents())]
        return values, [torch.autograd.grad(value, linear.weight) for value in values]

    ours, theirs = (measured(operator) for operator in CASES[case])
    torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)
