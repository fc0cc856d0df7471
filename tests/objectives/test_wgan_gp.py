"""WGAN-GP against critics whose scores and slopes are known in closed form."""

import math

import pytest
import torch
from torch import Tensor, nn

from axiswise.objectives import WGANGP
from axiswise.objectives.wgan_gp import input_gradients

SHAPE = (5, 2, 3, 4)


def _normal(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=rng, dtype=torch.float64)


class Linear(nn.Module):
    """D(x) = w·x + b, of slope ‖w‖ everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(_normal(24, seed=1)), nn.Parameter(torch.tensor(0.7))

    def forward(self, images: Tensor) -> Tensor:
        return (images.flatten(1) @ self.w + self.b)[:, None]


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(4)
    mix = torch.rand(5, generator=rng, dtype=torch.float64)
    return _normal(*SHAPE, seed=2), _normal(*SHAPE, seed=3), mix


def test_a_linear_critic_s_terms_are_known(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    critic = Linear()
    real, fake, _ = batch
    terms, scores = WGANGP(gradient_penalty=3.0).critic_terms(critic, *batch)
    w = critic.w.detach()
    assert list(terms) == ["critic", "gradient_penalty"]
    assert [weight for weight, _ in terms.values()] == [0.5, 3.0]
    of_real, of_fake = (images.flatten(1) @ w + 0.7 for images in (real, fake))
    torch.testing.assert_close(terms["critic"][1], of_fake.mean() - of_real.mean())
    torch.testing.assert_close(terms["gradient_penalty"][1], (w.norm() - 1) ** 2)
    torch.testing.assert_close(scores, torch.cat([of_real, of_fake])[:, None])


def test_a_linear_critic_s_gradients_are_known(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    """Of half the difference of the means, and of λ(‖w‖ − 1)²."""
    critic = Linear()
    real, fake, _ = batch
    terms, _ = WGANGP(gradient_penalty=3.0).critic_terms(critic, *batch)
    sum(weight * value for weight, value in terms.values()).backward()  # type: ignore[union-attr]
    w = critic.w.detach()
    difference = (fake - real).flatten(1).mean(0) / 2
    assert critic.w.grad is not None
    torch.testing.assert_close(critic.w.grad, difference + 6 * (w.norm() - 1) * w / w.norm())
    assert critic.b.grad is not None
    assert float(critic.b.grad) == pytest.approx(0, abs=1e-12)


def test_the_slope_is_taken_between_the_images_of_each_pair(
    batch: tuple[Tensor, Tensor, Tensor],
) -> None:
    """D(x) = ‖x‖²/2 has the slope ‖x‖: the point itself shows."""
    real, fake, mix = batch
    terms, _ = WGANGP().critic_terms(
        lambda images: images.flatten(1).square().sum(1, keepdim=True) / 2, *batch
    )
    points = [m * a + (1 - m) * b for m, a, b in zip(mix, real, fake, strict=True)]
    slopes = torch.stack([point.norm() for point in points])
    torch.testing.assert_close(terms["gradient_penalty"][1], ((slopes - 1) ** 2).mean())
    for share, images in ((0.0, fake), (1.0, real)):
        end = torch.full((5,), share, dtype=torch.float64)
        terms, _ = WGANGP().critic_terms(
            lambda images: images.flatten(1).square().sum(1, keepdim=True) / 2, real, fake, end
        )
        wanted = ((images.flatten(1).norm(dim=1) - 1) ** 2).mean()
        torch.testing.assert_close(terms["gradient_penalty"][1], wanted)


def test_the_generator_minimises_minus_the_score() -> None:
    scores = _normal(5, 1).requires_grad_()
    terms = WGANGP().generator_terms(scores)
    assert list(terms) == ["adversarial"]
    weight, value = terms["adversarial"]
    assert weight == 1.0
    torch.testing.assert_close(value, -scores.detach().sum() / 5)
    (gradient,) = torch.autograd.grad(value, scores)
    assert gradient.flatten().tolist() == pytest.approx([-0.2] * 5)


def test_the_critic_s_terms_give_the_images_no_gradient_and_the_generator_s_do(
    batch: tuple[Tensor, Tensor, Tensor],
) -> None:
    """Though the slope is differentiated by its images on the way."""
    critic = Linear()
    real, fake, mix = batch
    terms, _ = WGANGP().critic_terms(critic, real, fake, mix)
    assert real.grad is None
    assert not real.requires_grad
    assert not fake.requires_grad
    assert all(value.requires_grad for _, value in terms.values())
    images = fake.clone().requires_grad_()
    WGANGP().generator_terms(critic(images))["adversarial"][1].backward()
    assert images.grad is not None
    torch.testing.assert_close(images.grad.flatten(1), -critic.w.detach().expand(5, 24) / 5)


def test_input_gradients_are_differentiable_once_more() -> None:
    images = _normal(*SHAPE).requires_grad_()
    cubes = input_gradients(lambda x: x.pow(3).flatten(1).sum(1, keepdim=True), images)
    torch.testing.assert_close(cubes, 3 * images.detach().pow(2).flatten(1))
    (second,) = torch.autograd.grad(cubes.sum(), images)
    torch.testing.assert_close(second, 6 * images.detach())


def test_scores_in_bfloat16_are_averaged_in_float32() -> None:
    """256 + 1 is 256 in bfloat16: a mean of such sums would lose the smaller scores."""
    scores = torch.tensor([[256.0], [1.0], [1.0], [1.0]]).bfloat16()
    value = WGANGP().generator_terms(scores)["adversarial"][1]
    assert (value.dtype, float(value)) == (torch.float32, -64.75)


@pytest.mark.parametrize("weight", [-1.0, math.nan])
def test_a_weight_out_of_range_is_refused_by_name(weight: float) -> None:
    with pytest.raises(ValueError, match=f"gradient_penalty must be ≥ 0, got {weight}"):
        WGANGP(gradient_penalty=weight)
