"""Wasserstein GAN with gradient penalty (Gulrajani et al. 2017, arXiv 1704.00028)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from axiswise.objectives.gan import GANObjective, input_gradients
from axiswise.objectives.vae import WeightedTerms
from axiswise.support.checks import check_range
from axiswise.support.precision import full_precision


@dataclass(frozen=True)
class WGANGP(GANObjective):
    """As in OroJaR's code: half of D(fake) − D(real), plus the gradient penalty.

    Args:
        gradient_penalty: Weight of (‖∇D‖ − 1)² between real and generated images, ≥ 0.
    """

    gradient_penalty: float = 10.0
    _share: ClassVar[float] = 0.5

    def __post_init__(self) -> None:
        check_range(self, "≥ 0", "gradient_penalty")

    def critic_terms(
        self, critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor
    ) -> tuple[WeightedTerms, Tensor]:
        """The terms "critic" and "gradient_penalty"; and all scores."""
        scores = full_precision(critic(torch.cat([real, fake])))
        of_real, of_fake = scores.chunk(2)
        share = mix[:, None, None, None]
        between = (share * real + (1 - share) * fake).requires_grad_()
        slopes = input_gradients(critic, between).norm(dim=1)
        terms: WeightedTerms = {
            "critic": (self._share, of_fake.mean() - of_real.mean()),
            "gradient_penalty": (self.gradient_penalty, (slopes - 1).square().mean()),
        }
        return terms, scores

    def generator_terms(self, scores: Tensor) -> WeightedTerms:
        """The term "adversarial"."""
        return {"adversarial": (1.0, -full_precision(scores).mean())}


@dataclass(frozen=True)
class ProgressiveWGANGP(WGANGP):
    """As in the progressive GAN's code: D(fake) − D(real) as a whole, and a drift penalty.

    Karras et al. 2018, arXiv 1710.10196; OroJaR's progressive GAN has it too.

    Args:
        gradient_penalty: Weight of (‖∇D‖ − 1)² between real and generated images, ≥ 0.
        drift: Weight of the squared scores of real images, ≥ 0.
    """

    drift: float = 1e-3
    _share: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "≥ 0", "drift")

    def critic_terms(
        self, critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor
    ) -> tuple[WeightedTerms, Tensor]:
        """The terms "critic", "gradient_penalty" and "drift"; and all scores."""
        terms, scores = super().critic_terms(critic, real, fake, mix)
        drift = scores[: len(real)].square().mean()
        return {**terms, "drift": (self.drift, drift)}, scores
