"""Training a GAN."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, cast

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
class AdversarialRecipe(Recipe):
    """The keys of all recipes that train a generator and a critic.

    Args:
        generator: The network; its image size and channels follow the data.
        critic: Images in [−1, 1] → scores (batch, 1); its size and channels follow the data.
        objective: What both minimise.
        betas: Adam's decay rates of the two moments.
    """

    generator: Callable[..., Generator]
    critic: Callable[..., nn.Module]
    objective: GANObjective = field(default_factory=WGANGP)
    betas: tuple[float, float] = (0.5, 0.999)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be at least 0 and below 1, got {self.betas}")
        if self.batch_size < 2 * self.devices:  # to see a collapse
            raise ValueError(
                f"batch_size must be at least 2 for each of the {self.devices} devices, "
                f"got {self.batch_size}"
            )


@dataclass(frozen=True, kw_only=True)
class GANRecipe(AdversarialRecipe):
    """A recipe that trains a GAN. The defaults are those of OroJaR's simple GAN.

    The critic's scores must be independent of each other.

    Args:
        ema: Decay of the generator's exponential moving average, the run's model, in [0, 1); 0
            for the last weights.
    """

    trainer: str = "gan"
    batch_size: int = 128
    learning_rate: float = 2e-4
    decay_start: float = 0.5
    ema: float = 0.999

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be at least 0 and below 1, got {self.ema}")


@trainer("gan")
class GANTrainer(Trainer):
    """A critic and a generator in turn, and the average of the generator.

    Attributes:
        apart: Whether the critic scores real and generated images in passes of their own.
        conditioning: Keyword arguments of both networks.
        decay: Of the average, as its next update has it.
        chunk_size: Latents times probes that a penalty takes through the generator at once; None
            for all.
    """

    recipe_type: ClassVar[type[Recipe]] = GANRecipe
    apart = False
    conditioning: Mapping[str, Any] = MappingProxyType({})
    decay = 0.0
    chunk_size: int | None = None

    def __init__(self, recipe: AdversarialRecipe) -> None:
        self.recipe: Any = recipe
        self.critic = recipe.build(recipe.critic)  # first: a seed keeps its weights
        self.generator = recipe.build(recipe.generator)
        self.added = AddedTerms(recipe.terms, self.generator, recipe.seed, self.critic)
        # With decay 0, a copy of the last generator.
        self.average = AveragedModel(
            self.generator,
            multi_avg_fn=lambda *given: get_ema_multi_avg_fn(self.decay)(*given),
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
        critic = CriticStep(self.critic.train(), self.added, recipe.objective, self.apart)
        generator = GeneratorStep(
            self.generator.train(), self.critic, self.added, recipe.objective, self.chunk_size
        )
        generator.to(place.fabric.device)
        of_critic, of_generator = (
            torch.optim.Adam(
                module.parameters(), lr=recipe.learning_rate, betas=recipe.betas, fused=True
            )
            for module in (critic, generator)
        )
        self._critic, self._of_critic = place.fabric.setup(critic, of_critic)
        self._generator, self._of_generator = place.fabric.setup(generator, of_generator)
        self._scheduled = {"critic": of_critic, "generator": of_generator}
        self.optimizers = {**self._scheduled, **self.added.optimizers}

    def step(self, step: int) -> Figures:
        """Take a step of the critic, then one of the generator; see `Trainer`."""
        recipe, share = self.recipe, self.place.share
        self.decay = recipe.ema
        self.set_rates(step)
        critic, _ = self.train_critic(step, recipe.batch_size, share)
        own, loss = self.train_generator(step, recipe.batch_size, share)
        self.average.update_parameters(self.generator)
        return Figures(critic | own | {"loss": loss})

    def set_rates(self, step: int) -> None:
        """Give both optimisers the rate of a step."""
        for optimizer in self._scheduled.values():
            set_learning_rate(optimizer, step, self.recipe)

    def shown(self, images: Tensor) -> Tensor:
        """What the critic is shown of real images in [0, 1]."""
        return 2 * images - 1

    def train_critic(
        self, step: int, batch: int, *shares: slice
    ) -> tuple[dict[str, Tensor], Tensor]:
        """A step of the critic on a batch, on some shares of it one after the other.

        Args:
            step: The steps done before it.
            batch: Images of the batch, over all processes.
            *shares: Those that this process has.

        Returns:
            The terms and the loss, means over the shares.
        """
        data, rng, given = self.recipe.data, self.place.rng, self.conditioning
        draws, z = data.draw(batch, rng), self._latents(batch)
        mix = torch.rand(batch, generator=rng, device=rng.device)
        ramps = self.added.ramps(step, self.recipe)

        def terms() -> Iterator[WeightedTerms]:
            for share in shares:
                real = self.shown(data.render(draws[share]))
                with torch.no_grad(), self.place.fabric.autocast():
                    fake = self.generator(z[share], **given)
                found, scores = self._critic(
                    real, fake.to(real), mix[share], z[share], ramps, given
                )
                self._last = {"real": real, "scores": scores.detach()}
                yield found

        return self._trained("critic", self._critic, self._of_critic, terms(), len(shares))

    def train_generator(
        self, step: int, batch: int, *shares: slice
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The same of the generator."""
        z = self._latents(batch)
        drawn = self.added.draw(batch, self.generator.latent_dim, self.place.rng, *shares)
        ramps = self.added.ramps(step, self.recipe)

        def terms() -> Iterator[WeightedTerms]:
            for share, own in zip(shares, drawn, strict=True):
                found, images = self._generator(z[share], own, ramps, self.conditioning)
                self._last |= {"images": images, "z": z[share]}
                yield found

        with _frozen(self.critic):
            module, optimizer = self._generator, self._of_generator
            return self._trained("generator", module, optimizer, terms(), len(shares))

    def _latents(self, batch: int) -> Tensor:
        rng = self.place.rng
        return torch.randn(batch, self.generator.latent_dim, generator=rng, device=rng.device)

    def _trained(
        self, name: str, module: Any, optimizer: Any, terms: Iterator[WeightedTerms], count: int
    ) -> tuple[dict[str, Tensor], Tensor]:
        """A step on the mean of so many shares' terms."""
        optimizer.zero_grad()
        values: list[dict[str, Tensor]] = []
        losses: list[Tensor] = []
        for number in range(1, count + 1):
            # Gradients of several processes are averaged with the last share's.
            with self.place.fabric.no_backward_sync(module, enabled=number < count):
                found = next(terms)
                loss = weighted_sum(found)
                self.place.fabric.backward(loss / count)
            values.append(unweighted(found))
            losses.append(loss.detach())
        self.take(name, optimizer)
        means = {key: torch.stack([each[key] for each in values]).mean() for key in values[0]}
        return means, torch.stack(losses).mean()

    def take(self, name: str, optimizer: torch.optim.Optimizer) -> None:  # noqa: ARG002
        """Take a step of the critic's or the generator's optimiser."""
        optimizer.step()

    def weights_of(self, model: Mapping[str, Tensor]) -> dict[str, Mapping[str, Tensor]]:
        """States of the generator and of its average; see `Trainer`."""
        average = {f"module.{name}": value for name, value in model.items()}
        # At 0, the average would become the generator after the first step.
        return {"generator": model, "average": {"n_averaged": torch.tensor(1), **average}}

    def summary(self, step: int) -> dict[str, float]:
        """Variety of the images, deviation of the scores, penalties in their other form, rate."""
        figures = self.balance()
        if self.checked():
            _check_balance(step + 1, *figures.values())
        # All columns of some layers of a whole batch would not fit a GPU's memory.
        z = self._last["z"][:_EXACT_SAMPLES]
        scales = self.added.figures(z, self.conditioning)
        rate = self.optimizers["generator"].param_groups[0]["lr"]
        return {**figures, **scales, "learning_rate": rate}

    def checked(self) -> bool:
        """Whether the last step says whether the training has failed."""
        return True

    def balance(self) -> dict[str, float]:
        """Variety of the last images, and deviation of the last scores; means over processes."""
        variety = _variation(self._last["images"]) / _variation(self._last["real"])
        deviation = self._last["scores"].float().std()
        means = self.place.fabric.all_reduce(torch.stack([variety, deviation]))
        assert isinstance(means, Tensor)
        return dict(zip(("variety", "score_spread"), means.tolist(), strict=True))


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Within it, a network's weights get no gradients, which spares their computation."""
    learned = [weight for weight in network.parameters() if weight.requires_grad]
    for weight in learned:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in learned:
            weight.requires_grad_(True)


class CriticStep(nn.Module):
    """The critic's terms as a module, for several processes to wrap."""

    def __init__(
        self,
        critic: nn.Module,
        added: AddedTerms,
        objective: GANObjective,
        apart: bool = False,
    ) -> None:
        super().__init__()
        self.critic, self.objective, self.apart = critic, objective, apart
        self._added = added.of_critic  # a method: the terms are no part of this module

    def forward(
        self,
        real: Tensor,
        fake: Tensor,
        mix: Tensor,
        z: Tensor,
        ramps: Mapping[str, float],
        conditioning: Mapping[str, Any],
    ) -> tuple[WeightedTerms, Tensor]:
        """The terms, given the latents of generated images and the ramps; and all scores."""
        real, fake, mix, z = map(full_precision, (real, fake, mix, z))  # Fabric rounds arguments
        size = len(real) if self.apart else 2 * len(real)

        def critic(images: Tensor) -> Tensor:
            passes = [self.critic(some, **conditioning) for some in images.split(size)]
            return torch.cat(passes) if len(passes) > 1 else passes[0]

        terms, scores = self.objective.critic_terms(critic, real, fake, mix)
        return terms | self._added(partial(self._guesses, fake, conditioning), z, ramps), scores

    def _guesses(self, fake: Tensor, conditioning: Mapping[str, Any]) -> Tensor:
        return judged(self.critic, fake, **conditioning)[1]


class GeneratorStep(nn.Module):
    """The generator's terms as a module, with the networks that learn along but not the critic."""

    def __init__(
        self,
        generator: Generator,
        critic: nn.Module,
        added: AddedTerms,
        objective: GANObjective,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        self.generator, self.added, self.objective = generator, added, objective
        self.chunk_size = chunk_size
        self._critic = (critic,)  # in a tuple: not a part of this module

    def forward(
        self, z: Tensor, drawn: Drawn, ramps: Mapping[str, float], conditioning: Mapping[str, Any]
    ) -> tuple[WeightedTerms, Tensor]:
        """The terms at latents (batch, latent), by what terms drew and ramps; and the images."""
        (critic,) = self._critic
        z = full_precision(z)  # Fabric rounds arguments
        made = GeneratorPass(
            self.generator, z, conditioning, critic=critic, chunk_size=self.chunk_size
        )
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
