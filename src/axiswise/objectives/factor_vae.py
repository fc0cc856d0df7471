"""FactorVAE (Kim & Mnih, ICML 2018, arXiv 1802.05983)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from axiswise.nets import CodeDiscriminator, Model
from axiswise.objectives.family import term
from axiswise.objectives.term import GeneratorPass, Term
from axiswise.objectives.vae import Encodes
from axiswise.support.precision import full_precision

_BETAS = (0.5, 0.9)  # of Adam, as published


@term("factor_vae")
@dataclass(frozen=True, kw_only=True)
class FactorVAE(Term):
    """The total correlation of codes, as a discriminator estimates it (Eq. 2).

    With a `BetaVAE` of β = 1 it makes a FactorVAE. The discriminator tells codes from codes
    permuted within each latent; it has an optimiser of its own, Adam with decay rates 0.5 and 0.9,
    and takes a step after each of the VAE's (Algorithm 2).

    Args:
        weight: Weight γ of the total correlation, ≥ 0; 30 is the third value of
            disentanglement_lib's study.
        anneal: Share of the steps over which the weight rises from 0; the recipe's if null.
        delay: Share of the steps before it does; the recipe's if null.
        features: Features of each hidden layer of the discriminator, ≥ 1; 1000 as published.
        learning_rate: Of the discriminator, > 0, the same at every step; 1e-4 as published.

    Raises:
        ValueError: On a number out of range.
    """

    weight: float = 30.0
    features: int = 1000
    learning_rate: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.features < 1:
            raise ValueError(f"features must be at least 1, got {self.features}")
        if not self.learning_rate > 0:  # so that NaN is refused too
            raise ValueError(f"learning_rate must be > 0, got {self.learning_rate}")

    def label(self, name: str) -> str:  # noqa: ARG002
        """What its values are logged as."""
        return "tc"

    def check(self, model: Model) -> None:
        """Refuse a model without an encoder."""
        if not isinstance(model, Encodes):
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
