"""The IMA contrast."""

import math

import pytest
import torch
from penalty_oracles import ALL, Z, linear, net, with_zero_column, zeros

import axiswise as aw


def test_ima_of_two_columns_is_minus_the_log_of_the_sine():
    for angle in (0.1, 0.7, math.pi / 2):
        jacobian = torch.tensor(
            [[2.0, 3 * math.cos(angle)], [0.0, 3 * math.sin(angle)]], dtype=torch.float64
        )
        assert ALL["ima"](jacobian).item() == pytest.approx(-math.log(math.sin(angle)), abs=1e-12)


def test_ima_of_dependent_columns_is_large():
    jacobian = torch.ones(3, 2, dtype=torch.float64)
    assert ALL["ima"](jacobian) > 15


def test_ima_refuses_a_column_of_length_zero_by_its_number_or_leaves_it_out():
    matrix = with_zero_column()
    with pytest.raises(ValueError, match="column 1 of the generator's Jacobian has length zero"):
        ALL["ima"](matrix)
    dropped = aw.ima_contrast(linear(matrix), zeros(matrix), zero_columns="drop")
    without = aw.ima_contrast(linear(matrix[:, [0, 2, 3]]), zeros(matrix)[:, 1:])
    torch.testing.assert_close(dropped, without)
    (gradient,) = torch.autograd.grad(dropped, matrix)
    (wanted,) = torch.autograd.grad(without, matrix)
    torch.testing.assert_close(gradient, wanted)
    assert wanted.abs().max() > 0.01


def test_ima_drops_columns_for_each_sample_alone():
    matrix = with_zero_column().detach()
    z = torch.tensor([[1.0], [0.0]], dtype=torch.float64).expand(-1, 4)
    own = matrix.clone()
    own[:, 1] = 1.0

    def generator(z):  # column 1 is zero where z_1 is zero
        return z @ matrix.T + 0.5 * z[:, 1:2].square() * own[:, 1]

    ours = aw.ima_contrast(generator, z, zero_columns="drop", reduction=None)
    torch.testing.assert_close(ours[0], ALL["ima"](own))
    torch.testing.assert_close(ours[1], ALL["ima"](matrix[:, [0, 2, 3]]))


def test_ima_needs_as_many_outputs_as_latents():
    with pytest.raises(ValueError, match="at least as many outputs as the 4 latents, got 3"):
        ALL["ima"](torch.randn(3, 4))


@pytest.mark.unchecked
def test_an_unknown_treatment_of_zero_columns_is_refused():
    with pytest.raises(ValueError, match="zero_columns must be 'error' or 'drop', got 'keep'"):
        aw.ima_contrast(net(), Z, zero_columns="keep")
