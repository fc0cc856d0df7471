"""β-TCVAE: both samplers against loops, against closed forms, and against all batches there are."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from axiswise.objectives import VAEPass
from axiswise.objectives.beta_tcvae import BetaTCVAE, stratified_weights, total_correlation

MakePass = Callable[..., VAEPass]
Normal = Callable[..., Tensor]


@pytest.fixture
def codes(normal: Normal) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, means and log-variances."""
    return normal(5, 3, seed=1), normal(5, 3, seed=2), normal(5, 3, seed=3) - 1


def _by_loops(z: Tensor, mean: Tensor, log_variance: Tensor, weights: Tensor) -> float:
    """Densities themselves, not their logarithms, one number at a time."""
    total = 0.0
    for i, code in enumerate(z.tolist()):
        joint, marginals = 0.0, [0.0] * len(code)
        for j, (centre, logs) in enumerate(zip(mean.tolist(), log_variance.tolist(), strict=True)):
            densities = [
                math.exp(-((value - mid) ** 2) / (2 * math.exp(log)))
                / math.sqrt(2 * math.pi * math.exp(log))
                for value, mid, log in zip(code, centre, logs, strict=True)
            ]
            joint += float(weights[i, j]) * math.prod(densities)
            for k, density in enumerate(densities):
                marginals[k] += float(weights[i, j]) * density
        total += math.log(joint / math.prod(marginals))
    return total / len(z)


@pytest.mark.parametrize("kind", ["weighted", "constant", "stratified"])
def test_the_estimate_is_that_of_loops(
    codes: tuple[Tensor, Tensor, Tensor], made_pass: MakePass, kind: str
) -> None:
    z, mean, log_variance = codes
    objective, weights = {
        "weighted": (BetaTCVAE(), torch.ones(5, 5)),
        "constant": (BetaTCVAE(dataset_size=30), torch.full((5, 5), 1 / 150)),
        "stratified": (
            BetaTCVAE(sampling="stratified", dataset_size=30),
            stratified_weights(5, 30),
        ),
    }[kind]
    terms = objective.code_terms(made_pass(mean, log_variance, z), 0.5)
    assert {name: weight for name, (weight, _) in terms.items()} == {"kl": 0.5, "tc": 1.5}
    expected = _by_loops(z, mean, log_variance, weights)
    assert float(terms["tc"][1]) == pytest.approx(expected, rel=1e-6)


def test_beta_of_one_leaves_the_elbo(
    codes: tuple[Tensor, Tensor, Tensor], made_pass: MakePass
) -> None:
    z, mean, log_variance = codes
    terms = BetaTCVAE(beta=1.0)(made_pass(mean, log_variance, z), 1.0)
    assert [weight for weight, _ in terms.values()] == [1.0, 1.0, 0.0]


def _gaussian(normal: Normal, images: int, latents: int) -> tuple[Tensor, Tensor, Tensor, float]:
    """Codes whose aggregate posterior is a correlated Gaussian, and its total correlation."""
    variance = 0.5
    root = torch.eye(latents, dtype=torch.float64) + 0.7 * normal(latents, latents, seed=4).tril(-1)
    mean = normal(images, latents, seed=5) @ root.T
    z = mean + math.sqrt(variance) * normal(images, latents, seed=6)
    covariance = root @ root.T + variance * torch.eye(latents)
    spread = covariance.diagonal().sqrt()
    correlation = covariance / spread / spread[:, None]
    return z, mean, torch.full_like(mean, math.log(variance)), -float(correlation.logdet()) / 2


@pytest.mark.parametrize("factor", [1, 20])
@pytest.mark.parametrize("latents", [2, 3])
def test_of_a_correlated_gaussian_both_find_half_the_log_determinant_of_its_correlation(
    normal: Normal, made_pass: MakePass, latents: int, factor: int
) -> None:
    """Weighted sampling up to its bias: each of its densities lacks log N."""
    images = 1500
    z, mean, log_variance, expected = _gaussian(normal, images, latents)
    assert expected > 0.15
    batch, size = made_pass(mean, log_variance, z), factor * images
    stratified = BetaTCVAE(sampling="stratified", dataset_size=size).code_terms(batch, 1.0)["tc"][1]
    assert float(stratified) == pytest.approx(expected, abs=0.03)
    weighted = BetaTCVAE(dataset_size=size).code_terms(batch, 1.0)["tc"][1]
    unbiased = float(weighted) - (latents - 1) * math.log(size)
    assert unbiased == pytest.approx(expected, abs=0.03)
    plain = BetaTCVAE().code_terms(batch, 1.0)["tc"][1]
    unbiased = float(plain) + (latents - 1) * math.log(images)
    assert unbiased == pytest.approx(expected, abs=0.03)


def test_of_independent_latents_there_is_none(normal: Normal, made_pass: MakePass) -> None:
    mean = normal(1500, 3, seed=1)
    z, log_variance = mean + normal(1500, 3, seed=2), torch.zeros_like(mean)
    objective = BetaTCVAE(sampling="stratified", dataset_size=1500)
    terms = objective.code_terms(made_pass(mean, log_variance, z), 1.0)
    assert abs(float(terms["tc"][1])) < 0.03


def test_stratified_weights_of_three_among_five() -> None:
    expected = torch.tensor([[0.2, 0.3, 0.5], [0.5, 0.2, 0.3], [0.3, 0.5, 0.2]])
    torch.testing.assert_close(stratified_weights(3, 5), expected)


@pytest.mark.parametrize(("batch", "size"), [(2, 2), (2, 5), (3, 5), (5, 5), (4, 6)])
def test_over_all_batches_the_stratified_density_is_the_data_s(batch: int, size: int) -> None:
    """For each code, averaged over whatever else may come with its image, in any order."""
    densities = [math.exp(-(i**2) / 3) for i in range(size)]
    weights = stratified_weights(batch, size).tolist()
    for own in range(size):
        others = list(itertools.permutations([i for i in range(size) if i != own], batch - 1))
        for row in range(batch):
            total = 0.0
            for other in others:
                members = [*other[:row], own, *other[row:]]
                total += sum(
                    weight * densities[member]
                    for weight, member in zip(weights[row], members, strict=True)
                )
            assert total / len(others) == pytest.approx(sum(densities) / size, rel=1e-5)


def test_the_constant_changes_no_gradient(
    codes: tuple[Tensor, Tensor, Tensor], made_pass: MakePass
) -> None:
    gradients = []
    for objective in (BetaTCVAE(), BetaTCVAE(dataset_size=10**9)):
        leaves = [part.clone().requires_grad_() for part in codes]
        z, mean, log_variance = leaves
        objective.code_terms(made_pass(mean, log_variance, z), 1.0)["tc"][1].backward()
        gradients.append(torch.stack([leaf.grad for leaf in leaves if leaf.grad is not None]))
    assert gradients[0].abs().max() > 0.01
    torch.testing.assert_close(*gradients)


def test_gradients_are_those_of_finite_differences(codes: tuple[Tensor, Tensor, Tensor]) -> None:
    weights = stratified_weights(5, 9).double().log()
    inputs = [part.clone().requires_grad_() for part in codes]
    assert torch.autograd.gradcheck(total_correlation, (*inputs, weights))


def test_codes_far_from_all_others_stay_finite() -> None:
    """Their densities elsewhere are zero in floating point."""
    mean = torch.tensor([[0.0, 0.0], [1e4, -1e4]], requires_grad=True)
    value = total_correlation(mean, mean, torch.full((2, 2), -8.0), torch.zeros(2, 2))
    value.backward()
    assert value.isfinite()
    assert mean.grad is not None
    assert mean.grad.isfinite().all()


@pytest.mark.parametrize("batch", [1, 6])
def test_a_batch_that_cannot_be_stratified_is_refused(batch: int, made_pass: MakePass) -> None:
    objective = BetaTCVAE(sampling="stratified", dataset_size=5)
    with pytest.raises(ValueError, match=f"at most dataset_size = 5, got {batch}"):
        objective.code_terms(made_pass(torch.zeros(batch, 2)), 1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta": -0.5}, "beta must be ≥ 0, got -0.5"),
        ({"beta": math.nan}, "beta must be ≥ 0, got nan"),
        ({"sampling": "all"}, "sampling must be 'weighted' or 'stratified', got 'all'"),
        ({"sampling": "stratified"}, "dataset_size must be given for stratified sampling"),
        ({"dataset_size": 0}, "dataset_size must be at least 1, got 0"),
        ({"sigma": 0.0}, "sigma must be > 0, got 0.0"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        BetaTCVAE(**arguments)  # type: ignore[arg-type]
