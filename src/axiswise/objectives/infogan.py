"""InfoGAN (Chen et al., NeurIPS 2016, arXiv 1606.03657), with continuous codes.

Ours is the bound with a network of its own; the published one of the Hessian Penalty's and OroJaR's
comparison is a mean squared error with a head on the critic.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from axiswise.nets import Model, SimpleCritic
from axiswise.objectives.family import term
from axiswise.objectives.term import GeneratorPass, Term
from axiswise.support.checks import check_range
from axiswise.support.precision import full_precision

# Bounds the loss below where the recogniser is certain.
_LEAST_VARIANCE = 1e-3


@term("infogan")
@dataclass(frozen=True, kw_only=True)
class InfoGAN(Term):
    """The bound on the mutual information of the first latents and the image (Eq. 5).

    A network estimates mean and variance of those latents from the image; it and the generator
    minimise its negative log-likelihood, the bound up to the latents' entropy.

    Args:
        weight: Its weight λ, ≥ 0.
        latents: How many latents are codes, the first ones, ≥ 1.
        width: Scales the recogniser, a `SimpleCritic`, > 0.
    """

    latents: int = 6
    width: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "at least 1", "latents")
        check_range(self, "> 0", "width")

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


@term("infogan_published")
@dataclass(frozen=True, kw_only=True)
class PublishedInfoGAN(Term):
    """The mean squared error of the first latents as the critic's head guesses them.

    Critic and generator minimise it, each with its own optimiser. The critic's `codes` say how many
    latents are guessed.

    Source: the code of Peebles et al., ECCV 2020, arXiv 2008.10599, which OroJaR's authors use,
    with weight 1.

    Args:
        weight: Its weight, ≥ 0.
    """

    weight: float = 1.0

    def check_critic(self, critic: nn.Module | None, model: Model) -> None:
        """Refuse a critic that guesses no latents, or more than there are."""
        codes, most = getattr(critic, "codes", 0), model.latent_dim
        if not 1 <= codes <= most:
            raise ValueError(
                f"the critic must guess 1 to {most} latents, as PublishedSimpleCritic and "
                f"ProgressiveCritic of axiswise.nets do with such `codes`; got {codes}"
            )

    def __call__(self, made: GeneratorPass, network: nn.Module | None) -> Tensor:  # noqa: ARG002
        """The error, mean over the batch and the guessed latents."""
        return self.critic_loss(made.judged[1], made.z)

    def critic_loss(self, guesses: Tensor, z: Tensor) -> Tensor:
        """The same, of guesses."""
        return F.mse_loss(full_precision(guesses), z[:, : guesses.shape[1]])
