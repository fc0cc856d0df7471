"""InfoGAN's bound against torch.distributions."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from axiswise.nets import SimpleGenerator
from axiswise.objectives import GeneratorPass, InfoGAN, PublishedInfoGAN

BATCH, LATENT = 6, 5

Given = Callable[..., Any]


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Known(nn.Module):
    """A recogniser whose answers are given beforehand."""

    def __init__(self, mean: Tensor, raw: Tensor) -> None:
        super().__init__()
        self.answer = nn.Parameter(torch.cat([mean, raw], 1))

    def forward(self, images: Tensor) -> Tensor:
        assert images.shape == (BATCH, 1, 4, 4)
        return self.answer


@pytest.mark.parametrize("codes", [1, 3, LATENT])
def test_the_loss_is_the_negative_log_likelihood_of_the_first_latents(
    codes: int, given: Given
) -> None:
    mean, raw, z = (_normal(BATCH, size, seed=size) for size in (codes, codes, LATENT))
    value = InfoGAN(latents=codes)(given(torch.zeros(BATCH, 1, 4, 4), z), Known(mean, raw))
    spread = ((1 + raw.exp()).log() + 1e-3).sqrt()
    likelihood = Normal(mean, spread).log_prob(z[:, :codes]).mean()
    wanted = -float(likelihood) - math.log(2 * math.pi) / 2
    assert float(value.detach()) == pytest.approx(wanted, rel=1e-5)


def test_other_latents_than_the_codes_do_not_count(given: Given) -> None:
    z, other = _normal(BATCH, LATENT), _normal(BATCH, LATENT)
    other[:, 2:] = 9.0
    recogniser = Known(_normal(BATCH, 2, seed=3), _normal(BATCH, 2, seed=4))
    term, images = InfoGAN(latents=2), torch.zeros(BATCH, 1, 4, 4)
    assert torch.equal(term(given(images, z), recogniser), term(given(images, other), recogniser))
    other[:, 1] += 1
    assert not torch.equal(
        term(given(images, z), recogniser), term(given(images, other), recogniser)
    )


def test_a_recogniser_that_is_sure_of_itself_stays_within_bounds(given: Given) -> None:
    """The variance ends at a thousandth: ½·log(0.001) at best."""
    z = _normal(BATCH, LATENT)
    certain = torch.full((BATCH, LATENT), -200.0)
    images = torch.zeros(BATCH, 1, 4, 4)
    right = InfoGAN(latents=LATENT)(given(images, z), Known(z, certain))
    assert float(right.detach()) == pytest.approx(math.log(1e-3) / 2, rel=1e-5)
    wrong = InfoGAN(latents=LATENT)(given(images, z), Known(z + 1, certain))
    assert float(wrong.detach()) == pytest.approx(math.log(1e-3) / 2 + 500, rel=1e-5)


def test_images_and_recogniser_get_gradients(given: Given, sizes: Any) -> None:
    term = InfoGAN(latents=3, width=0.05)
    recogniser = term.network(sizes(8, 2, LATENT))
    images = _normal(BATCH, 2, 8, 8).requires_grad_()
    assert recogniser(images).shape == (BATCH, 6)
    term(given(images, _normal(BATCH, LATENT)), recogniser).backward()
    assert images.grad is not None
    assert images.grad.abs().max() > 0
    assert all(value.grad is not None for value in recogniser.parameters())


def test_the_best_recogniser_of_images_that_tell_nothing_pays_the_latents_entropy(
    given: Given,
) -> None:
    """Up to the constant, ½: mean 0 and variance 1 for standard normal latents."""
    z = _normal(100_000, 1)
    inverse_softplus = math.log(math.exp(1 - 1e-3) - 1)

    class Blind(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.tensor([0.0, inverse_softplus]).expand(len(images), 2)

    value = InfoGAN(latents=1)(given(torch.zeros(100_000, 1, 1, 1), z), Blind())
    assert float(value) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": -0.1}, "weight must be ≥ 0, got -0.1"),
        ({"weight": math.nan}, "weight must be ≥ 0, got nan"),
        ({"latents": 0}, "latents must be at least 1, got 0"),
        ({"width": -1.0}, "width must be > 0, got -1.0"),
        ({"anneal": -0.5}, "anneal must be between 0 and 1, got -0.5"),
        ({"delay": math.nan}, "delay must be between 0 and 1, got nan"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(
    arguments: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        InfoGAN(**arguments)  # type: ignore[arg-type]


class Guessing(nn.Module):
    """A critic whose guesses are given beforehand."""

    def __init__(self, guesses: Tensor) -> None:
        super().__init__()
        self.guesses, self.codes, self.passes = guesses, guesses.shape[1], 0

    def with_codes(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.passes += 1
        return images.flatten(1).sum(1, keepdim=True), self.guesses


@pytest.mark.parametrize("codes", [1, 3, LATENT])
def test_the_published_loss_is_the_mean_squared_error_of_the_first_latents(codes: int) -> None:
    z, guesses = _normal(BATCH, LATENT), _normal(BATCH, codes, seed=1).requires_grad_()
    term, generator = PublishedInfoGAN(), SimpleGenerator(8, LATENT, width=0.05)
    made = GeneratorPass(generator, z, critic=Guessing(guesses))
    wanted = sum((guesses[i, j] - z[i, j]) ** 2 for i in range(BATCH) for j in range(codes))
    torch.testing.assert_close(term(made, None), wanted / (BATCH * codes))
    torch.testing.assert_close(term.critic_loss(guesses, z), wanted / (BATCH * codes))
    torch.testing.assert_close(made.judged[0], made.images.flatten(1).sum(1)[:, None])
    assert made.critic.passes == 1  # type: ignore[union-attr]
    (gradient,) = torch.autograd.grad(term.critic_loss(guesses, z), guesses)
    torch.testing.assert_close(gradient, 2 * (guesses - z[:, :codes]).detach() / (BATCH * codes))


def test_the_published_weight_is_1() -> None:
    assert PublishedInfoGAN().weight == 1.0
    assert PublishedInfoGAN().trains_critic
    assert not InfoGAN().trains_critic


@pytest.mark.parametrize("critic", [None, nn.Identity(), Guessing(torch.zeros(1, LATENT + 1))])
def test_a_critic_that_guesses_no_latents_or_too_many_is_refused(
    critic: nn.Module | None, sizes: Any
) -> None:
    with pytest.raises(ValueError, match=f"the critic must guess 1 to {LATENT} latents"):
        PublishedInfoGAN().check_critic(critic, sizes(8, 1, LATENT))
    PublishedInfoGAN().check_critic(Guessing(torch.zeros(1, 2)), sizes(8, 1, LATENT))
