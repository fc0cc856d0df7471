"""Training a VAE."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from axiswise.nets import VAE
from axiswise.objectives import (
    GeneratorPass,
    VAEObjective,
    VAEPass,
    WeightedTerms,
    kl_divergence,
    sample_codes,
)
from axiswise.support.precision import full_precision
from axiswise.training.added import AddedTerms, Drawn
from axiswise.training.config import VAEConfig
from axiswise.training.parts import (
    Figures,
    Machine,
    ramp_of,
    set_learning_rate,
    unweighted,
    weighted_sum,
    whole_batch,
)


class VAETraining:
    """Encoder, decoder and the networks of added terms by one optimiser; opponents by their own.

    Args:
        config: The recipe.
        machine: Where it runs.
    """

    def __init__(self, config: VAEConfig, machine: Machine) -> None:
        self.config, self.machine = config, machine
        self.model = config.model.to(machine.fabric.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.added = AddedTerms(config.terms, self.model, config.seed)
        gather = partial(whole_batch, fabric=machine.fabric)
        module = VAEStep(self.model.train(), config.objective, self.added, gather)
        optimizer = torch.optim.Adam(module.parameters(), lr=config.learning_rate, fused=True)
        self._step, self._optimizer = machine.fabric.setup(module, optimizer)
        self.added.setup(machine)
        self.networks: dict[str, nn.Module] = {"vae": self.model, **self.added.parts}
        self.optimizers = {"vae": optimizer, **self.added.optimizers}
        self._z = torch.empty(0)

    def step(self, step: int) -> Figures:
        """Take a step; see `Training`."""
        config, rng, share = self.config, self.machine.rng, self.machine.share
        set_learning_rate(self.optimizers["vae"], step, config)
        shape = (config.batch_size, self.model.latent_dim)
        draws = config.data.draw(config.batch_size, rng)
        noise = torch.randn(shape, generator=rng, device=rng.device)
        drawn = self.added.draw(*shape, rng, share)
        images = config.data.render(draws[share])

        ramp, ramps = ramp_of(None, step, config), self.added.ramps(step, config)
        terms, axes, self._z = self._step(images, noise[share], drawn, ramp, ramps)
        loss = weighted_sum(terms)
        self._optimizer.zero_grad()
        self.machine.fabric.backward(loss)
        self._optimizer.step()
        more = self.added.train_opponents(self._z, self._codes)
        return Figures({**unweighted(terms), **more, "loss": loss.detach()}, axes)

    def summary(self, step: int) -> dict[str, float]:
        """More figures; see `Training`."""
        rate = self.optimizers["vae"].param_groups[0]["lr"]
        ramp = ramp_of(None, step, self.config)
        return {**self.added.figures(self._z), "ramp": ramp, "learning_rate": rate}

    @torch.no_grad()
    def _codes(self) -> Tensor:
        """Codes of another batch, the whole of it."""
        config, rng, share = self.config, self.machine.rng, self.machine.share
        draws = config.data.draw(config.batch_size, rng)
        noise = torch.randn(
            config.batch_size, self.model.latent_dim, generator=rng, device=rng.device
        )
        with self.machine.fabric.autocast():
            codes = self.model.encoder(config.data.render(draws[share]))
        mean, log_variance = (full_precision(part) for part in codes)
        return whole_batch(sample_codes(mean, log_variance, noise[share]), self.machine.fabric)


class VAEStep(nn.Module):
    """Images in, weighted terms of the loss out: a module, for several processes to wrap.

    Args:
        vae: The network.
        objective: What it minimises.
        added: Terms added to that.
        gather: One process's codes → those of the whole batch; the same if there is one only.
    """

    def __init__(
        self,
        vae: VAE,
        objective: VAEObjective,
        added: AddedTerms,
        gather: Callable[[Tensor], Tensor] = lambda codes: codes,
    ) -> None:
        super().__init__()
        self.vae, self.objective, self.added, self.gather = vae, objective, added, gather

    def forward(
        self, images: Tensor, noise: Tensor, drawn: Drawn, ramp: float, ramps: Mapping[str, float]
    ) -> tuple[WeightedTerms, Tensor, Tensor]:
        """Run a batch.

        Args:
            images: (batch, channel, height, width).
            noise: Standard normal, (batch, latent).
            drawn: What each added term drew.
            ramp: How far the objective's weights have risen, 0…1.
            ramps: How far each added term's weight has.

        Returns:
            The terms; each axis's KL divergence, (latent,), mean over the batch, nats; and the
            sampled codes, (batch, latent), cut off the graph.
        """
        mean, log_variance = (part.float() for part in self.vae.encoder(images))
        made = GeneratorPass(self.vae, sample_codes(mean, log_variance, noise))
        added = self.added(made, drawn, ramps)
        codes = self.gather(mean), self.gather(log_variance), self.gather(made.z)
        terms = self.objective(VAEPass(images, made.output, *codes), ramp)
        axes = kl_divergence(mean.detach(), log_variance.detach()).mean(0)
        return terms | added, axes, made.z.detach()
