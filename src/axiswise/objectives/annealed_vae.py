"""AnnealedVAE (Burgess et al. 2018, arXiv 1804.03599): a capacity that grows."""

from dataclasses import dataclass

from axiswise.objectives.vae import VAEObjective, VAEPass, WeightedTerms
from axiswise.support.checks import check_range


@dataclass(frozen=True, kw_only=True)
class AnnealedVAE(VAEObjective):
    """Negative log-likelihood plus γ·|KL − C|, with C rising from 0 (Eq. 8).

    C rises over the recipe's `anneal`, after its `delay`. The weight γ is constant.

    Args:
        gamma: Weight γ of the distance from the capacity, ≥ 0; the paper and
            disentanglement_lib's study have 1000.
        capacity: C in the end, nats, ≥ 0; the study's third value is 25.
    """

    gamma: float = 1000.0
    capacity: float = 25.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "≥ 0", "gamma", "capacity")

    def code_terms(self, batch: VAEPass, ramp: float) -> WeightedTerms:
        """The terms "kl", of weight 0, and "capacity_gap", |KL − C|, nats."""
        divergence = batch.kl
        gap = (divergence - ramp * self.capacity).abs()
        return {"kl": (0.0, divergence.detach()), "capacity_gap": (self.gamma, gap)}
