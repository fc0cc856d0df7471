"""InfoGAN (Chen et al., NeurIPS 2016, arXiv 1606.03657), with continuous codes."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from axiswise.nets import SimpleCritic
from axiswise.objectives.schedule import check_schedule
from axiswise.support.precision import full_precision

# A recogniser that is sure of itself must not make the loss boundless.
_LEAST_VARIANCE = 1e-3


@dataclass(frozen=True)
class InfoGAN:
    """The first latents should be told from the image: the bound on their mutual information.

    A network of its own recognises them by a Gaussian's mean and variance; generator and recogniser
    minimise its negative log-likelihood, the paper's variational bound (Eq. 5) up to the latents'
    entropy, which is constant.

    Args:
        weight: Its weight λ, ≥ 0.
        latents: How many latents are codes, the first ones, ≥ 1.
        width: Scales the recogniser, a `SimpleCritic`, > 0.
        anneal: Share of the steps over which the weight rises from 0; the recipe's if null.
        delay: Share of the steps before it does; the recipe's if null.

    Raises:
        ValueError: On a number out of range.
    """

    weight: float = 0.1
    latents: int = 6
    width: float = 1.0
    anneal: float | None = None
    delay: float | None = None

    def __post_init__(self) -> None:
        check_schedule(self)
        if self.latents < 1:
            raise ValueError(f"latents must be at least 1, got {self.latents}")
        if not self.width > 0:  # so that NaN is refused too
            raise ValueError(f"width must be > 0, got {self.width}")

    def network(self, size: int, channels: int) -> nn.Module:
        """The recogniser.

        Args:
            size: Height and width of the images, a power of 2, at least 8.
            channels: Channels of the images.

        Returns:
            Images (batch, channels, size, size) → means and what variances are made of,
            (batch, 2 · latents).
        """
        return SimpleCritic(size, channels, self.width, outputs=2 * self.latents)

    def __call__(self, recogniser: nn.Module, images: Tensor, z: Tensor) -> Tensor:
        """The loss, unweighted.

        Args:
            recogniser: What `network` returned.
            images: Generated images, (batch, channel, height, width).
            z: Their latents, (batch, latent).

        Returns:
            Negative log-likelihood of the first latents, nats for each, up to a constant.
        """
        mean, raw = full_precision(recogniser(images)).chunk(2, 1)
        variance = F.softplus(raw) + _LEAST_VARIANCE
        return F.gaussian_nll_loss(mean, z[:, : self.latents], variance, eps=_LEAST_VARIANCE)
