"""InfoGAN (Chen et al., NeurIPS 2016, arXiv 1606.03657), with continuous codes."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from axiswise.nets import Model, SimpleCritic
from axiswise.objectives.family import term
from axiswise.objectives.term import GeneratorPass, Term
from axiswise.support.precision import full_precision

# A recogniser that is sure of itself must not make the loss boundless.
_LEAST_VARIANCE = 1e-3


@term("infogan")
@dataclass(frozen=True, kw_only=True)
class InfoGAN(Term):
    """The first latents should be told from the image: the bound on their mutual information.

    A network of its own recognises them by a Gaussian's mean and variance; generator and recogniser
    minimise its negative log-likelihood, the paper's variational bound (Eq. 5) up to the latents'
    entropy, which is constant.

    Args:
        weight: Its weight λ, ≥ 0.
        anneal: Share of the steps over which the weight rises from 0; the recipe's if null.
        delay: Share of the steps before it does; the recipe's if null.
        latents: How many latents are codes, the first ones, ≥ 1.
        width: Scales the recogniser, a `SimpleCritic`, > 0.

    Raises:
        ValueError: On a number out of range.
    """

    latents: int = 6
    width: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latents < 1:
            raise ValueError(f"latents must be at least 1, got {self.latents}")
        if not self.width > 0:  # so that NaN is refused too
            raise ValueError(f"width must be > 0, got {self.width}")

    def check(self, model: Model) -> None:
        """Refuse more codes than latents."""
        if self.latents > model.latent_dim:
            raise ValueError(
                f"latents must be at most the {model.latent_dim} latents, got {self.latents}"
            )

    def network(self, model: Model) -> nn.Module:
        """The recogniser: images → means and what variances are made of, (batch, 2 · latents)."""
        return SimpleCritic(model.size, model.channels, self.width, outputs=2 * self.latents)

    def __call__(self, made: GeneratorPass, network: nn.Module | None) -> Tensor:
        """Negative log-likelihood of the first latents, nats for each, up to a constant."""
        assert network is not None
        mean, raw = full_precision(network(made.images)).chunk(2, 1)
        variance = F.softplus(raw) + _LEAST_VARIANCE
        return F.gaussian_nll_loss(mean, made.z[:, : self.latents], variance, eps=_LEAST_VARIANCE)
