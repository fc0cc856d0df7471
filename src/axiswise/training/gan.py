"""Training a GAN."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from axiswise.nets import Generator
from axiswise.objectives import GeneratorPass, WeightedTerms
from axiswise.support.precision import full_precision
from axiswise.training.added import AddedTerms, Drawn
from axiswise.training.config import GANConfig
from axiswise.training.parts import (
    Figures,
    Machine,
    set_learning_rate,
    unweighted,
    weighted_sum,
)
from axiswise.training.stops import TrainingStoppedError

# Shares of the real images' spread over a batch below which generated ones are all alike, and
# spreads of a critic's scores outside of which it has nothing to say, or has lost itself. A critic
# of slope 1 cannot differ by more between two images than their distance, some hundreds.
_LEAST_VARIETY = 0.01
_LEAST_SPREAD, _MOST_SPREAD = 1e-6, 1e5
_EXACT_SAMPLES = 8  # of the batch, for the exact values of penalties in the log


class GANTraining:
    """A critic and a generator in turn, and the average of the generator.

    Args:
        config: The recipe.
        machine: Where it runs.
    """

    def __init__(self, config: GANConfig, machine: Machine) -> None:
        self.config, self.machine = config, machine
        fabric = machine.fabric
        critic = CriticStep(config.critic.train(), config)
        config.generator.train().to(fabric.device)
        self.added = AddedTerms(config.terms, config.generator, config.seed)
        generator = GeneratorStep(config, self.added)
        # Without an average (ema 0) it is the last generator that is copied each time.
        self.average = AveragedModel(
            config.generator, multi_avg_fn=get_ema_multi_avg_fn(config.ema)
        ).eval()
        self.model = cast(Generator, self.average.module)
        self.networks: dict[str, nn.Module] = {
            "critic": critic.critic,
            "generator": config.generator,
            "average": self.average,
            **self.added.parts,
        }
        adam = {
            name: torch.optim.Adam(
                module.parameters(), lr=config.learning_rate, betas=config.betas, fused=True
            )
            for name, module in (("critic", critic), ("generator", generator))
        }
        self.optimizers: dict[str, torch.optim.Optimizer] = {**adam, **self.added.optimizers}
        self._critic, self._of_critic = fabric.setup(critic, adam["critic"])
        self._generator, self._of_generator = fabric.setup(generator, adam["generator"])
        self.added.setup(machine)
        self._last: dict[str, Tensor] = {}

    def step(self, step: int) -> Figures:
        """Take a step of the critic, then one of the generator; see `Training`."""
        config, rng, share = self.config, self.machine.rng, self.machine.share
        fabric, batch = self.machine.fabric, config.batch_size
        for name in ("critic", "generator"):
            set_learning_rate(self.optimizers[name], step, config)

        draws = config.data.draw(batch, rng)
        z = torch.randn(batch, config.latent_dim, generator=rng, device=rng.device)
        mix = torch.rand(batch, generator=rng, device=rng.device)
        real = 2 * config.data.render(draws[share]) - 1
        with torch.no_grad(), fabric.autocast():
            fake = config.generator(z[share])
        terms, scores = self._critic(real, fake.to(real), mix[share])
        self._of_critic.zero_grad()
        fabric.backward(weighted_sum(terms))
        self._of_critic.step()

        z = torch.randn(batch, config.latent_dim, generator=rng, device=rng.device)
        drawn = self.added.draw(batch, config.latent_dim, rng, share)
        ramps = self.added.ramps(step, config)
        learned = [weight for weight in config.critic.parameters() if weight.requires_grad]
        for weight in learned:  # spares their gradients
            weight.requires_grad_(False)
        own, images = self._generator(z[share], drawn, ramps)
        loss = weighted_sum(own)
        self._of_generator.zero_grad()
        fabric.backward(loss)
        self._of_generator.step()
        for weight in learned:
            weight.requires_grad_(True)
        self.average.update_parameters(config.generator)

        self._last = {"real": real, "images": images, "scores": scores.detach(), "z": z[share]}
        return Figures(unweighted(terms) | unweighted(own) | {"loss": loss.detach()})

    def summary(self, step: int) -> dict[str, float]:
        """More figures; see `Training`.

        Args:
            step: Steps done before the last one.

        Returns:
            How much generated images vary over a batch, as a share of the real ones' variety; the
            spread of the critic's scores; the penalties in their other form; the learning rate.

        Raises:
            TrainingStoppedError: If the generator makes one image only, or the critic has collapsed
                or diverged.
        """
        variety = _spread(self._last["images"]) / _spread(self._last["real"])
        spread = self._last["scores"].float().std()
        everywhere = self.machine.fabric.all_reduce(torch.stack([variety, spread]))
        assert isinstance(everywhere, Tensor)
        variety_, spread_ = everywhere.tolist()
        _check_balance(step + 1, variety_, spread_)
        # All columns of some layers of a whole batch would not fit a GPU's memory.
        z = self._last["z"][:_EXACT_SAMPLES]
        scales = self.added.figures(z)
        rate = self.optimizers["generator"].param_groups[0]["lr"]
        return {"variety": variety_, "score_spread": spread_, **scales, "learning_rate": rate}


class CriticStep(nn.Module):
    """Real and generated images in, the critic's terms out: a module, for processes to wrap.

    Args:
        critic: The network.
        config: The recipe.
    """

    def __init__(self, critic: nn.Module, config: GANConfig) -> None:
        super().__init__()
        self.critic, self.objective = critic, config.objective

    def forward(self, real: Tensor, fake: Tensor, mix: Tensor) -> tuple[WeightedTerms, Tensor]:
        """Run a batch.

        Args:
            real: (batch, channel, height, width), in [−1, 1].
            fake: Of the same shape.
            mix: Uniform in [0, 1], (batch,).

        Returns:
            The terms, and all scores.
        """
        real, fake, mix = map(full_precision, (real, fake, mix))  # Fabric rounds what it passes on
        return self.objective.critic_terms(self.critic, real, fake, mix)


class GeneratorStep(nn.Module):
    """Latents in, the generator's terms out: a module, for processes to wrap.

    It holds the generator and the networks of added terms, which learn along with it.

    Args:
        config: The recipe.
        added: The terms added to the objective.
    """

    def __init__(self, config: GANConfig, added: AddedTerms) -> None:
        super().__init__()
        self.generator, self.added = config.generator, added
        self.config = config

    def forward(
        self, z: Tensor, drawn: Drawn, ramps: Mapping[str, float]
    ) -> tuple[WeightedTerms, Tensor]:
        """Run a batch.

        Args:
            z: (batch, latent).
            drawn: What each added term drew.
            ramps: How far the weight of each has risen, 0…1.

        Returns:
            The terms; and the images, cut off the graph.
        """
        made = GeneratorPass(self.generator, full_precision(z))  # Fabric rounds what it passes on
        added = self.added(made, drawn, ramps)
        terms = self.config.objective.generator_terms(self.config.critic(made.images))
        return terms | added, made.images.detach()


def _spread(images: Tensor) -> Tensor:
    """Standard deviation over the batch, mean over channels and pixels."""
    return images.float().std(0).mean()


def _check_balance(done: int, variety: float, spread: float) -> None:
    if variety < _LEAST_VARIETY:
        raise TrainingStoppedError(
            f"the generator has collapsed by step {done}: its images differ among each other by "
            f"{variety:.2g} times what the data's do; the last checkpoint may be good"
        )
    if not _LEAST_SPREAD < spread < _MOST_SPREAD:
        what = "collapsed" if spread <= _LEAST_SPREAD else "diverged"
        raise TrainingStoppedError(
            f"the critic has {what} by step {done}: its scores differ by {spread:.2g} over real "
            "and generated images; the last checkpoint may be good"
        )
