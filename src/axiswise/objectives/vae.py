"""What all variational autoencoders share: the likelihood, the KL divergence, the sampled codes."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from axiswise.support.checks import check_range

Likelihood = Literal["bernoulli", "gaussian"]

# name → (weight, value): a loss is the sum of the products, a log shows the values.
WeightedTerms = dict[str, tuple[float, Tensor]]


@dataclass(frozen=True)
class VAEPass:
    """One pass of a batch through a VAE: the input of an objective.

    With several processes, each has its own images and the codes of the whole batch.

    Attributes:
        images: (batch, channel, height, width), in [0, 1].
        logits: What the decoder gives before its sigmoid, of the same shape.
        mean: Means of the codes, (batch, latent).
        log_variance: Their log-variances, (batch, latent).
        z: The codes that were sampled and decoded, (batch, latent).
    """

    images: Tensor
    logits: Tensor
    mean: Tensor
    log_variance: Tensor
    z: Tensor

    @property
    def kl(self) -> Tensor:
        """KL divergence from the prior, a scalar, nats, mean over the batch."""
        return kl_divergence(self.mean, self.log_variance).sum(1).mean()


@dataclass(frozen=True, kw_only=True)
class VAEObjective(ABC):
    """What a VAE minimises: a likelihood, and terms on the codes; inherit for one of your own.

    Args:
        likelihood: "bernoulli" or "gaussian", as in `negative_log_likelihood`.
        sigma: Standard deviation of the Gaussian likelihood, in grey values, > 0.

    Raises:
        ValueError: If sigma is out of range or the likelihood unknown.
    """

    likelihood: Likelihood = "bernoulli"
    sigma: float = 0.1

    def __post_init__(self) -> None:
        check_range(self, "> 0", "sigma")
        if self.likelihood not in ("bernoulli", "gaussian"):
            raise ValueError(
                f"likelihood must be 'bernoulli' or 'gaussian', got {self.likelihood!r}"
            )

    def __call__(self, batch: VAEPass, ramp: float) -> WeightedTerms:
        """The terms of the loss: "nll", nats, mean over the batch, and `code_terms`."""
        likelihood = negative_log_likelihood(
            batch.images, batch.logits, self.likelihood, self.sigma
        )
        return {"nll": (1.0, likelihood.mean())} | self.code_terms(batch, ramp)

    @abstractmethod
    def code_terms(self, batch: VAEPass, ramp: float) -> WeightedTerms:
        """The terms beyond the likelihood.

        Args:
            batch: What the VAE made of a batch.
            ramp: Progress of annealing, 0…1, which scales the weights.

        Returns:
            The terms, means over the batch; "kl" is among them.
        """


def sample_codes(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Codes of Gaussians, differentiably, by standard normal noise; all (batch, latent)."""
    return mean + noise * (log_variance / 2).exp()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of each code's Gaussian from the standard normal, nats; all (batch, latent)."""
    return (mean.square() + log_variance.exp() - 1 - log_variance) / 2


def negative_log_likelihood(
    images: Tensor, logits: Tensor, likelihood: Likelihood = "bernoulli", sigma: float = 0.1
) -> Tensor:
    """Negative log-likelihood of images, summed over channels and pixels.

    Args:
        images: (batch, channel, height, width), in [0, 1].
        logits: What the decoder gives before its sigmoid, of the same shape.
        likelihood: "bernoulli" with the sigmoid as probability, as published (for grey values it
            is no proper likelihood, but the usual loss); "gaussian" with the sigmoid as mean.
        sigma: Standard deviation of the Gaussian, in grey values, > 0.

    Returns:
        (batch,), nats.

    Raises:
        ValueError: If the shapes differ, or the likelihood is unknown.
    """
    if images.shape != logits.shape:
        raise ValueError(
            f"logits must have the shape of images {tuple(images.shape)}, got {tuple(logits.shape)}"
        )
    if likelihood == "bernoulli":
        pixels = F.binary_cross_entropy_with_logits(logits, images, reduction="none")
    elif likelihood == "gaussian":
        constant = math.log(sigma) + math.log(2 * math.pi) / 2
        pixels = ((images - logits.sigmoid()) / sigma).square() / 2 + constant
    else:
        raise ValueError(f"likelihood must be 'bernoulli' or 'gaussian', got {likelihood!r}")
    return pixels.flatten(1).sum(1)
