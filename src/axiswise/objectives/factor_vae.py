"""FactorVAE (Kim & Mnih, ICML 2018, arXiv 1802.05983)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from axiswise.nets import Autoencoder, CodeDiscriminator, Model
from axiswise.objectives.family import term
from axiswise.objectives.term import GeneratorPass, Term
from axiswise.support.checks import check_range
from axiswise.support.precision import full_precision

_BETAS = (0.5, 0.9)  # of Adam, as published


@term("factor_vae")
@dataclass(frozen=True, kw_only=True)
class FactorVAE(Term):
    """The total correlation of codes, as a discriminator estimates it (Eq. 2).

    With a `BetaVAE` of β = 1 it makes a FactorVAE. The discriminator separates codes from codes
    permuted within each latent; it has its own Adam, with decay rates 0.5 and 0.9, and takes a step
    after each of the VAE's (Algorithm 2).

    Args:
        weight: Weight γ of the total correlation, ≥ 0; 30 is the third value of
            disentanglement_lib's study.
        features: Features of each hidden layer of the discriminator, ≥ 1; 1000 as published.
        learning_rate: Of the discriminator, > 0, the same at every step; 1e-4 as published.
    """

    weight: float = 30.0
    features: int = 1000
    learning_rate: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "at least 1", "features")
        check_range(self, "> 0", "learning_rate")

    def label(self, name: str) -> str:  # noqa: ARG002
        """What its values are logged as."""
        return "tc"

    def check(self, model: Model) -> None:
        """Refuse a model without an encoder."""
        if not isinstance(model, Autoencoder):
            raise ValueError(f"the model must encode images, a {type(model).__name__} does not")

    def network(self, model: Model) -> nn.Module:
        """The discriminator: codes (batch, latent) → logits (batch, 2), codes and permuted ones."""
        return CodeDiscriminator(model.latent_dim, self.features)

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Adam, as published."""
        rate = self.learning_rate
        return torch.optim.Adam(network.parameters(), lr=rate, betas=_BETAS, fused=True)

    def __call__(self, made: GeneratorPass, network: nn.Module | None) -> Tensor:
        """The estimate, nats, mean over the batch; only the codes get gradients."""
        assert network is not None
        weights = {name: weight.detach() for name, weight in network.named_parameters()}
        return log_density_ratio(functional_call(network, weights, (made.z,))).mean()

    def network_loss(
        self,
        network: nn.Module,
        z: Tensor,
        codes: Callable[[], Tensor],
        rng: torch.Generator,
        share: slice,
    ) -> dict[str, Tensor]:
        """The discriminator's loss, nats; the second batch is permuted as a whole."""
        others = codes()
        order = draw_order(len(others), others.shape[1], rng)
        mixed = permuted(others, order[share])
        logits, permuted_logits = network(torch.cat([z, mixed])).chunk(2)
        return {"discriminator": discriminator_loss(logits, permuted_logits)}


def log_density_ratio(logits: Tensor) -> Tensor:
    """Log-ratio of the densities of codes and of permuted codes, by the discriminator, nats.

    For the best discriminator, its mean over codes is their total correlation (Eq. 3).

    Args:
        logits: Of the discriminator, (batch, 2).

    Returns:
        (batch,).
    """
    of_codes, of_permuted = full_precision(logits).unbind(1)
    return of_codes - of_permuted


def discriminator_loss(logits: Tensor, permuted_logits: Tensor) -> Tensor:
    """Cross-entropy of the discriminator, nats, mean over codes and permuted codes (Algorithm 2).

    Args:
        logits: For codes, (batch, 2).
        permuted_logits: For permuted ones, (batch, 2).
    """
    right, wrong = log_density_ratio(logits), log_density_ratio(permuted_logits)
    return (F.softplus(-right).mean() + F.softplus(wrong).mean()) / 2


def draw_order(batch: int, latent: int, rng: torch.Generator) -> Tensor:
    """A permutation of the batch for each latent, (batch, latent), on the device of `rng`."""
    return torch.rand(batch, latent, generator=rng, device=rng.device).argsort(0)


def permuted(z: Tensor, order: Tensor) -> Tensor:
    """Codes permuted within each latent by rows of a `draw_order` (Algorithm 1)."""
    return z.gather(0, order)
