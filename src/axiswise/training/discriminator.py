"""Training FactorVAE's discriminator."""

import torch
from torch import Tensor
from torch.func import functional_call

from axiswise.nets import VAE
from axiswise.objectives import (
    FactorVAE,
    discriminator_loss,
    draw_order,
    log_density_ratio,
    permuted,
    sample_codes,
)
from axiswise.support.precision import full_precision
from axiswise.training.config import VAEConfig
from axiswise.training.parts import Machine, whole_batch

_BETAS = (0.5, 0.9)  # of Adam, as published


class DiscriminatorTraining:
    """A discriminator of codes, which takes a step after each of the VAE's.

    Args:
        objective: The config's.
        config: The recipe.
        machine: Where it runs.
    """

    def __init__(self, objective: FactorVAE, config: VAEConfig, machine: Machine) -> None:
        self.config, self.machine = config, machine
        with torch.random.fork_rng(devices=[]):  # it follows from the seed too
            torch.manual_seed(config.seed)
            self.network = objective.network(config.latent_dim)
        self.network.to(machine.fabric.device)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=objective.learning_rate, betas=_BETAS, fused=True
        )
        self._network, self._optimizer = machine.fabric.setup(self.network, self.optimizer)

    def log_ratio(self, z: Tensor) -> Tensor:
        """What it says of codes; only they get gradients.

        Args:
            z: (batch, latent).

        Returns:
            Logarithms of density ratios, (batch,), nats.
        """
        weights = {name: weight.detach() for name, weight in self.network.named_parameters()}
        return log_density_ratio(functional_call(self.network, weights, (z,)))

    def step(self, vae: VAE, z: Tensor) -> dict[str, Tensor]:
        """Take a step.

        Args:
            vae: The network, which permuted codes of a second batch are taken of.
            z: This process's codes of the first one, (batch, latent).

        Returns:
            Its loss by name, nats, to be logged.
        """
        others = self._permuted_codes(vae)
        logits, permuted_logits = self._network(torch.cat([z, others])).chunk(2)
        loss = discriminator_loss(logits, permuted_logits)
        self._optimizer.zero_grad()
        self.machine.fabric.backward(loss)
        self._optimizer.step()
        return {"discriminator": loss.detach()}

    @torch.no_grad()
    def _permuted_codes(self, vae: VAE) -> Tensor:
        """This process's share of a second batch, permuted as a whole."""
        config, rng, share = self.config, self.machine.rng, self.machine.share
        shape = (config.batch_size, config.latent_dim)
        draws = config.data.draw(config.batch_size, rng)
        noise = torch.randn(shape, generator=rng, device=rng.device)
        order = draw_order(*shape, rng)
        with self.machine.fabric.autocast():
            codes = vae.encoder(config.data.render(draws[share]))
        mean, log_variance = (full_precision(part) for part in codes)
        z = sample_codes(mean, log_variance, noise[share])
        return permuted(whole_batch(z, self.machine.fabric), order[share])
