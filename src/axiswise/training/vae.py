"""Training a VAE."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from axiswise.jacobian import Jacobian
from axiswise.nets import VAE
from axiswise.objectives import (
    FactorVAE,
    JacobianTerm,
    VAEObjective,
    VAEPass,
    WeightedTerms,
    kl_divergence,
    sample_codes,
)
from axiswise.support.precision import full_precision
from axiswise.training.config import VAEConfig
from axiswise.training.discriminator import DiscriminatorTraining
from axiswise.training.parts import (
    Figures,
    Machine,
    other_scales,
    ramp_of,
    set_learning_rate,
    unweighted,
    weighted_sum,
    whole_batch,
)

ACTIVE = 0.01  # nats of KL divergence above which an axis counts as active


class VAETraining:
    """Encoder and decoder by one optimiser; FactorVAE's discriminator by another.

    Args:
        config: The recipe.
        machine: Where it runs.
    """

    def __init__(self, config: VAEConfig, machine: Machine) -> None:
        self.config, self.machine = config, machine
        self.model = config.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.networks: dict[str, nn.Module] = {"vae": self.model}
        optimizer = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate, fused=True)
        self.optimizers: dict[str, torch.optim.Optimizer] = {"vae": optimizer}
        self._scheduled = dict(self.optimizers)
        self._discriminator = log_ratio = None
        if isinstance(config.objective, FactorVAE):
            self._discriminator = DiscriminatorTraining(config.objective, config, machine)
            log_ratio = self._discriminator.log_ratio
            self.networks["discriminator"] = self._discriminator.network
            self.optimizers["discriminator"] = self._discriminator.optimizer
        step_module = VAEStep(
            self.model.train(),
            config.objective,
            config.penalties,
            partial(whole_batch, fabric=machine.fabric),
            log_ratio,
        )
        self._step, self._optimizer = machine.fabric.setup(step_module, optimizer)
        self._z = torch.empty(0)

    def step(self, step: int) -> Figures:
        """Take a step; see `Training`."""
        config, rng, share = self.config, self.machine.rng, self.machine.share
        set_learning_rate(self._scheduled, step, config)
        draws = config.data.draw(config.batch_size, rng)
        shape = (config.batch_size, self.model.latent_dim)
        noise = torch.randn(shape, generator=rng, device=rng.device)
        drawn = [penalty.draw(*shape, rng, share) for penalty in config.penalties]
        images = config.data.render(draws[share])

        ramps = [ramp_of(term, step, config) for term in (None, *config.penalties)]
        terms, axes, self._z = self._step(images, noise[share], drawn, ramps)
        loss = weighted_sum(terms)
        self._optimizer.zero_grad()
        self.machine.fabric.backward(loss)
        self._optimizer.step()
        more = {} if self._discriminator is None else self._discriminator.step(self.model, self._z)
        return Figures({**unweighted(terms), **more, "loss": loss.detach()}, axes)

    def summary(self, step: int) -> dict[str, float]:
        """More figures; see `Training`."""
        scales = other_scales(
            self.config.penalties, self.model.decoder, self._z, self.machine.fabric
        )
        rate = self.optimizers["vae"].param_groups[0]["lr"]
        return {**scales, "ramp": ramp_of(None, step, self.config), "learning_rate": rate}


class VAEStep(nn.Module):
    """Images in, weighted terms of the loss out: a module, for several processes to wrap.

    Args:
        vae: The network.
        objective: What it minimises.
        penalties: The terms on the decoder's Jacobian.
        gather: One process's codes → those of the whole batch; the same if there is one only.
        log_ratio: What FactorVAE's discriminator says of codes; None for other objectives.
    """

    def __init__(
        self,
        vae: VAE,
        objective: VAEObjective,
        penalties: list[JacobianTerm],
        gather: Callable[[Tensor], Tensor] = lambda codes: codes,
        log_ratio: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.vae, self.objective, self.penalties = vae, objective, penalties
        self.gather, self.log_ratio = gather, log_ratio

    def forward(
        self, images: Tensor, noise: Tensor, drawn: list[dict[str, Tensor]], ramps: list[float]
    ) -> tuple[WeightedTerms, Tensor, Tensor]:
        """Run a batch.

        Args:
            images: (batch, channel, height, width).
            noise: Standard normal, (batch, latent).
            drawn: What each penalty drew.
            ramps: How far the objective's, then each penalty's weight has risen, 0…1.

        Returns:
            The terms; each axis's KL divergence, (latent,), mean over the batch, nats; and the
            sampled codes, (batch, latent), cut off the graph.
        """
        mean, log_variance = (part.float() for part in self.vae.encoder(images))
        z = sample_codes(mean, log_variance, noise)
        penalised: WeightedTerms = {}
        logits = None
        for penalty, own, ramp in zip(self.penalties, drawn, ramps[1:], strict=True):
            jacobian = _jacobian(self.vae.decoder, z, penalty)
            penalised[penalty.label] = (ramp * penalty.weight, penalty(jacobian, **own))
            logits = _kept_logits(self.vae.decoder, jacobian) if logits is None else logits
        if logits is None:
            logits = decoder_logits(self.vae.decoder, z)
        ratio = None if self.log_ratio is None else self.log_ratio(z)
        codes = self.gather(mean), self.gather(log_variance), self.gather(z)
        batch = VAEPass(images, logits, *codes, ratio)
        axes = kl_divergence(mean.detach(), log_variance.detach()).mean(0)
        return self.objective(batch, ramps[0]) | penalised, axes, z.detach()


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


def _jacobian(decoder: nn.Module, z: Tensor, penalty: JacobianTerm) -> Jacobian:
    """Of the probabilities, or of hidden layers; in the same pass as the logits."""
    body = None if penalty.layers else _before_sigmoid(decoder)
    if body is None:
        return penalty.jacobian(decoder, z)
    return penalty.jacobian(body, z, then=nn.Sigmoid())


def _kept_logits(decoder: nn.Module, jacobian: Jacobian) -> Tensor:
    """`decoder_logits`, of the pass that a penalty has made."""
    output: Tensor = jacobian.output
    return _logit(output) if jacobian.generator is decoder else full_precision(output)


def _before_sigmoid(decoder: nn.Module) -> nn.Sequential | None:
    """A stack without the sigmoid that it ends in; None for anything else."""
    if isinstance(decoder, nn.Sequential) and isinstance(decoder[-1], nn.Sigmoid):
        return nn.Sequential(*list(decoder)[:-1])
    return None


def _logit(probabilities: Tensor) -> Tensor:
    return torch.logit(probabilities.float(), eps=1e-6)
