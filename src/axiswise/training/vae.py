"""Training a VAE."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from axiswise.nets import VAE
from axiswise.objectives import (
    BetaVAE,
    GeneratorPass,
    VAEObjective,
    VAEPass,
    WeightedTerms,
    kl_divergence,
    sample_codes,
)
from axiswise.support.precision import full_precision
from axiswise.training.added import AddedTerms, Drawn
from axiswise.training.parts import (
    ramp_of,
    set_learning_rate,
    unweighted,
    weighted_sum,
    whole_batch,
)
from axiswise.training.trainer import Figures, Place, Recipe, Trainer, trainer


@dataclass(frozen=True, kw_only=True)
class VAERecipe(Recipe):
    """A recipe that trains a VAE. The defaults are JL1-VAE's experiment on three-dots.

    `anneal` and `delay` apply to the objective's weights too (AnnealedVAE: its capacity): from the
    first step, even a small β would make all codes collapse for good. With `init`, they
    apply to added terms alone.

    Args:
        model: The network; its image size and channels follow the data.
        objective: What it minimises.
    """

    trainer: str = "vae"
    model: Callable[..., VAE]
    objective: VAEObjective = field(default_factory=BetaVAE)
    anneal: float = 1 / 3


@trainer("vae")
class VAETrainer(Trainer):
    """Trains encoder, decoder and the networks of added terms by one optimiser."""

    recipe_type = VAERecipe

    def __init__(self, recipe: VAERecipe) -> None:
        self.recipe: VAERecipe = recipe
        self.model: VAE = recipe.build(recipe.model)
        self.added = AddedTerms(recipe.terms, self.model, recipe.seed)
        self.networks = {"vae": self.model, **self.added.parts}

    def setup(self, place: Place) -> None:
        """Bring the networks to the device, and make the optimisers; see `Trainer`."""
        self.place, recipe = place, self.recipe
        self.model.to(place.fabric.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.added.setup(place)
        gather = partial(whole_batch, fabric=place.fabric)
        module = VAEStep(self.model.train(), recipe.objective, self.added, gather)
        optimizer = torch.optim.Adam(module.parameters(), lr=recipe.learning_rate, fused=True)
        self._step, self._optimizer = place.fabric.setup(module, optimizer)
        self.optimizers = {"vae": optimizer, **self.added.optimizers}

    def step(self, step: int) -> Figures:
        """Take a step; see `Trainer`."""
        recipe, rng, share = self.recipe, self.place.rng, self.place.share
        set_learning_rate(self.optimizers["vae"], step, recipe)
        shape = (recipe.batch_size, self.model.latent_dim)
        draws = recipe.data.draw(recipe.batch_size, rng)
        noise = torch.randn(shape, generator=rng, device=rng.device)
        (drawn,) = self.added.draw(*shape, rng, share)
        images = recipe.data.render(draws[share])

        # What is trained already would forget it while the weights are small.
        ramp = ramp_of(None, step, recipe) if recipe.init is None else 1.0
        ramps = self.added.ramps(step, recipe)
        terms, axes, self._z = self._step(images, noise[share], drawn, ramp, ramps)
        loss = weighted_sum(terms)
        self._optimizer.zero_grad()
        self.place.fabric.backward(loss)
        self._optimizer.step()
        more = self.added.train_opponents(self._z, self._codes)
        return Figures({**unweighted(terms), **more, "loss": loss.detach()}, axes)

    def summary(self, step: int) -> dict[str, float]:
        """More figures; see `Trainer`."""
        rate = self.optimizers["vae"].param_groups[0]["lr"]
        ramp = ramp_of(None, step, self.recipe)
        return {**self.added.figures(self._z), "ramp": ramp, "learning_rate": rate}

    @torch.no_grad()
    def _codes(self) -> Tensor:
        """Codes of another batch, the whole of it."""
        recipe, rng, share = self.recipe, self.place.rng, self.place.share
        draws = recipe.data.draw(recipe.batch_size, rng)
        noise = torch.randn(
            recipe.batch_size, self.model.latent_dim, generator=rng, device=rng.device
        )
        with self.place.fabric.autocast():
            codes = self.model.encoder(recipe.data.render(draws[share]))
        mean, log_variance = (full_precision(part) for part in codes)
        return whole_batch(sample_codes(mean, log_variance, noise[share]), self.place.fabric)


class VAEStep(nn.Module):
    """The terms of the loss as a module, for several processes to wrap.

    Args:
        vae: The network.
        objective: What it minimises.
        added: Terms added to that.
        gather: One process's codes → those of the whole batch.
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
            ramp: Of the objective's weights, 0…1.
            ramps: Of each added term's.

        Returns:
            The terms; each axis's KL divergence, (latent,), mean over the batch, nats; and the
            sampled codes, (batch, latent), detached.
        """
        mean, log_variance = (part.float() for part in self.vae.encoder(images))
        made = GeneratorPass(self.vae, sample_codes(mean, log_variance, noise))
        added = self.added(made, drawn, ramps)
        codes = self.gather(mean), self.gather(log_variance), self.gather(made.z)
        terms = self.objective(VAEPass(images, made.output, *codes), ramp)
        axes = kl_divergence(mean.detach(), log_variance.detach()).mean(0)
        return terms | added, axes, made.z.detach()
