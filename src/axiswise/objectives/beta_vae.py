"""β-VAE (Higgins et al., ICLR 2017)."""

from dataclasses import dataclass

from axiswise.objectives.vae import (
    Likelihood,
    VAEPass,
    WeightedTerms,
    kl_divergence,
    negative_log_likelihood,
)


@dataclass(frozen=True)
class BetaVAE:
    """Negative log-likelihood plus β times the KL divergence from the prior.

    Args:
        beta: Weight of the KL divergence, ≥ 0; JL1-VAE's experiments have 4.
        likelihood: "bernoulli" or "gaussian", as in `negative_log_likelihood`.
        sigma: Standard deviation of the Gaussian likelihood, in grey values, > 0.

    Raises:
        ValueError: On a number out of range or an unknown likelihood.
    """

    beta: float = 4.0
    likelihood: Likelihood = "bernoulli"
    sigma: float = 0.1

    def __post_init__(self) -> None:
        if not self.beta >= 0:  # so that NaN is refused too
            raise ValueError(f"beta must be ≥ 0, got {self.beta}")
        if not self.sigma > 0:
            raise ValueError(f"sigma must be > 0, got {self.sigma}")
        if self.likelihood not in ("bernoulli", "gaussian"):
            raise ValueError(
                f"likelihood must be 'bernoulli' or 'gaussian', got {self.likelihood!r}"
            )

    def __call__(self, batch: VAEPass, ramp: float) -> WeightedTerms:
        """The terms of the loss.

        Args:
            batch: What the VAE made of a batch.
            ramp: How far annealing has come, 0…1; scales β.

        Returns:
            "nll" and "kl", nats, means over the batch.
        """
        likelihood = negative_log_likelihood(
            batch.images, batch.logits, self.likelihood, self.sigma
        )
        divergence = kl_divergence(batch.mean, batch.log_variance).sum(1)
        return {"nll": (1.0, likelihood.mean()), "kl": (ramp * self.beta, divergence.mean())}
