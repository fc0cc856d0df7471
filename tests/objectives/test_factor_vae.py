"""FactorVAE: the density ratio, the discriminator's loss, permuted codes."""

import itertools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from axiswise.objectives.factor_vae import (
    FactorVAE,
    discriminator_loss,
    draw_order,
    log_density_ratio,
    permuted,
)

Normal = Callable[..., Tensor]

CORRELATION = 0.8
TOTAL = -math.log(1 - CORRELATION**2) / 2  # nats, of a Gaussian of two latents


def _correlated(normal: Normal, count: int, seed: int) -> Tensor:
    independent = normal(count, 2, seed=seed)
    second = CORRELATION * independent[:, 0] + math.sqrt(1 - CORRELATION**2) * independent[:, 1]
    return torch.stack([independent[:, 0], second], 1)


def _best_logits(z: Tensor) -> Tensor:
    """Log-densities among codes and among permuted ones, both shifted alike: it must not count."""
    covariance = torch.tensor([[1.0, CORRELATION], [CORRELATION, 1.0]], dtype=z.dtype)
    joint = torch.distributions.MultivariateNormal(z.new_zeros(2), covariance).log_prob(z)
    alone = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    return torch.stack([joint, alone], 1) + z[:, :1]


class Best(nn.Module):
    """The best discriminator there is."""

    def forward(self, z: Tensor) -> Tensor:
        return _best_logits(z)


def test_of_the_best_discriminator_the_term_is_the_total_correlation(
    normal: Normal, given: Any
) -> None:
    z = _correlated(normal, 100_000, seed=1)
    value = FactorVAE()(given(torch.zeros(0), z), Best())
    assert float(value) == pytest.approx(TOTAL, abs=0.01)


def test_no_other_discriminator_has_a_lower_loss_than_the_best(normal: Normal) -> None:
    z, other = _correlated(normal, 100_000, seed=1), normal(100_000, 2, seed=2)
    best = discriminator_loss(_best_logits(z), _best_logits(other))
    assert float(best) < math.log(2) - 0.05
    for change in (0.8, 1.25):
        changed = [change * _best_logits(codes) for codes in (z, other)]
        assert discriminator_loss(*changed) > best
    for shift in (-0.2, 0.2):
        moved = torch.tensor([shift, 0.0])
        shifted = [_best_logits(codes) + moved for codes in (z, other)]
        assert discriminator_loss(*shifted) > best


def test_the_discriminator_s_loss_is_the_cross_entropy_of_both_classes(normal: Normal) -> None:
    logits, others = normal(6, 2, seed=1), normal(6, 2, seed=2)
    labels = torch.tensor([0] * 6 + [1] * 6)
    expected = F.cross_entropy(torch.cat([logits, others]), labels)
    torch.testing.assert_close(discriminator_loss(logits, others), expected)
    blind = torch.full((6, 2), 3.0)
    assert float(discriminator_loss(blind, blind)) == pytest.approx(math.log(2))


def test_a_discriminator_that_has_learned_finds_the_total_correlation(
    normal: Normal, sizes: Any
) -> None:
    """The network, its loss and permuted codes, without any closed form but the last."""
    torch.manual_seed(0)
    network = FactorVAE(features=32).network(sizes(8, 1, 2))
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    rng = torch.Generator().manual_seed(0)
    for step in range(400):
        z, second = (_correlated(normal, 256, seed=2 * step + i).float() for i in (0, 1))
        others = permuted(second, draw_order(256, 2, rng))
        loss = discriminator_loss(network(z), network(others))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    z = _correlated(normal, 50_000, seed=12_345).float()
    with torch.no_grad():
        assert float(log_density_ratio(network(z)).mean()) == pytest.approx(TOTAL, abs=0.1)


def test_permuted_codes_have_the_same_values_in_each_latent_and_are_independent(
    normal: Normal,
) -> None:
    z = _correlated(normal, 5000, seed=3)
    order = draw_order(5000, 2, torch.Generator().manual_seed(0))
    mixed = permuted(z, order)
    assert torch.equal(mixed.sort(0).values, z.sort(0).values)
    assert abs(float(torch.corrcoef(mixed.T)[0, 1])) < 0.05
    assert torch.equal(permuted(z, order[1000:1500]), mixed[1000:1500])


def test_orders_are_permutations_and_all_are_drawn_alike() -> None:
    rng = torch.Generator().manual_seed(0)
    counts = [Counter[tuple[int, ...]]() for _ in range(2)]
    for _ in range(600):
        order = draw_order(3, 2, rng)
        for latent, column in enumerate(order.T.tolist()):
            counts[latent][tuple(column)] += 1
    for count in counts:
        assert set(count) == set(itertools.permutations(range(3)))
        assert all(abs(number - 100) < 40 for number in count.values())  # four deviations
    assert counts[0] != counts[1]  # each latent has an order of its own


def test_low_precision_logits_are_subtracted_in_float32() -> None:
    logits = torch.tensor([[256.0, 1.0]], dtype=torch.bfloat16)
    assert float(log_density_ratio(logits)) == 255.0
    assert log_density_ratio(logits).dtype == torch.float32


def test_gradients_are_those_of_finite_differences(normal: Normal) -> None:
    inputs = [normal(4, 2, seed=seed).requires_grad_() for seed in (1, 2)]
    assert torch.autograd.gradcheck(discriminator_loss, inputs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": -1.0}, "weight must be ≥ 0, got -1.0"),
        ({"features": 0}, "features must be at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be > 0, got 0.0"),
        ({"learning_rate": math.nan}, "learning_rate must be > 0, got nan"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        FactorVAE(**arguments)  # type: ignore[arg-type]
