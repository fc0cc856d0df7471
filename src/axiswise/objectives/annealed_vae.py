"""AnnealedVAE (Burgess et al. 2018, arXiv 1804.03599): a capacity that grows."""

from dataclasses import dataclass

from axiswise.objectives.vae import VAEObjective, VAEPass, WeightedTerms, check_weights


@dataclass(frozen=True, kw_only=True)
class AnnealedVAE(VAEObjective):
    """Negative log-likelihood plus γ·|KL − C|, with C rising from 0 (Eq. 8).

    C rises as the weights of other objectives do: over the recipe's `anneal` after its `delay`. The
    weight γ is there from the first step on.

    Args:
        gamma: Weight γ of the distance from the capacity, ≥ 0; the paper and
            disentanglement_lib's study have 1000.
        capacity: C in the end, nats, ≥ 0; the study's third value is 25.
        likelihood: "bernoulli" or "gaussian", as in `negative_log_likelihood`.
        sigma: Standard deviation of the Gaussian likelihood, in grey values, > 0.

    Raises:
        ValueError: On a number out of range or an unknown likelihood.
    """

    gamma: float = 1000.0
    capacity: float = 25.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights(self, "gamma", "capacity")

    def code_terms(self, batch: VAEPass, ramp: float) -> WeightedTerms:
        """The terms beyond the likelihood.

        Args:
            batch: What the VAE made of a batch.
            ramp: How far annealing has come, 0…1; scales the capacity.

        Returns:
            "kl", nats, mean over the batch, with weight 0, to be logged; and "capacity_gap", its
            distance from the capacity, nats.
        """
        divergence = batch.kl
        gap = (divergence - ramp * self.capacity).abs()
        return {"kl": (0.0, divergence.detach()), "capacity_gap": (self.gamma, gap)}
