"""β-VAE (Higgins et al., ICLR 2017)."""

from dataclasses import dataclass

from axiswise.objectives.vae import VAEObjective, VAEPass, WeightedTerms
from axiswise.support.checks import check_range


@dataclass(frozen=True, kw_only=True)
class BetaVAE(VAEObjective):
    """Negative log-likelihood plus β times the KL divergence from the prior.

    Args:
        beta: Weight of the KL divergence, ≥ 0; JL1-VAE's experiments have 4.
    """

    beta: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "≥ 0", "beta")

    def code_terms(self, batch: VAEPass, ramp: float) -> WeightedTerms:
        """The term "kl", nats."""
        return {"kl": (ramp * self.beta, batch.kl)}
