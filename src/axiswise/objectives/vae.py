"""What all variational autoencoders share: the likelihood, the KL divergence, the sampled codes."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

Likelihood = Literal["bernoulli", "gaussian"]

# name → (weight, value): a loss is the sum of the products, a log shows the values.
WeightedTerms = dict[str, tuple[float, Tensor]]


@dataclass(frozen=True)
class VAEPass:
    """One pass of a batch through a VAE: all that an objective may look at.

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


def sample_codes(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Codes from their Gaussians, differentiably (Kingma & Welling 2014).

    Args:
        mean: (batch, latent).
        log_variance: (batch, latent).
        noise: Standard normal, (batch, latent).

    Returns:
        (batch, latent).
    """
    return mean + noise * (log_variance / 2).exp()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of each code's Gaussian from the standard normal prior.

    Args:
        mean: (batch, latent).
        log_variance: (batch, latent).

    Returns:
        (batch, latent), nats, ≥ 0.
    """
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
