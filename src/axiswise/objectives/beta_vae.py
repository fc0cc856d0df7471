"""β-VAE (Higgins et al., ICLR 2017)."""

from dataclasses import dataclass

from axiswise.objectives.vae import VAEObjective, VAEPass, WeightedTerms, check_weights


@dataclass(frozen=True, kw_only=True)
class BetaVAE(VAEObjective):
    """Negative log-likelihood plus β times the KL divergence from the prior.

    Args:
        beta: Weight of the KL divergence, ≥ 0; JL1-VAE's experiments have 4.
        likelihood: "bernoulli" or "gaussian", as in `negative_log_likelihood`.
        sigma: Standard deviation of the Gaussian likelihood, in grey values, > 0.

    Raises:
        ValueError: On a number out of range or an unknown likelihood.
    """

    beta: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights(self, "beta")

    def code_terms(self, batch: VAEPass, ramp: float) -> WeightedTerms:
        """The terms beyond the likelihood.

        Args:
            batch: What the VAE made of a batch.
            ramp: How far annealing has come, 0…1; scales β.

        Returns:
            "kl", nats, mean over the batch.
        """
        return {"kl": (ramp * self.beta, batch.kl)}
