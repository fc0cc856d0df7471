"""Training a GAN that grows, side after side, as the progressive GAN does.

Karras et al., ICLR 2018, arXiv 1710.10196, in the form of the programs of the Hessian Penalty
(arXiv 2008.10599) and OroJaR (arXiv 2108.07668).
"""

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import get_total_norm

from axiswise.objectives import GANObjective, ProgressiveWGANGP
from axiswise.support.checks import check_range
from axiswise.training.gan import AdversarialRecipe, GANTrainer
from axiswise.training.stops import TrainingStoppedError
from axiswise.training.trainer import Figures, trainer

_FIRST = 4  # the smallest side
_GROUP = 4  # images that a critic compares
_MOST_SKIPPED = 10  # steps in a row


class Moment(NamedTuple):
    """Where a training stands.

    Attributes:
        images: Real ones shown so far.
        lod: Level of detail, of `ProgressiveGenerator`.
        side: Height and width of what is computed.
        batch: Images of a step.
    """

    images: int
    lod: float
    side: int
    batch: int


class Schedule:
    """When a growing GAN grows: each side has images while it is stable, then the next fades in.

    Args:
        size: Height and width of the images in the end.
        stable: Images for each side, ≥ 0.
        fading: Images while a side fades in, ≥ 0; with `stable` at least 1.
        batches: Images of a step at 4, 8, … pixels; the last is that of all further sides.
        repeats: Steps from one look at the schedule to the next.
        first: The side that it grows from, at most `size`.
    """

    def __init__(
        self,
        size: int,
        stable: int,
        fading: int,
        batches: Sequence[int],
        repeats: int,
        first: int = _FIRST,
    ) -> None:
        self.size, self.stable, self.fading = size, stable, fading
        self.batches, self.repeats, self.first = batches, repeats, first
        self._levels = size.bit_length() - first.bit_length()

    def at_images(self, images: int) -> Moment:
        """Where a training stands that has shown so many real images."""
        done, phase = divmod(images, self.stable + self.fading)
        lod = float(self._levels - done)
        if self.fading:
            lod -= max(phase - self.stable, 0) / self.fading
        lod = max(lod, 0.0)
        side = self.first * 2 ** (self._levels - math.floor(lod))
        number = side.bit_length() - _FIRST.bit_length()
        return Moment(images, lod, side, self.batches[min(number, len(self.batches) - 1)])

    @cached_property
    def _looks(self) -> list[Moment]:
        """All looks at the schedule up to the first at full size."""
        looks = [self.at_images(0)]
        while looks[-1].lod > 0:
            looks.append(self.at_images(self._after(looks[-1])))
        return looks

    def _after(self, look: Moment) -> int:
        return look.images + self.repeats * look.batch

    def at_step(self, step: int) -> Moment:
        """What the last look at the schedule gave, after so many steps."""
        look, last = step // self.repeats, len(self._looks) - 1
        if look <= last:
            return self._looks[look]
        whole = self._looks[last]
        return whole._replace(images=whole.images + (look - last) * self.repeats * whole.batch)

    def images_at(self, step: int) -> int:
        """Real images shown in so many steps."""
        look = self.at_step(step)
        return look.images + step % self.repeats * look.batch

    def steps_for(self, images: int) -> int:
        """Steps in which at least so many real images are shown, whole looks at the schedule."""
        for number, look in enumerate(self._looks):
            if look.images >= images:
                return number * self.repeats
        last = self._looks[-1]
        more = math.ceil((images - last.images) / (self.repeats * last.batch))
        return (len(self._looks) - 1 + more) * self.repeats

    def changes_at(self, step: int) -> bool:
        """Whether floor or ceiling of the lod change with a step."""
        if step == 0 or step % self.repeats:
            return False
        before, now = self.at_step(step - 1).lod, self.at_step(step).lod
        return (math.floor(before), math.ceil(before)) != (math.floor(now), math.ceil(now))


@dataclass(frozen=True, kw_only=True)
class ProgressiveRecipe(AdversarialRecipe):
    """A recipe that trains a GAN that grows. The defaults are those of OroJaR's progressive GAN.

    Generator and critic are called with a keyword argument `lod`, as `ProgressiveGenerator` is.
    `anneal`, `delay` and `decay_start` are shares of the real images shown instead of the steps.

    Args:
        steps: Training steps, each of the critic and then of the generator; as many as `images`
            needs if 0.
        images: Real images shown to the critic in all.
        batch_size: Images per step at the data's own size, over all processes. Smaller sides have
            more, in the proportions of `batch_sizes`.
        batch_sizes: The published images per step at 4, 8, 16, … pixels.
        parts: Parts of a batch, a multiple of `devices`. Each passes through the networks by
            itself, one after the other in a process, and gradients are averaged over them: the
            published four GPUs. Images are compared within a part, by the critic and by a penalty
            with reduction "max".
        stable_images: Real images for each side before the next fades in.
        fading_images: Real images while a side fades in.
        repeats: Steps from one look at this schedule to the next.
        half_life: Of the generator's average, the run's model, in real images; 0 for the last
            weights.
        chunk_size: Bound on the latents times probes that a penalty takes through the generator at
            once, within a part: less memory, more time, the same result. No bound if null.
    """

    trainer: str = "progressive"
    objective: GANObjective = field(default_factory=ProgressiveWGANGP)
    steps: int = 0
    images: int = 50_000_000
    batch_size: int = 96
    batch_sizes: tuple[int, ...] = (2048, 1024, 512, 256, 128, 96)
    parts: int = 4
    stable_images: int = 600_000
    fading_images: int = 600_000
    repeats: int = 4
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.0, 0.99)
    half_life: float = 10_000.0
    chunk_size: int | None = None

    def __post_init__(self) -> None:
        check_range(self, "≥ 0", "steps", "stable_images", "fading_images", "half_life")
        check_range(self, "at least 1", "images", "parts", "repeats", "batch_size", "chunk_size")
        if not self.batch_sizes or min(self.batch_sizes) < 1:
            raise ValueError(f"batch_sizes must be numbers ≥ 1, got {self.batch_sizes}")
        if self.stable_images + self.fading_images < 1:
            raise ValueError("stable_images and fading_images must not both be 0")
        if self.parts % self.devices:
            raise ValueError(
                f"parts must be a multiple of devices = {self.devices}, got {self.parts}"
            )
        own = self.batch_size // self.parts
        if self.batch_size % self.parts or own < 2 or (own > _GROUP and own % _GROUP):
            raise ValueError(
                f"batch_size must give each of the {self.parts} parts 2, 3 or a multiple of "
                f"{_GROUP} images, which the critic compares; got {self.batch_size}"
            )
        if not self.steps:
            object.__setattr__(self, "steps", self.schedule.steps_for(self.images))
        super().__post_init__()

    @cached_property
    def schedule(self) -> Schedule:
        """When it grows; what starts from another run's weights is at full size."""
        size = self.data.shape[1]
        first = _FIRST if self.init is None else size
        growth = self.stable_images, self.fading_images
        return Schedule(size, *growth, self._batches(size), self.repeats, first)

    def _batches(self, size: int) -> list[int]:
        """Images of a step at each side; a part has whole groups of those that are compared."""
        number = max(size.bit_length() - _FIRST.bit_length(), 0)
        given = [self.batch_sizes[min(i, len(self.batch_sizes) - 1)] for i in range(number + 1)]
        found = []
        for published in given[:-1]:
            own = published * self.batch_size // (given[-1] * self.parts)
            found.append(self.parts * max(own // _GROUP * _GROUP, self.batch_size // self.parts))
        return [*found, self.batch_size]

    def progress(self, step: int) -> tuple[float, float]:
        """Real images shown before a step, and in all steps."""
        return self.schedule.images_at(step), self.schedule.images_at(self.steps)


@trainer("progressive")
class ProgressiveTrainer(GANTrainer):
    """A GAN that grows: a critic and a generator in turn, and the average of the generator."""

    recipe_type = ProgressiveRecipe
    grows = apart = True

    def __init__(self, recipe: ProgressiveRecipe) -> None:
        super().__init__(recipe)
        for name, network in (("generator", self.generator), ("critic", self.critic)):
            given = inspect.signature(network.forward).parameters.values()
            if not any(each.name == "lod" or each.kind is each.VAR_KEYWORD for each in given):
                raise ValueError(
                    f"{name} must take the keyword argument lod, as axiswise.nets.Progressive"
                    f"{name.capitalize()} does; got a {type(network).__name__}"
                )
        self.chunk_size = recipe.chunk_size
        names = ("critic", "generator")
        self._skipped = dict.fromkeys(names, 0)
        self._in_row = dict.fromkeys(names, 0)
        self._enter(0)

    def step(self, step: int) -> Figures:
        """A step of the critic with the average of the generator, then one of the generator."""
        recipe, schedule = self.recipe, self.recipe.schedule
        now = self._enter(step)
        if schedule.changes_at(step):
            for optimizer in self._scheduled.values():
                optimizer.state.clear()
        self.set_rates(step)
        shares = self._shares(now.batch)
        critic, _ = self.train_critic(step, now.batch, *shares)
        self.decay = 0.5 ** (now.batch / recipe.half_life) if recipe.half_life else 0.0
        self.average.update_parameters(self.generator)
        own, loss = self.train_generator(step, now.batch, *shares)
        figures = critic | own | {"loss": loss}
        return Figures(figures, images=now.batch, skipped=any(self._in_row.values()))

    def _enter(self, step: int) -> Moment:
        """Take the networks to the lod of a step."""
        now: Moment = self.recipe.schedule.at_step(step)
        self.conditioning = {"lod": now.lod}
        return now

    def _shares(self, batch: int) -> list[slice]:
        """The parts of a batch that this process has."""
        size = batch // self.recipe.parts
        own = self.recipe.parts // self.place.fabric.world_size
        first = self.place.fabric.global_rank * own
        return [slice(part * size, (part + 1) * size) for part in range(first, first + own)]

    def shown(self, images: Tensor) -> Tensor:
        """Real images in [0, 1] as those of the generator are at this lod, in [−1, 1]."""
        return faded(super().shown(images), self.conditioning["lod"])

    def take(self, name: str, optimizer: Any) -> None:
        """Take a step if its gradients are finite; not too many in a row may be left out."""
        gradients = [
            weight.grad
            for group in optimizer.param_groups
            for weight in group["params"]
            if weight.grad is not None
        ]
        if bool(get_total_norm(gradients, math.inf).isfinite()):
            self._in_row[name] = 0
            optimizer.step()
            return
        self._skipped[name] += 1
        self._in_row[name] += 1
        if self._in_row[name] == _MOST_SKIPPED:
            raise TrainingStoppedError(
                f"the {name} has diverged: its gradients were not finite in {_MOST_SKIPPED} steps "
                "in a row"
            )

    def summary(self, step: int) -> dict[str, float]:
        """More figures: also kimg, thousands of real images so far, lod, side, skipped steps."""
        now = self.recipe.schedule.at_step(step)
        place = {
            "kimg": self.recipe.schedule.images_at(step + 1) / 1000,
            "lod": now.lod,
            "side": now.side,
            "skipped": sum(self._skipped.values()),
        }
        return super().summary(step) | place

    def checked(self) -> bool:
        """Whether the last step was taken, so that its images and scores say something."""
        return not any(self._in_row.values())

    def generate(self, z: Tensor) -> Tensor:
        """Images in [0, 1] of latents (batch, latent), at the lod that training has come to."""
        return self.model.generate(z, **self.conditioning)

    def state_dict(self) -> dict[str, Any]:
        """The state, with the counts of skipped steps."""
        return {**super().state_dict(), "skipped": [self._skipped, self._in_row]}

    def load_state_dict(self, state: Any) -> None:
        """Restore a `state_dict`."""
        super().load_state_dict(state)
        self._skipped, self._in_row = (dict(counts) for counts in state["skipped"])


def faded(images: Tensor, lod: float) -> Tensor:
    """Images as a lod shows them, at full size.

    Pixels are averaged over squares of 2^floor(lod), and by the rest of the lod over those of twice
    that side.

    Args:
        images: (batch, channel, size, size).
        lod: Level of detail, from 0 to log2(size) − 2.

    Returns:
        The same shape.
    """
    level = math.floor(lod)
    images = F.avg_pool2d(images, 2**level) if level else images
    if lod > level:
        coarse = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2.0)
        images = images.lerp(coarse, lod - level)
    return F.interpolate(images, scale_factor=2.0**level) if level else images
