"""FactorVAE (Kim & Mnih, ICML 2018, arXiv 1802.05983)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from axiswise.nets import CodeDiscriminator
from axiswise.objectives.vae import VAEObjective, VAEPass, WeightedTerms, check_weights
from axiswise.support.precision import full_precision


@dataclass(frozen=True, kw_only=True)
class FactorVAE(VAEObjective):
    """The ELBO plus γ times the total correlation that a discriminator estimates (Eq. 2).

    The discriminator tells codes from codes permuted within each latent; it has an optimiser of its
    own, Adam with decay rates 0.5 and 0.9, and takes a step after each of the VAE's (Algorithm 2).

    Args:
        gamma: Weight γ of the total correlation, ≥ 0; 30 is the third value of
            disentanglement_lib's study.
        features: Features of each hidden layer of the discriminator, ≥ 1; 1000 as published.
        learning_rate: Of the discriminator, > 0, the same at every step; 1e-4 as published.
        likelihood: "bernoulli" or "gaussian", as in `negative_log_likelihood`.
        sigma: Standard deviation of the Gaussian likelihood, in grey values, > 0.

    Raises:
        ValueError: On a number out of range or an unknown likelihood.
    """

    gamma: float = 30.0
    features: int = 1000
    learning_rate: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights(self, "gamma")
        if self.features < 1:
            raise ValueError(f"features must be at least 1, got {self.features}")
        if not self.learning_rate > 0:  # so that NaN is refused too
            raise ValueError(f"learning_rate must be > 0, got {self.learning_rate}")

    def network(self, latent_dim: int) -> CodeDiscriminator:
        """The discriminator.

        Args:
            latent_dim: Number of latents.

        Returns:
            Codes (batch, latent) → logits (batch, 2) of being a code and of being a permuted one.
        """
        return CodeDiscriminator(latent_dim, self.features)

    def code_terms(self, batch: VAEPass, ramp: float) -> WeightedTerms:
        """The terms beyond the likelihood.

        Args:
            batch: What the VAE made of a batch, with `log_ratio`.
            ramp: How far annealing has come, 0…1; scales both weights.

        Returns:
            "kl" and "tc", nats, means over the batch.

        Raises:
            ValueError: If the batch lacks `log_ratio`.
        """
        if batch.log_ratio is None:
            raise ValueError("batch.log_ratio must be given for FactorVAE, got None")
        return {"kl": (ramp, batch.kl), "tc": (ramp * self.gamma, batch.log_ratio.mean())}


def log_density_ratio(logits: Tensor) -> Tensor:
    """How much likelier each code is among codes than among permuted ones.

    Of the best discriminator, its mean over codes is their total correlation (Eq. 3).

    Args:
        logits: Of the discriminator, (batch, 2).

    Returns:
        Logarithms, (batch,), nats.
    """
    of_codes, of_permuted = full_precision(logits).unbind(1)
    return of_codes - of_permuted


def discriminator_loss(logits: Tensor, permuted_logits: Tensor) -> Tensor:
    """What the discriminator minimises (Algorithm 2).

    Args:
        logits: Its answer to codes, (batch, 2).
        permuted_logits: Its answer to permuted ones, (batch, 2).

    Returns:
        Cross-entropy, nats, mean over both: log 2 if it cannot tell them apart.
    """
    right, wrong = log_density_ratio(logits), log_density_ratio(permuted_logits)
    return (F.softplus(-right).mean() + F.softplus(wrong).mean()) / 2


def draw_order(batch: int, latent: int, rng: torch.Generator) -> Tensor:
    """Draw a permutation of a batch for each latent.

    Args:
        batch: Samples in the whole batch.
        latent: Number of latents.
        rng: Source of randomness; the draw is on its device.

    Returns:
        Indices of samples, (batch, latent), each once in a column.
    """
    return torch.rand(batch, latent, generator=rng, device=rng.device).argsort(0)


def permuted(z: Tensor, order: Tensor) -> Tensor:
    """Codes permuted within each latent, as if the latents were independent (Algorithm 1).

    Args:
        z: (batch, latent).
        order: What `draw_order` returned, or some rows of it.

    Returns:
        Codes, of the shape of order.
    """
    return z.gather(0, order)
