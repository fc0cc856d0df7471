"""Likelihoods, KL divergence and β-VAE against torch.distributions."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from axiswise.objectives import BetaVAE, VAEPass, negative_log_likelihood, sample_codes
from axiswise.objectives import kl_divergence as our_kl


@pytest.fixture
def batch() -> VAEPass:
    rng = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    images = torch.rand(5, 3, 4, 6, generator=rng, dtype=torch.float64)
    mean, log_variance = normal(5, 7), normal(5, 7) - 1
    return VAEPass(images, 3 * normal(5, 3, 4, 6), mean, log_variance, normal(5, 7))


def test_kl_divergence_is_that_of_torch(batch: VAEPass) -> None:
    code = Normal(batch.mean, (batch.log_variance / 2).exp())
    prior = Normal(torch.zeros(7, dtype=torch.float64), 1.0)
    torch.testing.assert_close(
        our_kl(batch.mean, batch.log_variance), kl_divergence(code, prior), rtol=1e-12, atol=1e-12
    )


def test_kl_divergence_of_the_prior_itself_is_zero() -> None:
    assert torch.equal(our_kl(torch.zeros(2, 3), torch.zeros(2, 3)), torch.zeros(2, 3))


def test_bernoulli_likelihood_is_that_of_torch(batch: VAEPass) -> None:
    pixels = Bernoulli(logits=batch.logits, validate_args=False)
    expected = -Independent(pixels, 3).log_prob(batch.images)
    ours = negative_log_likelihood(batch.images, batch.logits)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 2.5])
def test_gaussian_likelihood_is_that_of_torch(batch: VAEPass, sigma: float) -> None:
    pixels = Normal(batch.logits.sigmoid(), torch.tensor(sigma, dtype=torch.float64))
    expected = -Independent(pixels, 3).log_prob(batch.images)
    ours = negative_log_likelihood(batch.images, batch.logits, "gaussian", sigma)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=0)


def test_bernoulli_likelihood_stays_finite_where_the_decoder_is_sure_and_wrong() -> None:
    images, logits = torch.ones(1, 1, 1, 2), torch.full((1, 1, 1, 2), -200.0)
    assert float(negative_log_likelihood(images, logits)) == 400.0


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"logits.*\(2, 1, 4, 4\).*\(2, 1, 4, 3\)"):
        negative_log_likelihood(torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 3))


def test_an_unknown_likelihood_is_refused(batch: VAEPass) -> None:
    with pytest.raises(ValueError, match=r"likelihood must be 'bernoulli' or .*'poisson'"):
        negative_log_likelihood(batch.images, batch.logits, "poisson")  # type: ignore[arg-type]


def test_codes_have_the_mean_and_the_variance_asked_for() -> None:
    mean, log_variance = torch.tensor([[1.0, -2.0]]), torch.tensor([[-3.0, 1.0]])
    rng = torch.Generator().manual_seed(0)
    z = sample_codes(mean, log_variance, torch.randn(200_000, 2, generator=rng))
    torch.testing.assert_close(z.mean(0), mean[0], rtol=0, atol=0.02)
    torch.testing.assert_close(z.var(0), log_variance[0].exp(), rtol=0.02, atol=0)


def test_codes_without_noise_are_the_means(batch: VAEPass) -> None:
    noise = torch.zeros_like(batch.mean)
    assert torch.equal(sample_codes(batch.mean, batch.log_variance, noise), batch.mean)


@pytest.mark.parametrize("ramp", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_beta_vae_weighs_the_divergence_by_beta_and_ramp(
    batch: VAEPass, ramp: float, likelihood: str
) -> None:
    terms = BetaVAE(beta=6.0, likelihood=likelihood, sigma=0.3)(batch, ramp)  # type: ignore[arg-type]
    assert list(terms) == ["nll", "kl"]
    assert [weight for weight, _ in terms.values()] == [1.0, 6.0 * ramp]
    pixels = (
        Bernoulli(logits=batch.logits, validate_args=False)
        if likelihood == "bernoulli"
        else Normal(batch.logits.sigmoid(), 0.3)
    )
    code = Normal(batch.mean, (batch.log_variance / 2).exp())
    divergence = kl_divergence(code, Normal(torch.zeros_like(batch.mean), 1.0))
    expected = (-pixels.log_prob(batch.images).flatten(1).sum(1).mean(), divergence.sum(1).mean())
    for (_, value), wanted in zip(terms.values(), expected, strict=True):
        assert value.ndim == 0
        torch.testing.assert_close(value, wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"beta": -0.1}, "beta"),
        ({"beta": math.nan}, "beta"),
        ({"sigma": 0.0}, "sigma"),
        ({"sigma": math.nan}, "sigma"),
        ({"likelihood": "poisson"}, "likelihood"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(
    arguments: dict[str, object], named: str
) -> None:
    with pytest.raises(ValueError, match=f"^{named} must"):
        BetaVAE(**arguments)  # type: ignore[arg-type]
