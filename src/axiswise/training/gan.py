"""Training a GAN."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from axiswise.nets import Generator
from axiswise.objectives import (
    WGANGP,
    GANObjective,
    GeneratorPass,
    WeightedTerms,
    judged,
)
from axiswise.support.precision import full_precision
from axiswise.training.added import AddedTerms, Drawn
from axiswise.training.parts import (
    set_learning_rate,
    unweighted,
    weighted_sum,
)
from axiswise.training.stops import TrainingStoppedError
from axiswise.training.trainer import Figures, Place, Recipe, Trainer, trainer

# A generator has collapsed if its images vary less than this share of what real ones do, a critic
# has collapsed or diverged if the standard deviation of its scores is outside these bounds. For a
# critic of slope 1 it is at most the images' distance, some hundreds.
_LEAST_VARIETY = 0.01
_LEAST_DEVIATION, _MOST_DEVIATION = 1e-6, 1e5
_EXACT_SAMPLES = 8  # of the batch, for the exact values of penalties in the log


@dataclass(frozen=True, kw_only=True)
class GANRecipe(Recipe):
    """A recipe that trains a GAN. The defaults are those of OroJaR's simple GAN.

    Args:
        generator: The network; its image size and channels follow the data.
        critic: Images in [−1, 1] → scores (batch, 1), independent of each other; its size and
            channels follow the data.
        objective: What both minimise.
        betas: Adam's decay rates of the two moments.
        ema: Decay of the generator's exponential moving average, the run's model, in [0, 1); 0
            for the last weights.
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
        if self.batch_size < 2 * self.devices:  # to see a collapse
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
        self.critic = recipe.build(recipe.critic)  # first: a seed keeps its weights
        self.generator = recipe.build(recipe.generator)
        self.added = AddedTerms(recipe.terms, self.generator, recipe.seed, self.critic)
        # With ema 0, a copy of the last generator.
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
        critic = CriticStep(self.critic.train(), self.added, recipe.objective)
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
        ramps = self.added.ramps(step, recipe)
        terms, scores = self._critic(real, fake.to(real), mix[share], z[share], ramps)
        self._of_critic.zero_grad()
        fabric.backward(weighted_sum(terms))
        self._of_critic.step()

        z = torch.randn(batch, latent, generator=rng, device=rng.device)
        drawn = self.added.draw(batch, latent, rng, share)
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

    def weights_of(self, model: Mapping[str, Tensor]) -> dict[str, Mapping[str, Tensor]]:
        """States of the generator and of its average; see `Trainer`."""
        average = {f"module.{name}": value for name, value in model.items()}
        # At 0, the average would become the generator after the first step.
        return {"generator": model, "average": {"n_averaged": torch.tensor(1), **average}}

    def summary(self, step: int) -> dict[str, float]:
        """Variety of the images, deviation of the scores, penalties in their other form, rate."""
        variety = _variation(self._last["images"]) / _variation(self._last["real"])
        deviation = self._last["scores"].float().std()
        means = self.place.fabric.all_reduce(torch.stack([variety, deviation]))
        assert isinstance(means, Tensor)
        figures = dict(zip(("variety", "score_spread"), means.tolist(), strict=True))
        _check_balance(step + 1, *figures.values())
        # All columns of some layers of a whole batch would not fit a GPU's memory.
        z = self._last["z"][:_EXACT_SAMPLES]
        scales = self.added.figures(z)
        rate = self.optimizers["generator"].param_groups[0]["lr"]
        return {**figures, **scales, "learning_rate": rate}


class CriticStep(nn.Module):
    """The critic's terms as a module, for several processes to wrap."""

    def __init__(self, critic: nn.Module, added: AddedTerms, objective: GANObjective) -> None:
        super().__init__()
        self.critic, self.objective = critic, objective
        self._added = added.of_critic  # a method: the terms are no part of this module

    def forward(
        self, real: Tensor, fake: Tensor, mix: Tensor, z: Tensor, ramps: Mapping[str, float]
    ) -> tuple[WeightedTerms, Tensor]:
        """The terms, given the latents of generated images and the ramps; and all scores."""
        real, fake, mix, z = map(full_precision, (real, fake, mix, z))  # Fabric rounds arguments
        terms, scores = self.objective.critic_terms(self.critic, real, fake, mix)
        return terms | self._added(lambda: judged(self.critic, fake)[1], z, ramps), scores


class GeneratorStep(nn.Module):
    """The generator's terms as a module, with the networks that learn along but not the critic."""

    def __init__(
        self,
        generator: Generator,
        critic: nn.Module,
        added: AddedTerms,
        objective: GANObjective,
    ) -> None:
        super().__init__()
        self.generator, self.added, self.objective = generator, added, objective
        self._critic = (critic,)  # in a tuple: not a part of this module

    def forward(
        self, z: Tensor, drawn: Drawn, ramps: Mapping[str, float]
    ) -> tuple[WeightedTerms, Tensor]:
        """The terms at latents (batch, latent), by what terms drew and ramps; and the images."""
        (critic,) = self._critic
        z = full_precision(z)  # Fabric rounds arguments
        made = GeneratorPass(self.generator, z, critic=critic)
        added = self.added(made, drawn, ramps)
        terms = self.objective.generator_terms(made.judged[0])
        return terms | added, made.images.detach()


def _variation(images: Tensor) -> Tensor:
    """Standard deviation over the batch, mean over channels and pixels."""
    return images.float().std(0).mean()


def _check_balance(done: int, variety: float, deviation: float) -> None:
    if variety < _LEAST_VARIETY:
        raise TrainingStoppedError(
            f"the generator has collapsed by step {done}: its images vary by "
            f"{variety:.2g} times what the data's do"
        )
    if not _LEAST_DEVIATION < deviation < _MOST_DEVIATION:
        what = "collapsed" if deviation <= _LEAST_DEVIATION else "diverged"
        raise TrainingStoppedError(
            f"the critic has {what} by step {done}: its scores differ by {deviation:.2g} over real "
            "and generated images"
        )
