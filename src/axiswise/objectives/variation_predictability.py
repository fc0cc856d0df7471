"""Variation Predictability loss (Zhu, Xu & Tao, ECCV 2020, arXiv 2007.12885)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from axiswise.nets import Model, SimpleCritic
from axiswise.nets.simple_gan import published_classifier
from axiswise.objectives.family import term
from axiswise.objectives.term import GeneratorPass, Term
from axiswise.support.checks import check_range
from axiswise.support.precision import full_precision


@term("vp")
@dataclass(frozen=True, kw_only=True)
class VariationPredictability(Term):
    """The cross-entropy of a classifier of which latent differs between two images.

    Generator and classifier minimise it together.

    Args:
        weight: Its weight, ≥ 0; 0.1 in OroJaR's comparison.
        width: Scales the classifier, a `SimpleCritic` of pairs of images, > 0.
    """

    width: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "> 0", "width")

    def check(self, model: Model) -> None:
        """Refuse a generator with a single latent."""
        if model.latent_dim < 2:
            raise ValueError("the generator must have two latents or more, got 1")

    def network(self, model: Model) -> nn.Module:
        """The classifier: pairs (batch, 2 · channels, size, size) → logits (batch, latent)."""
        return SimpleCritic(model.size, 2 * model.channels, self.width, outputs=model.latent_dim)

    def draw(
        self, batch: int, latent: int, rng: torch.Generator, share: slice = slice(None)
    ) -> dict[str, Tensor]:
        """Draw which latent changes, `index`, and to what, `value`; see `Term`."""
        index = torch.randint(latent, (batch,), generator=rng, device=rng.device)
        value = torch.randn(batch, generator=rng, device=rng.device)
        return {"index": index[share], "value": value[share]}

    def __call__(
        self, made: GeneratorPass, network: nn.Module | None, *, index: Tensor, value: Tensor
    ) -> Tensor:
        """The classifier's cross-entropy, nats, mean over the batch; see `Term`."""
        assert network is not None
        images, others = made.images, made.at(changed(made.z, index, value)).images
        logits = full_precision(network(torch.cat([images, others], 1)))
        return F.cross_entropy(logits, index)


@term("vp_published")
@dataclass(frozen=True, kw_only=True)
class PublishedVariationPredictability(VariationPredictability):
    """The loss as in OroJaR's comparison, of the difference of the two images.

    In the second image, a standard normal number is added to one latent. The classifier is narrow,
    four channels at each size; the loss is the binary cross-entropy of all latents with the one
    that changed, mean over the batch and the latents.

    Source: the code of Wei et al., ICCV 2021, arXiv 2108.07668, with weight 0.1.

    Args:
        weight: Its weight, ≥ 0.
        width: Scales the classifier, > 0; 1 as published.
    """

    def network(self, model: Model) -> nn.Module:
        """The classifier: differences (batch, channels, size, size) → logits (batch, latent)."""
        return published_classifier(model.size, model.channels, self.width, model.latent_dim)

    def __call__(
        self, made: GeneratorPass, network: nn.Module | None, *, index: Tensor, value: Tensor
    ) -> Tensor:
        """The binary cross-entropy, nats; see `Term`."""
        assert network is not None
        label = F.one_hot(index, made.z.shape[1]).to(made.z)
        others = made.at(made.z + value[:, None].to(made.z) * label)
        logits = full_precision(network(made.images - others.images))
        return F.binary_cross_entropy_with_logits(logits, label)


def changed(z: Tensor, index: Tensor, value: Tensor) -> Tensor:
    """The latents (batch, latent) with latent `index` (batch,) of each sample set to `value`."""
    return z.scatter(1, index[:, None], value[:, None].to(z))
