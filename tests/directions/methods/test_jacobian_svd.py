"""Singular vectors of the Jacobian against `torch.linalg.svd` of one that reverse mode made."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import axiswise as aw

LATENT = 4
Nets = Callable[..., nn.Module]


def _jacobian(net: nn.Module, z: Tensor) -> Tensor:
    def image(z: Tensor) -> Tensor:
        images: Tensor = net(z[None])
        return images[0]

    columns: Tensor = torch.autograd.functional.jacobian(image, z)
    return columns


def _same(found: Tensor, expected: Tensor) -> None:
    cosines = (found.double() * expected).sum(1).abs()
    torch.testing.assert_close(cosines, torch.ones(len(expected)).double(), rtol=0, atol=1e-6)


def test_at_one_place_they_are_the_right_singular_vectors(mlp: Nets) -> None:
    net = mlp(kind=torch.float64)
    z = torch.tensor([[0.3, -1.0, 0.5, 2.0]], dtype=torch.float64)
    found = aw.find_directions(net, "jacobian-svd", latent_dim=LATENT, z=z)
    _, stretches, vectors = torch.linalg.svd(_jacobian(net, z[0]))
    assert float(stretches.diff().abs().min()) > 0.01
    _same(found.matrix, vectors)


def test_of_one_matrix_they_are_those_of_the_matrix_and_importance_its_singular_values() -> None:
    weight = torch.randn(9, LATENT, generator=torch.Generator().manual_seed(2)).double()
    _, stretches, vectors = torch.linalg.svd(weight)
    found = aw.find_directions(
        lambda z: z @ weight.float().T, "jacobian-svd", 3, latent_dim=LATENT, samples=3
    )
    _same(found.matrix, vectors[:3])
    torch.testing.assert_close(found.importance.double(), stretches[:3], rtol=1e-5, atol=0)


def test_at_several_places_they_are_the_eigenvectors_of_the_mean(mlp: Nets) -> None:
    """Of the searched latents alone where there is a subspace."""
    net = mlp(kind=torch.float64)
    z = torch.randn(7, LATENT, generator=torch.Generator().manual_seed(3)).double()
    jacobians = [_jacobian(net, each) for each in z]
    for subspace in (slice(0, LATENT), slice(1, 4)):
        parts = [jacobian[:, subspace] for jacobian in jacobians]
        mean = torch.stack([part.T @ part for part in parts]).mean(0)
        vectors = torch.linalg.eigh(mean).eigenvectors.flip(1).T
        found = aw.find_directions(
            net, "jacobian-svd", latent_dim=LATENT, subspace=subspace, z=z, chunk_size=5
        )
        _same(found.matrix[:, subspace], vectors)


def test_without_places_the_mean_is_over_latents_as_the_generator_draws_them(mlp: Nets) -> None:
    net = mlp(kind=torch.float64)
    z = torch.randn(5, LATENT, generator=torch.Generator().manual_seed(4)).double()

    class Drawing(nn.Module):
        latent_dim = LATENT

        def sample_latents(self, n: int, _rng: torch.Generator) -> Tensor:
            return z[torch.arange(n) % 5]

        def forward(self, z: Tensor) -> Tensor:
            images: Tensor = net(z)
            return images

    drawn = aw.find_directions(Drawing(), "jacobian-svd", samples=5)
    given = aw.find_directions(net, "jacobian-svd", latent_dim=LATENT, z=z)
    torch.testing.assert_close(drawn.matrix, given.matrix, rtol=0, atol=1e-6)


def test_by_differences_they_are_nearly_the_same(mlp: Nets) -> None:
    net, z = mlp(kind=torch.float64), torch.ones(1, LATENT).double()
    found = aw.find_directions(
        net, "jacobian-svd", latent_dim=LATENT, z=z, derivative="finite", epsilon=1e-5
    )
    exact = aw.find_directions(net, "jacobian-svd", latent_dim=LATENT, z=z)
    torch.testing.assert_close(found.matrix, exact.matrix, rtol=0, atol=1e-3)


def test_places_that_are_no_numbers_are_refused(mlp: Nets) -> None:
    with pytest.raises(ValueError, match="generator must have finite derivatives"):
        aw.find_directions(
            mlp(), "jacobian-svd", latent_dim=LATENT, z=torch.full((1, LATENT), torch.nan)
        )
