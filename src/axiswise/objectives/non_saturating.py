"""Non-saturating logistic GAN with R1 (Goodfellow et al. 2014; Mescheder et al. 2018)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from axiswise.objectives.gan import GANObjective, input_gradients
from axiswise.objectives.vae import WeightedTerms
from axiswise.support.checks import check_range
from axiswise.support.precision import full_precision


@dataclass(frozen=True)
class NonSaturating(GANObjective):
    """Logistic losses on both sides, and R1 on the critic (arXiv 1801.04406, Eq. 9).

    Args:
        r1: γ, of which half is the weight of ‖∇D‖² at real images, ≥ 0.
    """

    r1: float = 10.0

    def __post_init__(self) -> None:
        check_range(self, "≥ 0", "r1")

    def critic_terms(
        self,
        critic: Callable[[Tensor], Tensor],
        real: Tensor,
        fake: Tensor,
        mix: Tensor,  # noqa: ARG002
    ) -> tuple[WeightedTerms, Tensor]:
        """The terms "critic" and "r1"; and all scores."""
        scores = full_precision(critic(torch.cat([real, fake])))
        of_real, of_fake = scores.chunk(2)
        slopes = input_gradients(critic, real.detach().requires_grad_())
        terms: WeightedTerms = {
            "critic": (1.0, F.softplus(of_fake).mean() + F.softplus(-of_real).mean()),
            "r1": (self.r1 / 2, slopes.square().sum(1).mean()),
        }
        return terms, scores

    def generator_terms(self, scores: Tensor) -> WeightedTerms:
        """The term "adversarial"."""
        return {"adversarial": (1.0, F.softplus(-full_precision(scores)).mean())}
