"""Hessians of outputs: against closed forms and autograd, and what does not change them."""

import math

import pytest
import torch
from torch import Tensor

from axiswise.metrics import hessian_diagnostics
from axiswise.nets import SimpleGenerator


def quadratic(matrices: Tensor):
    """Outputs zᵀAz/2, whose Hessians are the symmetric matrices A."""
    return lambda z: torch.einsum("bi,oij,bj->bo", z, matrices, z) / 2


def symmetric(*rows):
    matrix = torch.tensor(rows, dtype=torch.float64)
    return (matrix + matrix.T) / 2


def test_of_quadratic_outputs_it_counts_their_matrices():
    matrices = torch.stack(
        [
            symmetric([3.0, 1.0], [1.0, 0.5]),  # largest on the diagonal
            symmetric([1.0, -2.0], [-2.0, 1.0]),  # off it, with a minus
            symmetric([0.0, 0.0], [0.0, -4.0]),  # on it, with a minus
            symmetric([0.0, 0.0], [0.0, 0.0]),  # counts for nothing
        ]
    )
    z = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = hessian_diagnostics(quadratic(matrices), z)
    assert found.diagonal_share == 2 / 3
    squares = matrices.square()
    expected = float((squares[:, 0, 1] + squares[:, 1, 0]).sum() / squares.sum())
    assert found.off_diagonal_share == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(found.mean_size, matrices.abs().mean(0))


def test_of_a_network_it_agrees_with_autograd():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SimpleGenerator(size=8, channels=1, latent_dim=3, width=0.1).double().eval()
        z = torch.randn(2, 3, dtype=torch.float64)
    pixels = [5, 20, 40]
    some = lambda z: network(z).flatten(1)[:, pixels]  # noqa: E731
    expected = torch.stack(
        [
            torch.autograd.functional.hessian(lambda one, k=k: some(one[None])[0, k], row)
            for row in z
            for k in range(len(pixels))
        ]
    )
    found = hessian_diagnostics(some, z)
    torch.testing.assert_close(found.mean_size, expected.abs().mean(0))
    sizes = expected.abs()
    on = sizes.diagonal(dim1=1, dim2=2).amax(1) == sizes.flatten(1).amax(1)
    assert found.diagonal_share == pytest.approx(float(on.double().mean()))
    off = (
        sizes.square().sum() - sizes.diagonal(dim1=1, dim2=2).square().sum()
    ) / sizes.square().sum()
    assert found.off_diagonal_share == pytest.approx(float(off))


def test_permuted_latents_and_smaller_chunks_change_nothing():
    rng = torch.Generator().manual_seed(1)
    matrices = torch.randn(6, 4, 4, generator=rng, dtype=torch.float64)
    matrices = matrices + matrices.mT
    z = torch.randn(3, 4, generator=rng, dtype=torch.float64)
    order = torch.tensor([2, 0, 3, 1])
    first = hessian_diagnostics(quadratic(matrices), z)
    other = hessian_diagnostics(quadratic(matrices[:, order][:, :, order]), z, chunk_size=3)
    assert first.diagonal_share == other.diagonal_share
    assert first.off_diagonal_share == pytest.approx(other.off_diagonal_share, rel=1e-10)


def test_alike_entries_lie_on_the_diagonal_in_two_of_latents_and_one():
    rng = torch.Generator().manual_seed(2)
    entries = torch.rand(20_000, 5, 5, generator=rng, dtype=torch.float64).triu()
    found = hessian_diagnostics(
        quadratic(entries + entries.triu(1).mT), torch.zeros(1, 5, dtype=torch.float64)
    )
    assert found.diagonal_share == pytest.approx(2 / 6, abs=0.01)


def test_a_linear_generator_has_no_share():
    found = hessian_diagnostics(torch.nn.Linear(3, 4), torch.randn(2, 3))
    assert math.isnan(found.diagonal_share)
    assert math.isnan(found.off_diagonal_share)


def test_what_has_no_hessians_is_refused():
    with pytest.raises(TypeError, match="must return one tensor, got 2"):
        hessian_diagnostics(lambda z: (z * z, z), torch.randn(2, 3))
    with pytest.raises(ValueError, match="finite second derivatives, got others at latents 1"):
        hessian_diagnostics(lambda z: z.clamp_min(0) ** 1.5, torch.tensor([[1.0, 1.0], [0.0, 1.0]]))
