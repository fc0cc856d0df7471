"""One training step of a VAE as a module, so that Fabric can wrap it for several processes."""

import torch
from torch import Tensor, nn

from axiswise.nets import VAE
from axiswise.objectives import (
    BetaVAE,
    JacobianTerm,
    VAEPass,
    WeightedTerms,
    kl_divergence,
    sample_codes,
)
from axiswise.precision import full_precision
from axiswise.shared_pass import SharedPass

ACTIVE = 0.01  # nats of KL divergence above which an axis counts as active


class VAEStep(nn.Module):
    """Images in, weighted terms of the loss out.

    Args:
        vae: The network.
        objective: What it minimises.
        penalty: The term on the decoder's Jacobian, if any.
    """

    def __init__(self, vae: VAE, objective: BetaVAE, penalty: JacobianTerm | None) -> None:
        super().__init__()
        self.vae, self.objective, self.penalty = vae, objective, penalty

    def forward(
        self, images: Tensor, noise: Tensor, drawn: dict[str, Tensor], ramp: float
    ) -> tuple[WeightedTerms, Tensor, Tensor]:
        """Run a batch.

        Args:
            images: (batch, channel, height, width).
            noise: Standard normal, (batch, latent).
            drawn: What the penalty drew.
            ramp: How far annealing has come, 0…1.

        Returns:
            The terms; each axis's KL divergence, (latent,), mean over the batch, nats; and the
            sampled codes, (batch, latent), cut off the graph.
        """
        mean, log_variance = (part.float() for part in self.vae.encoder(images))
        z = sample_codes(mean, log_variance, noise)
        penalised: WeightedTerms = {}
        if self.penalty is None:
            logits = decoder_logits(self.vae.decoder, z)
        else:
            logits, value = _logits_and_penalty(self.vae.decoder, z, self.penalty, drawn)
            penalised[self.penalty.label] = (ramp * self.penalty.weight, value)
        terms = self.objective(VAEPass(images, logits, mean, log_variance, z), ramp) | penalised
        axes = kl_divergence(mean.detach(), log_variance.detach()).mean(0)
        return terms, axes, z.detach()


def decoder_logits(decoder: nn.Module, z: Tensor) -> Tensor:
    """What a decoder of probabilities gives before its sigmoid, in float32 at least.

    Args:
        decoder: Latents → probabilities. Of an `nn.Sequential` that ends in a sigmoid, the rest is
            called; of any other the logit of its probabilities is taken, kept 1e-6 off 0 and 1.
        z: Latents, (batch, latent).

    Returns:
        Logits, (batch, channel, height, width).
    """
    body = _before_sigmoid(decoder)
    return _logit(decoder(z)) if body is None else full_precision(body(z))


def _logits_and_penalty(
    decoder: nn.Module, z: Tensor, penalty: JacobianTerm, drawn: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """`decoder_logits` and a penalty on the decoder, from one pass."""
    body = _before_sigmoid(decoder)
    shared = SharedPass(decoder) if body is None else SharedPass(body, then=nn.Sigmoid())
    value = penalty(shared, z, **drawn)
    output: Tensor = shared.output
    return _logit(output) if body is None else full_precision(output), value


def _before_sigmoid(decoder: nn.Module) -> nn.Sequential | None:
    """A stack without the sigmoid that it ends in; None for anything else."""
    if isinstance(decoder, nn.Sequential) and isinstance(decoder[-1], nn.Sigmoid):
        return nn.Sequential(*list(decoder)[:-1])
    return None


def _logit(probabilities: Tensor) -> Tensor:
    return torch.logit(probabilities.float(), eps=1e-6)
