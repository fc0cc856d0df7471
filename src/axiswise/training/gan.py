"""Training a GAN."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from axiswise.nets import Generator
from axiswise.objectives import WGANGP, GANObjective, GeneratorPass, WeightedTerms
from axiswise.support.precision import full_precision
from axiswise.training.added import AddedTerms, Drawn
from axiswise.training.parts import (
    set_learning_rate,
    unweighted,
    weighted_sum,
)
from axiswise.training.stops import TrainingStoppedError
from axiswise.training.trainer import Figures, Place, Recipe, Trainer, trainer

# Shares of the real images' spread over a batch below which generated ones are all alike, and
# spreads of a critic's scores outside of which it has nothing to say, or has lost itself. A critic
# of slope 1 cannot differ by more between two images than their distance, some hundreds.
_LEAST_VARIETY = 0.01
_LEAST_SPREAD, _MOST_SPREAD = 1e-6, 1e5
_EXACT_SAMPLES = 8  # of the batch, for the exact values of penalties in the log


@dataclass(frozen=True, kw_only=True)
class GANRecipe(Recipe):
    """A recipe that trains a GAN. The defaults are those of OroJaR's simple GAN.

    Args:
        generator: The network; its image size and channels follow the data.
        critic: Images in [−1, 1] → scores (batch, 1), each image's by itself; size and channels
            follow the data.
        objective: What both minimise.
        betas: Adam's decay rates of the two moments.
        ema: Decay of the generator's exponential moving average, which is what the run gives, in
            [0, 1); 0 for the last weights as they are.
    """

    trainer: str = "gan"
    generator: Callable[..., Generator]
    critic: Callable[..., nn.Module]
    objective: GANObjective = field(default_factory=WGANGP)
    batch_size: int = 128
    learning_rate: float = 2e-4
    decay_start: float = 0.5
    betas: tuple[float, float] = (0.5, 0.999)
    ema: float = 0.999

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be at least 0 and below 1, got {self.ema}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be at least 0 and below 1, got {self.betas}")
        if self.batch_size < 2 * self.devices:  # a collapse is told by images that differ
            raise ValueError(
                f"batch_size must be at least 2 for each of the {self.devices} devices, "
                f"got {self.batch_size}"
            )


@trainer("gan")
class GANTrainer(Trainer):
    """A critic and a generator in turn, and the average of the generator."""

    recipe_type = GANRecipe

    def __init__(self, recipe: GANRecipe) -> None:
        self.recipe: GANRecipe = recipe
        self.critic = recipe.build(recipe.critic)  # first, as every seed so far had it
        self.generator = recipe.build(recipe.generator)
        self.added = AddedTerms(recipe.terms, self.generator, recipe.seed)
        # Without an average (ema 0) it is the last generator that is copied each time.
        self.average = AveragedModel(
            self.generator, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema)
        ).eval()
        self.model = cast(Generator, self.average.module)
        self.networks = {
            "critic": self.critic,
            "generator": self.generator,
            "average": self.average,
            **self.added.parts,
        }

    def setup(self, place: Place) -> None:
        """Bring the networks to the device, and make the optimisers; see `Trainer`."""
        self.place, recipe = place, self.recipe
        self.average.to(place.fabric.device)
        self.added.setup(place)
        critic = CriticStep(self.critic.train(), recipe.objective)
        generator = GeneratorStep(self.generator.train(), self.critic, self.added, recipe.objective)
        generator.to(place.fabric.device)
        of_critic, of_generator = (
            torch.optim.Adam(
                module.parameters(), lr=recipe.learning_rate, betas=recipe.betas, fused=True
            )
            for module in (critic, generator)
        )
        self._critic, self._of_critic = place.fabric.setup(critic, of_critic)
        self._generator, self._of_generator = place.fabric.setup(generator, of_generator)
        self._scheduled = of_critic, of_generator
        self.optimizers = {"critic": of_critic, "generator": of_generator, **self.added.optimizers}

    def step(self, step: int) -> Figures:
        """Take a step of the critic, then one of the generator; see `Trainer`."""
        recipe, rng, share = self.recipe, self.place.rng, self.place.share
        fabric, batch = self.place.fabric, recipe.batch_size
        latent = self.generator.latent_dim
        for optimizer in self._scheduled:
            set_learning_rate(optimizer, step, recipe)

        draws = recipe.data.draw(batch, rng)
        z = torch.randn(batch, latent, generator=rng, device=rng.device)
        mix = torch.rand(batch, generator=rng, device=rng.device)
        real = 2 * recipe.data.render(draws[share]) - 1
        with torch.no_grad(), fabric.autocast():
            fake = self.generator(z[share])
        terms, scores = self._critic(real, fake.to(real), mix[share])
        self._of_critic.zero_grad()
        fabric.backward(weighted_sum(terms))
        self._of_critic.step()

        z = torch.randn(batch, latent, generator=rng, device=rng.device)
        drawn = self.added.draw(batch, latent, rng, share)
        ramps = self.added.ramps(step, recipe)
        learned = [weight for weight in self.critic.parameters() if weight.requires_grad]
        for weight in learned:  # spares their gradients
            weight.requires_grad_(False)
        own, images = self._generator(z[share], drawn, ramps)
        loss = weighted_sum(own)
        self._of_generator.zero_grad()
        fabric.backward(loss)
        self._of_generator.step()
        for weight in learned:
            weight.requires_grad_(True)
        self.average.update_parameters(self.generator)

        self._last = {"real": real, "images": images, "scores": scores.detach(), "z": z[share]}
        return Figures(unweighted(terms) | unweighted(own) | {"loss": loss.detach()})

    def summary(self, step: int) -> dict[str, float]:
        """More figures; see `Trainer`.

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
        everywhere = self.place.fabric.all_reduce(torch.stack([variety, spread]))
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
        objective: What it minimises.
    """

    def __init__(self, critic: nn.Module, objective: GANObjective) -> None:
        super().__init__()
        self.critic, self.objective = critic, objective

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
        generator: The network.
        critic: What gives its images scores; no part of this module.
        added: The terms added to the objective.
        objective: What the generator minimises.
    """

    def __init__(
        self,
        generator: Generator,
        critic: Callable[[Tensor], Tensor],
        added: AddedTerms,
        objective: GANObjective,
    ) -> None:
        super().__init__()
        self.generator, self.added, self.objective = generator, added, objective
        self._critic = (critic,)  # in a tuple: it is no part of this module

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
        (critic,) = self._critic
        terms = self.objective.generator_terms(critic(made.images))
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
