"""Diagnostics of Jacobian columns, against NumPy on maps whose Jacobian is known."""

import math

import numpy as np
import pytest
import torch

from axiswise import ima_contrast
from axiswise.metrics import jacobian_diagnostics


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def linear(weight):
    return lambda z: (z @ weight.T)[:, None, :, None]


def z_of(latent, rows=5):
    return torch.randn(rows, latent, generator=seeded(1))


def by_hand(jacobians):
    """The same numbers from Jacobians (z, output, latent), in plain NumPy."""
    outputs, latent = jacobians.shape[1:]
    pairs = np.triu_indices(latent, 1)
    found = {"cosines": [], "lengths": [], "off_diagonal_share": [], "ima": [], "sparsity": []}
    for jacobian in jacobians:
        gram = jacobian.T @ jacobian
        lengths = np.linalg.norm(jacobian, axis=0)
        off = gram - np.diag(np.diag(gram))
        found["cosines"].append(np.abs(gram / np.outer(lengths, lengths)))
        found["lengths"].append(lengths)
        found["off_diagonal_share"].append((off**2).sum() / (gram**2).sum())
        found["ima"].append(np.log(lengths).sum() - 0.5 * np.linalg.slogdet(gram)[1])
        found["sparsity"].append(np.abs(jacobian).sum(0) / lengths / np.sqrt(outputs))
    means = {name: np.mean(values, axis=0) for name, values in found.items()}
    return means | {
        "mean_cosine": means["cosines"][pairs].mean(),
        "sparsity": means["sparsity"].mean(),
    }


def assert_close(found, expected):
    np.testing.assert_allclose(found.cosines.numpy(), expected["cosines"], rtol=1e-5)
    np.testing.assert_allclose(found.lengths.numpy(), expected["lengths"], rtol=1e-5)
    assert found.off_diagonal_share == pytest.approx(expected["off_diagonal_share"], rel=1e-5)
    assert found.mean_cosine == pytest.approx(expected["mean_cosine"], rel=1e-5)
    assert found.ima_contrast == pytest.approx(expected["ima"], rel=1e-4)
    assert found.sparsity == pytest.approx(expected["sparsity"], rel=1e-5)


def test_of_a_linear_map_all_is_as_numpy_has_it():
    weight = torch.randn(11, 4, generator=seeded())
    found = jacobian_diagnostics(linear(weight), z_of(4))
    assert_close(found, by_hand(weight.double().numpy()[None]))
    assert found.inactive == 0


def test_of_a_curved_map_all_is_averaged_over_z():
    """Of sin(Wz) the Jacobian is cos(Wz)·W."""
    weight = torch.randn(11, 3, generator=seeded())
    z = z_of(3, 7)
    slopes = torch.cos(z @ weight.T)[:, :, None] * weight
    found = jacobian_diagnostics(lambda z: torch.sin(z @ weight.T), z, batch_size=2)
    assert_close(found, by_hand(slopes.double().numpy()))


def test_the_contrast_is_that_of_the_penalty():
    weight = torch.randn(9, 4, generator=seeded())
    found = jacobian_diagnostics(linear(weight), z_of(4))
    assert found.ima_contrast == pytest.approx(float(ima_contrast(linear(weight), z_of(4))), 1e-4)


def test_orthogonal_columns_score_zero_and_sparse_ones_lowest():
    found = jacobian_diagnostics(linear(torch.eye(4)), z_of(4))
    assert found.mean_cosine == found.off_diagonal_share == found.ima_contrast == 0
    assert found.sparsity == pytest.approx(0.5)  # 1/√4
    dense = jacobian_diagnostics(linear(torch.tensor([[1.0, 1.0], [1.0, -1.0]])), z_of(2))
    assert dense.mean_cosine == pytest.approx(0, abs=1e-12)
    assert dense.sparsity == pytest.approx(1)


def test_axes_below_a_hundredth_of_the_longest_are_left_out():
    unit = torch.nn.functional.normalize(torch.randn(11, 5, generator=seeded()), dim=0)
    weight = unit * torch.tensor([1.0, 0.0, 0.009, 0.011, 3e-9])
    found = jacobian_diagnostics(linear(weight), z_of(5))
    assert found.active.tolist() == [True, False, False, True, False]
    assert found.inactive == 3
    alone = jacobian_diagnostics(linear(weight[:, [0, 3]]), z_of(2))
    for name in ("mean_cosine", "ima_contrast", "sparsity"):
        assert getattr(found, name) == pytest.approx(getattr(alone, name))
    assert found.cosines[1].tolist() == [0] * 5


def test_the_active_axes_can_be_named():
    weight = torch.randn(6, 3, generator=seeded())
    chosen = torch.tensor([True, False, True])
    found = jacobian_diagnostics(linear(weight), z_of(3), active=chosen)
    alone = jacobian_diagnostics(linear(weight[:, chosen]), z_of(2))
    assert found.mean_cosine == pytest.approx(alone.mean_cosine)
    assert found.sparsity == pytest.approx(alone.sparsity)
    assert found.inactive == 1


def test_dependent_columns_have_infinite_contrast():
    wide = jacobian_diagnostics(linear(torch.randn(2, 3, generator=seeded())), z_of(3))
    assert wide.ima_contrast == math.inf


def test_a_generator_of_a_constant_has_no_active_axis():
    found = jacobian_diagnostics(lambda z: 0 * z, z_of(3))
    assert found.inactive == 3
    assert found.off_diagonal_share == 0
    assert math.isnan(found.mean_cosine)
    assert math.isnan(found.sparsity)


def test_progress_counts_latents():
    seen = []
    jacobian_diagnostics(
        linear(torch.eye(2)), z_of(2, 5), batch_size=2, progress=lambda *at: seen.append(at)
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        jacobian_diagnostics(linear(torch.eye(2)), z_of(2), batch_size=0)
    with pytest.raises(TypeError, match="active must be boolean"):
        jacobian_diagnostics(linear(torch.eye(2)), z_of(2), active=torch.ones(2))
    with pytest.raises(ValueError, match=r"active must be \(latent,\) = \(2,\), got \(3,\)"):
        jacobian_diagnostics(linear(torch.eye(2)), z_of(2), active=torch.ones(3) > 0)
    with pytest.raises(ValueError, match="z must be"):
        jacobian_diagnostics(linear(torch.eye(2)), torch.zeros(2))
    with pytest.raises(TypeError, match="generator must return one tensor, got 2"):
        jacobian_diagnostics(lambda z: (z, z), z_of(2))
