"""Every activation of torch.nn: values, curvatures and gradients of penalties, or an error."""

import pytest
import torch
from torch import nn

import axiswise as aw

LATENT = 4
OTHER_ARGUMENTS = {
    "Threshold": lambda: nn.Threshold(0.1, 0.0),
    "Softmax": lambda: nn.Softmax(1),
    "Softmin": lambda: nn.Softmin(1),
    "LogSoftmax": lambda: nn.LogSoftmax(1),
}
ACTIVATIONS = {
    name: OTHER_ARGUMENTS.get(name, getattr(nn, name))
    for name in nn.modules.activation.__all__
    if name not in ("MultiheadAttention", "Softmax2d")
} | {
    "GELU tanh": lambda: nn.GELU("tanh"),
    "Softplus beta": lambda: nn.Softplus(3.0),
    "SiLU in place": lambda: nn.SiLU(inplace=True),
    "Mish in place": lambda: nn.Mish(inplace=True),
    "Hardsigmoid in place": lambda: nn.Hardsigmoid(inplace=True),
    "RReLU bounds": lambda: nn.RReLU(0.2, 0.4),
}


def generator_with(name):
    torch.manual_seed(0)
    activation = ACTIVATIONS[name]()
    hidden = nn.Linear(8 if name != "GLU" else 4, 5)
    return nn.Sequential(nn.Linear(LATENT, 8), activation, hidden).double().eval()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_penalties_and_their_gradients_agree_with_differences(name):
    generator = generator_with(name)
    z = torch.randn(3, LATENT, generator=torch.Generator().manual_seed(1)).double()
    signs = torch.tensor([1.0, -1, 1, 1]).double().expand(3, -1)
    probes = torch.stack([signs, signs.roll(1, 1)])

    def taken(method, order, learned):
        for parameter in generator.parameters():
            parameter.requires_grad_(not learned)
        directions = torch.eye(LATENT, dtype=torch.float64, requires_grad=learned)
        jacobian = aw.Jacobian(generator, z, method, epsilon={1: 1e-6, 2: 1e-3}[order])
        along = jacobian.along(directions) if learned else jacobian
        for_what = [directions] if learned else list(generator.parameters())
        loss = aw.jl2_penalty(along) if order == 1 else aw.hessian_penalty(along, probes=probes)
        return loss, torch.autograd.grad(loss, for_what, materialize_grads=True)

    for order in (1, 2):
        for learned in (False, True):
            ours, theirs = (taken(method, order, learned) for method in ("forward", "finite"))
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    with torch.no_grad():  # where PyTorch takes other roads
        unrecorded = aw.hessian_penalty(generator, z, probes)
    torch.testing.assert_close(unrecorded, aw.hessian_penalty(generator, z, probes))


@pytest.mark.parametrize("name", ["SiLU", "Mish", "GELU tanh", "Softplus", "ELU"])
def test_directions_are_found_by_the_hessian_penalty(name):
    generator = generator_with(name).float()
    found = aw.find_directions(generator, "hessian", latent_dim=LATENT, steps=2)
    assert found.matrix.shape == (LATENT, LATENT)
