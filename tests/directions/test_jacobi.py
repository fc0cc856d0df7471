"""Joint diagonalisation against matrices whose answer is known and against every angle."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from axiswise.directions.jacobi import joint_diagonalization


def _rotation(size: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(size, size, generator=rng, dtype=torch.float64)).Q


def _symmetric(count: int, size: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    half = torch.randn(count, size, size, generator=rng, dtype=torch.float64)
    return half @ half.transpose(1, 2)


def _off_diagonal_energy(a: Tensor, matrices: Tensor) -> float:
    size = len(a)
    turned = [(a @ matrix @ a.T).tolist() for matrix in matrices]
    return sum(m[i][j] ** 2 for m in turned for i in range(size) for j in range(size) if i != j)


@pytest.mark.parametrize("size", [2, 5, 9])
def test_a_rotation_of_diagonal_matrices_is_found_whatever_the_start(size: int) -> None:
    rng = torch.Generator().manual_seed(size)
    diagonals = torch.rand(6, size, generator=rng, dtype=torch.float64)
    rotation = _rotation(size, 1)
    matrices = rotation.T @ torch.diag_embed(diagonals) @ rotation
    for start in (torch.eye(size), _rotation(size, 2)):
        found = joint_diagonalization(matrices, start)
        cosines = (found @ rotation.T).abs()
        assert found.dtype == torch.float64
        torch.testing.assert_close(cosines.amax(1), torch.ones(size).double(), rtol=0, atol=1e-9)
        assert sorted(cosines.argmax(1).tolist()) == list(range(size))


def test_one_matrix_gives_its_eigenvectors() -> None:
    (matrix,) = _symmetric(1, 6, 3)
    found = joint_diagonalization(matrix[None], torch.eye(6))
    _, vectors = torch.linalg.eigh(matrix)
    cosines = (found @ vectors).abs()
    torch.testing.assert_close(cosines.amax(1), torch.ones(6).double(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_in_the_plane_no_angle_is_better(seed: int) -> None:
    """Of matrices that have no common axes: every angle is tried."""
    matrices = _symmetric(4, 2, seed)
    found = _off_diagonal_energy(joint_diagonalization(matrices, _rotation(2, 9)), matrices)
    angles = torch.linspace(0, math.pi / 2, 5001, dtype=torch.float64)
    tried = torch.stack([angles.cos(), angles.sin(), -angles.sin(), angles.cos()], 1).view(-1, 2, 2)
    turned = tried[:, None] @ matrices @ tried[:, None].mT
    energies = 2 * turned[..., 0, 1].square().sum(1)
    assert energies.max() > 1.1 * energies.min()
    assert found <= float(energies.min()) + 1e-12
    assert found == pytest.approx(float(energies.min()), rel=1e-5)


def test_axes_as_wrong_as_can_be_are_left() -> None:
    """Equal diagonals: the slope over the angle is zero there, but it is the worst place."""
    matrix = torch.tensor([[[1.0, 0.5], [0.5, 1.0]]])
    found = joint_diagonalization(matrix, torch.eye(2))
    assert _off_diagonal_energy(found, matrix.double()) < 1e-20


def test_the_result_is_orthogonal_and_each_sweep_at_least_as_good_as_the_one_before() -> None:
    matrices = _symmetric(8, 7, 4)
    start = _rotation(7, 5)
    shares: list[float] = []

    def note(done: int, most: int, terms: dict[str, float]) -> None:
        assert done == len(shares) + 1 <= most
        shares.append(terms["off_diagonal_energy"])

    found = joint_diagonalization(matrices, start, note)
    torch.testing.assert_close(found @ found.T, torch.eye(7).double(), rtol=0, atol=1e-12)
    whole = float(matrices.square().sum())
    before = _off_diagonal_energy(start, matrices) / whole
    assert len(shares) > 2
    assert all(b <= a + 1e-12 for a, b in itertools.pairwise([before, *shares]))
    assert shares[-1] == pytest.approx(_off_diagonal_energy(found, matrices) / whole, rel=1e-9)
    assert shares[-1] < 0.9 * before


def test_what_no_rotation_changes_ends_soon_and_the_input_stays() -> None:
    matrices = torch.eye(5).expand(3, 5, 5).clone()
    start = _rotation(5, 6)
    kept = start.clone()
    sweeps: list[int] = []
    found = joint_diagonalization(matrices, start, lambda done, _most, _terms: sweeps.append(done))
    torch.testing.assert_close(found @ found.T, torch.eye(5).double())
    assert torch.equal(start, kept)
    assert len(sweeps) < 100
