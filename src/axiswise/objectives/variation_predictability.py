"""Variation Predictability loss (Zhu, Xu & Tao, ECCV 2020, arXiv 2007.12885)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from axiswise.nets import SimpleCritic
from axiswise.objectives.schedule import check_schedule
from axiswise.support.precision import full_precision


@dataclass(frozen=True)
class VariationPredictability:
    """Which latent differs should be told from two images: a classifier's cross-entropy.

    Generator and classifier minimise it together.

    Args:
        weight: Its weight, ≥ 0; 0.1 in OroJaR's comparison.
        width: Scales the classifier, a `SimpleCritic` of pairs of images, > 0.
        anneal: Share of the steps over which the weight rises from 0; the recipe's if null.
        delay: Share of the steps before it does; the recipe's if null.

    Raises:
        ValueError: On a number out of range.
    """

    weight: float = 0.1
    width: float = 1.0
    anneal: float | None = None
    delay: float | None = None

    def __post_init__(self) -> None:
        check_schedule(self)
        if not self.width > 0:  # so that NaN is refused too
            raise ValueError(f"width must be > 0, got {self.width}")

    def network(self, size: int, channels: int, latent_dim: int) -> nn.Module:
        """The classifier.

        Args:
            size: Height and width of the images, a power of 2, at least 8.
            channels: Channels of the images.
            latent_dim: Number of latents.

        Returns:
            Pairs (batch, 2 · channels, size, size) → logits (batch, latent).
        """
        return SimpleCritic(size, 2 * channels, self.width, outputs=latent_dim)

    def draw(
        self, batch: int, latent: int, rng: torch.Generator, share: slice = slice(None)
    ) -> dict[str, Tensor]:
        """Draw which latent changes, and to what, for a whole batch; keep one process's share.

        Args:
            batch: Samples in the whole batch.
            latent: Number of latents.
            rng: Source of randomness; the draw is on its device.
            share: Which samples are this process's.

        Returns:
            Keyword arguments of `changed` and a call.
        """
        index = torch.randint(latent, (batch,), generator=rng, device=rng.device)
        value = torch.randn(batch, generator=rng, device=rng.device)
        return {"index": index[share], "value": value[share]}

    def __call__(
        self, classifier: nn.Module, images: Tensor, others: Tensor, index: Tensor
    ) -> Tensor:
        """The loss, unweighted.

        Args:
            classifier: What `network` returned.
            images: Generated images, (batch, channel, height, width).
            others: Images of the same latents but one, of the same shape.
            index: Which one, (batch,).

        Returns:
            Cross-entropy, nats, mean over the batch.
        """
        logits = full_precision(classifier(torch.cat([images, others], 1)))
        return F.cross_entropy(logits, index)


def changed(z: Tensor, index: Tensor, value: Tensor) -> Tensor:
    """Latents with one of each sample drawn anew.

    Args:
        z: (batch, latent).
        index: Which latent, (batch,).
        value: Its new value, (batch,).

    Returns:
        (batch, latent).
    """
    return z.scatter(1, index[:, None], value[:, None].to(z))
