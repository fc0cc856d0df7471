"""The logistic losses against torch.distributions, and R1 of critics of known slope."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli

from axiswise.objectives import NonSaturating

SHAPE = (6, 1, 4, 4)


def _normal(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=rng, dtype=torch.float64)


class Quadratic(nn.Module):
    """D(x) = a‖x‖²/2, of gradient a·x."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))

    def forward(self, images: Tensor) -> Tensor:
        return self.a * images.flatten(1).square().sum(1, keepdim=True) / 2


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    return _normal(*SHAPE, seed=2), _normal(*SHAPE, seed=3), torch.zeros(6)


def test_the_critic_classifies_and_r1_is_the_mean_square_of_its_slope_at_real_images(
    batch: tuple[Tensor, Tensor, Tensor],
) -> None:
    critic = Quadratic()
    real, fake, _ = batch
    terms, scores = NonSaturating(r1=5.0).critic_terms(critic, *batch)
    assert list(terms) == ["critic", "r1"]
    assert [weight for weight, _ in terms.values()] == [1.0, 2.5]
    of_real, of_fake = (0.15 * images.square().sum((1, 2, 3)) for images in (real, fake))
    right = Bernoulli(logits=of_real).log_prob(torch.ones(6, dtype=torch.float64)).mean()
    right += Bernoulli(logits=of_fake).log_prob(torch.zeros(6, dtype=torch.float64)).mean()
    torch.testing.assert_close(terms["critic"][1], -right)
    torch.testing.assert_close(terms["r1"][1], 0.09 * real.square().sum((1, 2, 3)).mean())
    torch.testing.assert_close(scores, torch.cat([of_real, of_fake])[:, None])


def test_r1_s_gradient_is_known(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    """d/da a²·mean‖x‖²; generated images have no say in it."""
    critic = Quadratic()
    real, fake, mix = batch
    terms, _ = NonSaturating().critic_terms(critic, real, fake, mix)
    (gradient,) = torch.autograd.grad(terms["r1"][1], critic.a)
    torch.testing.assert_close(gradient, 0.6 * real.square().sum((1, 2, 3)).mean())
    other, _ = NonSaturating().critic_terms(critic, real, 3 * fake, mix)
    assert torch.equal(other["r1"][1], terms["r1"][1])
    assert not real.requires_grad
    assert real.grad is None


def test_the_generator_wants_its_images_to_be_called_real() -> None:
    scores = _normal(6, 1).requires_grad_()
    terms = NonSaturating().generator_terms(scores)
    assert list(terms) == ["adversarial"]
    weight, value = terms["adversarial"]
    assert weight == 1.0
    chance = Bernoulli(logits=scores.detach())
    torch.testing.assert_close(value, -chance.log_prob(torch.ones_like(scores)).mean())
    (gradient,) = torch.autograd.grad(value, scores)
    torch.testing.assert_close(gradient, -(1 - scores.detach().sigmoid()) / 6)


def test_a_critic_that_is_sure_and_wrong_gives_finite_losses() -> None:
    """Softplus, and not the logarithm of a sigmoid that is 0; the gradient does not vanish."""
    scores = torch.tensor([[-300.0]], requires_grad=True)
    value = NonSaturating().generator_terms(scores)["adversarial"][1]
    value.backward()
    assert float(value.detach()) == 300.0
    assert scores.grad is not None
    assert float(scores.grad) == -1.0
    images = torch.ones(1, 1, 2, 2)
    terms, _ = NonSaturating().critic_terms(
        lambda x: 100 * x.flatten(1).sum(1, keepdim=True), -images, images, torch.zeros(1)
    )
    assert float(terms["critic"][1].detach()) == 800.0


@pytest.mark.parametrize("weight", [-0.5, math.nan])
def test_a_weight_out_of_range_is_refused_by_name(weight: float) -> None:
    with pytest.raises(ValueError, match=f"r1 must be ≥ 0, got {weight}"):
        NonSaturating(r1=weight)
