"""The Hessian Penalty, where it differs from the others."""

import torch
from penalty_oracles import latents, net, off_diagonal, oracle_hessian

import axiswise as aw


def test_the_hessian_penaltys_maximum_is_over_batch_and_outputs():
    generator, z = net(), latents()
    each = 2 * off_diagonal(oracle_hessian(generator, z))
    torch.testing.assert_close(aw.hessian_penalty(generator, z, reduction="max"), each.max())
