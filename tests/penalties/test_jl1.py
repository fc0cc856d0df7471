"""JL1 and JL2: the published cost, sampled columns, what L1 alone sees."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from penalty_oracles import (
    ALL,
    LATENT,
    PUBLISHED_Z,
    REFERENCE,
    Z,
    assert_same_with_gradient,
    close,
    jacobians,
    latents,
    laws,
    linear,
    net,
    published,
    zeros,
)

import axiswise as aw


@pytest.mark.parametrize("name", ["linear", "mlp"])
@pytest.mark.parametrize(
    ("key", "penalty", "arguments"),
    [
        ("jl1", aw.jl1_penalty, {}),
        ("jl2", aw.jl2_penalty, {}),
        ("jl1_fd_eps1e-3", aw.jl1_penalty, {"method": "finite", "epsilon": 1e-3}),
        ("jl2_fd_eps1e-3", aw.jl2_penalty, {"method": "finite", "epsilon": 1e-3}),
    ],
)
def test_jacobian_costs_agree_with_the_published_code(key, penalty, arguments, name):
    ours = penalty(published(name), PUBLISHED_Z, **arguments)
    assert ours.item() == pytest.approx(REFERENCE[f"{key}/{name}"].item(), rel=1e-11)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("normalize", [False, True])
def test_sampled_columns_average_to_the_exact_cost(k, normalize):
    """Over all sets of k columns; the gradient too."""
    generator, z = net(), latents()
    for penalty, arguments in [(aw.jl1_penalty, {"normalize": normalize}), (aw.jl2_penalty, {})]:
        sets = list(itertools.combinations(range(LATENT), k))
        mean = sum(penalty(generator, z, list(chosen), **arguments) for chosen in sets) / len(sets)
        exact = penalty(generator, z, **arguments)
        assert_same_with_gradient(mean, exact, generator)


def test_sampled_columns_use_a_fresh_set_for_each_sample():
    """With the same z in every row, rows differ only by their columns."""
    generator, z = net(), latents(1).expand(50, -1)
    each = aw.jl1_penalty(
        generator, z, columns=1, reduction=None, rng=torch.Generator().manual_seed(0)
    )
    assert len(each.detach().numpy().round(12).tolist()) == 50
    assert len(set(each.detach().numpy().round(12).tolist())) == LATENT


@pytest.mark.parametrize("name", ["jl1", "jl1 scale-free"])
def test_rotating_the_output_changes_the_l1_cost(name):
    eighth = math.sqrt(0.5) * torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    sparse = torch.eye(2)
    assert ALL[name](sparse).item() == pytest.approx(2.0)
    assert ALL[name](eighth @ sparse).item() == pytest.approx(2 * math.sqrt(2))


@laws
@given(jacobian=jacobians)
def test_the_scale_free_l1_lies_between_one_and_the_root_of_the_outputs_per_column(jacobian):
    outputs, latent = jacobian.shape
    ours = ALL["jl1 scale-free"](jacobian).item() / latent
    assert 1 - 1e-6 <= ours <= math.sqrt(outputs) + 1e-6


@laws
@given(jacobian=jacobians, chosen=st.data())
def test_own_indices_may_repeat_and_scale_by_their_share(jacobian, chosen):
    latent = jacobian.shape[1]
    index = chosen.draw(st.lists(st.integers(0, latent - 1), min_size=1, max_size=8))
    ours = aw.jl1_penalty(linear(jacobian), zeros(jacobian), index)
    wanted = jacobian[:, index].abs().sum() * latent / len(index)
    assert close(ours, wanted, jacobian.dtype)


@pytest.mark.unchecked
@pytest.mark.parametrize("penalty", [aw.jl1_penalty, aw.jl2_penalty])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (0, "columns must be between 1 and the 5 latents, got 0"),
        (6, "columns must be between 1 and the 5 latents, got 6"),
        ([5], "columns must be between 0 and 4, got 5 to 5"),
        ([-1], "columns must be between 0 and 4, got -1 to -1"),
        ([0.0], "columns must be integer indices, got torch.float32"),
        ([True, False], "columns must be integer indices, got torch.bool"),
        (torch.zeros(2, 2, dtype=torch.int64), r"columns must be \(k,\) or \(batch, k\)"),
    ],
)
def test_bad_columns_are_refused(penalty, columns, message):
    with pytest.raises(ValueError, match=message):
        penalty(net(), Z, columns)
