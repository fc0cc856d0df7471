"""OroJaR: the published GAN's step, exact and grouped forms, orthogonality."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from penalty_oracles import (
    ALL,
    PUBLISHED_Z,
    REFERENCE,
    REFERENCES,
    Z,
    close,
    laws,
    linear,
    net,
    orthogonal,
    published,
)

import axiswise as aw


def published_gan():
    """The simple GAN at size 64 in float64, weights by the rule of the reference."""
    keys = json.loads((REFERENCES / "gan_g64_keys.json").read_text())
    weights = {}
    for position, (key, shape) in enumerate(keys.items(), start=1):
        angle = position + 12.9898 * torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
        weights[key] = 0.05 * (2 * (angle.sin() * 43758.5453).remainder(1) - 1).view(shape)
    return aw.nets.SimpleGenerator.from_published(weights)


@torch.no_grad()
def central_difference(value, parameter, direction, step):
    """How fast a scalar changes as the parameter moves along the direction."""
    before, ends = parameter.clone(), []
    for move in (step, -step):
        parameter.copy_(before + move * direction)
        ends.append(value().item())
    parameter.copy_(before)
    return (ends[0] - ends[1]) / (2 * step)


@pytest.mark.parametrize("method", ["forward", "finite"])
def test_the_gradient_of_the_published_gans_penalty_is_that_of_finite_differences(method):
    """One training step's penalty: the first four convolutions, the largest of the batch.

    The oracle runs the whole generator, keeps the convolutions' outputs by hooks, and takes the
    published differences, or exact products by double backward; its own gradient is by differences.
    """
    generator = published_gan()
    names = generator.convolutions[:4]
    z = torch.from_numpy(np.load(REFERENCES / "gan_g64.npz")["z"]).double()
    probes = aw.rademacher((2, *z.shape), rng=torch.Generator().manual_seed(0), dtype=z.dtype)

    def outputs(z):
        kept = []
        hooks = [
            generator.get_submodule(name).register_forward_hook(
                lambda *given: kept.append(given[2])
            )
            for name in names
        ]
        generator(z)
        for hook in hooks:
            hook.remove()
        return kept

    def products(probe):
        if method == "finite":
            both = zip(outputs(z + 0.1 * probe), outputs(z), strict=True)
            return [(ahead - here) / 0.1 for ahead, here in both]
        return torch.autograd.functional.jvp(lambda z: tuple(outputs(z)), z, probe)[1]

    def oracle():
        squares = [[p.square().sum((1, 2, 3)) for p in products(probe)] for probe in probes]
        return sum(torch.stack(each).var(0).max() for each in zip(*squares, strict=True))

    penalty = aw.orojar_penalty(generator, z, probes, reduction="max", method=method, layers=names)
    with torch.no_grad():
        expected = oracle().item()
    assert penalty.item() == pytest.approx(expected, rel=1e-10)

    # Directions along which every entry's slope counts, lest a wrong one be lost among many.
    parameters = [generator.get_parameter(f"{n}.weight") for n in ("0.1", "1.1", "3.0")]
    for parameter, ours in zip(parameters, torch.autograd.grad(penalty, parameters), strict=True):
        direction = ours.sign() * torch.rand(ours.shape, generator=torch.Generator().manual_seed(1))
        theirs = central_difference(oracle, parameter, direction, 1e-6)
        assert (ours * direction).sum().item() == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("groups", [None, 6], ids=["exact", "as many groups as latents"])
@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_exact_orojar_is_twice_the_published_sum_of_squares(name, groups):
    ours = aw.orojar_penalty(published(name), PUBLISHED_Z, groups=groups)
    theirs = REFERENCE[f"orojar_exact_sum_offdiag_sq/{name}"].item()
    assert ours.item() == pytest.approx(2 * theirs, rel=1e-12)


def test_float32_orojar_of_nearly_orthogonal_columns_keeps_its_digits():
    """Columns of length 100 with cosine 1e-4: the diagonal's squares are 2e8 times as large."""
    jacobian = torch.tensor([[100.0, 0.0, 0.0], [0.01, 100.0, 0.0]])
    ours = aw.orojar_penalty(lambda z: z @ jacobian, torch.zeros(1, 2))
    assert ours.item() == pytest.approx(4 * 1.0**2, rel=1e-6)


def deviations(outputs, products):
    """Relative standard deviation of one draw, paper's and grouped, mean over 20 Jacobians."""
    rng = torch.Generator().manual_seed(0)
    z = torch.zeros(1500, 10, dtype=torch.float64)
    both = []
    for _ in range(20):
        generator = linear(torch.randn(outputs, 10, dtype=torch.float64, generator=rng))
        exact = aw.orojar_penalty(generator, z[:1])
        drawn = [
            aw.orojar_penalty(generator, z, reduction=None, rng=rng, **{kind: products})
            for kind in ("probes", "groups")
        ]
        both.append([(each.std() / exact).item() for each in drawn])
    return np.mean(both, axis=0).tolist()


@pytest.mark.parametrize(
    ("products", "simulated"),
    [(2, [1.84, 1.74]), (3, [1.34, 1.11]), (4, [1.13, 0.84]), (6, [0.89, 0.55])],
)
def test_grouped_probes_vary_less_than_the_papers_from_three_products_up(products, simulated):
    """With two outputs close to the design's simulation; with fifty the gain is greater yet."""
    assert deviations(2, products) == pytest.approx(simulated, abs=0.2)
    paper, grouped = deviations(50, products)
    assert grouped < {2: 1.0, 3: 0.85, 4: 0.75, 6: 0.6}[products] * paper


@laws
@given(
    latent=st.integers(2, 6),
    more=st.integers(0, 8),
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_orthonormal_columns_cost_no_orojar_and_no_ima(latent, more, seed, dtype):
    rng = torch.Generator().manual_seed(seed)
    lengths = 1 + torch.rand(latent, generator=rng).to(dtype)
    jacobian = orthogonal(latent + more, rng, dtype)[:, :latent] * lengths
    zero = torch.zeros(())
    assert close(ALL["orojar"](jacobian), zero, dtype)
    assert close(ALL["orojar scale-free"](jacobian), zero, dtype)
    assert close(ALL["ima"](jacobian), zero, dtype)
    assert ALL["orojar"](jacobian) >= 0


def test_among_equally_long_orthogonal_columns_only_sparsity_sees_a_rotation_of_the_latents():
    eighth = math.sqrt(0.5) * torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    for name in ("orojar", "orojar scale-free", "ima", "jl2"):
        assert ALL[name](eighth).item() == pytest.approx(ALL[name](torch.eye(2)).item(), abs=1e-6)
    assert ALL["jl1"](eighth) > ALL["jl1"](torch.eye(2)) + 0.8


@pytest.mark.parametrize("arguments", [{"probes": 2}, {"groups": 2}])
def test_the_scale_free_orojar_has_neither_probes_nor_groups(arguments):
    with pytest.raises(ValueError, match="normalize must go with columns or the exact form"):
        aw.orojar_penalty(net(), Z, normalize=True, **arguments)


@pytest.mark.parametrize("normalize", [False, True])
def test_orojar_of_sampled_columns_is_unbiased(normalize):
    """The mean over all pairs of columns is the exact value, sample by sample."""
    exact = aw.orojar_penalty(net(), Z, normalize=normalize, reduction=None)
    latent = Z.shape[1]
    pairs = [[i, j] for i in range(latent) for j in range(i)]
    values = [
        aw.orojar_penalty(net(), Z, columns=pair, normalize=normalize, reduction=None)
        for pair in pairs
    ]
    torch.testing.assert_close(torch.stack(values).mean(0), exact)
    every = aw.orojar_penalty(net(), Z, columns=latent, normalize=normalize, reduction=None)
    torch.testing.assert_close(every, exact)


def test_orojar_needs_a_pair_of_columns():
    with pytest.raises(ValueError, match="columns must be at least 2, of which pairs are made"):
        aw.orojar_penalty(net(), Z, columns=[1])
