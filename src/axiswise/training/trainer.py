"""What kinds of training have in common: their settings, and what the loop calls."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn

from axiswise.data import ImageSource
from axiswise.nets import Model
from axiswise.nets.making import check_memory, made
from axiswise.objectives import Term
from axiswise.support.checks import check_count, check_folder_name, check_range
from axiswise.support.family import Family

if TYPE_CHECKING:
    # Its import takes seconds. With postponed annotations, jsonargparse would run this block.
    from lightning_fabric import Fabric

M = TypeVar("M", bound=nn.Module)
_MOST_DEVICES = 1024  # each is a process


@dataclass(frozen=True)
class Init:
    """The weights that a training starts from.

    Args:
        run: A finished run's folder; or a saved network's, or a file of published weights.
        recipe: The name of its recipe, or of its network.
        step: The steps that it was trained for.
        weights: The digest of its weights.
    """

    run: str
    recipe: str = ""
    step: int = 0
    weights: str = ""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The keys of every recipe.

    Args:
        name: Groups runs of this recipe; its file name if empty.
        description: One line.
        source: Paper, figure and numbers that the recipe follows.
        data: The images.
        trainer: The kind of training: `vae`, `gan`, or the import path of your own.
        terms: Terms added to the loss, by name; see `axiswise.objectives.Term`.
        init: The run whose weights it starts from, with fresh optimisers; null for fresh weights.
        steps: Training steps.
        batch_size: Images per step, over all processes.
        learning_rate: Of Adam.
        decay_start: Share of the steps after which the rate falls linearly to 0.
        anneal: Share of the steps over which the weights of added terms rise linearly from 0.
        delay: Share of the steps before that.
        seed: Of everything random.
        precision: "auto" is bfloat16 mixed precision where the hardware computes in it.
        accelerator: "auto" is a GPU if there is one.
        devices: Processes, each on its own GPU or share of the CPU.
        log_every: Steps from one row of metrics.csv to the next.
        checkpoint_every: Steps from one checkpoint to the next, a multiple of log_every.
    """

    trainer: str
    data: ImageSource
    name: str = ""
    description: str = ""
    source: str = ""
    terms: Mapping[str, Term] = field(default_factory=dict)
    init: Init | None = None
    steps: int = 300_000
    batch_size: int = 64
    learning_rate: float = 1e-4
    decay_start: float = 1.0
    anneal: float = 0.0
    delay: float = 0.0
    seed: int = 0
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    log_every: int = 100
    checkpoint_every: int = 1000

    def __post_init__(self) -> None:
        if self.name:
            check_folder_name("name", self.name)
        check_count("seed", self.seed, 0, 2**63 - 1)
        check_count("devices", self.devices, 1, _MOST_DEVICES)
        counts = ("steps", "batch_size", "log_every", "checkpoint_every")
        check_range(self, "at least 1", *counts)
        check_range(self, "between 0 and 1", "decay_start", "anneal", "delay")
        check_range(self, "> 0", "learning_rate")
        labels = [term.label(name) for name, term in self.terms.items()]
        if len(set(labels)) < len(labels):
            twice = next(label for label in labels if labels.count(label) > 1)
            raise ValueError(f"terms must be logged by names of their own, got two {twice!r}")
        if self.checkpoint_every % self.log_every:
            raise ValueError(
                f"checkpoint_every must be a multiple of log_every = {self.log_every}, "
                f"got {self.checkpoint_every}"
            )
        if self.batch_size % self.devices:
            raise ValueError(
                f"batch_size must be a multiple of devices = {self.devices}, got {self.batch_size}"
            )

    def progress(self, step: int) -> tuple[float, float]:
        """What is done before a step, and the whole: of the steps, unless they differ in length."""
        return step, self.steps

    def build(self, network: Callable[..., M]) -> M:
        """A network that a recipe names, with the size and the channels of the data.

        Raises:
            ValueError: No such network exists; the message names the option that resizes images.
        """
        channels, height, width = self.data.shape
        if height != width:
            raise ValueError(f"data must be square images, got {self._image_size()}")
        try:
            return made(partial(network, size=height, channels=channels))
        except ValueError as error:
            refused = re.search(r"size must be[^\n]*", str(error))
            if refused is None:
                raise
            raise ValueError(f"{refused[0]}: the data are {self._image_size()}") from error

    def _image_size(self) -> str:
        """The size of the images, and the option that changes it where there is one."""
        _, height, width = self.data.shape
        size = f"images of {height} × {width} pixels"
        if "size" not in signature(type(self.data)).parameters:
            return size
        return f"{size}; --data.size N makes them N × N, as in --data.size 64"


@dataclass(frozen=True)
class Place:
    """Where a training runs.

    Attributes:
        fabric: Devices, precision, processes.
        rng: Source of all randomness, on the device, the same in all processes.
        share: The samples of a batch that this process has. Each process draws for the whole batch,
            so that the result does not depend on their number.
    """

    fabric: "Fabric"
    rng: torch.Generator
    share: slice


@dataclass(frozen=True)
class Figures:
    """What a step logs.

    Attributes:
        values: Terms of the losses, unweighted, then "loss": scalars on the device.
        axes: KL divergence of each axis, (latent,), nats; empty for models without codes.
        images: Of the step, over all processes; the recipe's batch_size if None.
        skipped: Whether the step was not taken after all, and has no part in the row's means.
    """

    values: dict[str, Tensor]
    axes: Tensor = field(default_factory=lambda: torch.empty(0))
    images: int | None = None
    skipped: bool = False


class Trainer(ABC):
    """A kind of training: networks, and how a step changes them; inherit for one of your own.

    The constructor takes the recipe alone and makes the networks, `model` among them, with the seed
    set. It raises a ValueError for a recipe that does not fit.

    Attributes:
        recipe_type: The keys of its recipes: a dataclass that inherits from `Recipe`. A field of
            type `Callable[..., Network]` is a network that a recipe names.
        recipe: The recipe.
        model: The network that the run saves in the end.
        networks: All networks of a checkpoint, by name.
        optimizers: All optimisers, likewise; `setup` makes them.
        grows: Whether there are steps that leave some weights out.
    """

    recipe_type: ClassVar[type[Recipe]]
    grows: ClassVar[bool] = False
    recipe: Any
    model: Model
    networks: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]

    @abstractmethod
    def __init__(self, recipe: Any) -> None: ...

    @abstractmethod
    def setup(self, place: Place) -> None:
        """Bring the networks to the device, and make the optimisers."""

    @abstractmethod
    def step(self, step: int) -> Figures:
        """Take a step, given the steps done before it."""

    def summary(self, step: int) -> dict[str, float]:  # noqa: ARG002
        """More figures for the row of the log after a step, given the steps done before it.

        Raises:
            TrainingStoppedError: If the training has failed.
        """
        return {}

    def generate(self, z: Tensor) -> Tensor:
        """Images in [0, 1] of latents (batch, latent), as the model makes them by now."""
        return self.model.generate(z)

    def state_dict(self) -> dict[str, Any]:
        """The state of networks and optimisers, for a checkpoint."""
        return {
            "networks": {name: part.state_dict() for name, part in self.networks.items()},
            "optimizers": {name: part.state_dict() for name, part in self.optimizers.items()},
        }

    def weights_of(self, model: Mapping[str, Tensor]) -> dict[str, Mapping[str, Tensor]]:
        """States of the networks that a model's weights determine: at least of `model`."""
        return {name: model for name, part in self.networks.items() if part is self.model}

    def take_over(self, states: Mapping[str, Mapping[str, Tensor]]) -> list[str]:
        """Start from another training's weights, before `setup`.

        Args:
            states: The states of its networks, by name.

        Returns:
            What stays fresh, because it has none like that.

        Raises:
            ValueError: A network has other weights than its like there; nothing was changed.
        """
        fresh, taken = list[str](), dict[str, Mapping[str, Tensor]]()
        for name, network in self.networks.items():
            if name not in states:
                fresh.append(name)
                continue
            adapted = getattr(network, "adapted", dict)(states[name])  # of a critic that guesses
            if _shapes(adapted) != _shapes(states[name]):
                fresh.append(f"such codes of the {name}")
            own, given = _shapes(network.state_dict()), _shapes(adapted)
            for key in {**own, **given}:
                if own.get(key) != given.get(key):
                    raise ValueError(
                        f"{key} of the {name} is {given.get(key, 'not')} there and "
                        f"{own.get(key, 'not')} in the recipe"
                    )
            taken[name] = adapted
        if not taken:
            raise ValueError(f"it has {', '.join(states)}, the recipe {', '.join(self.networks)}")
        for name, state in taken.items():
            self.networks[name].load_state_dict(state)
        return fresh

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a `state_dict`."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


T = TypeVar("T", bound=type[Trainer])


def _own(found: Any, spec: str) -> type[Trainer]:
    if isinstance(found, type) and issubclass(found, Trainer):
        return found
    raise TypeError(f"trainer {spec} must inherit from axiswise.training.trainer.Trainer")


TRAINERS: Family[type[Trainer]] = Family("trainer", "axiswise.training", "trainer", _own)


def trainer(name: str) -> Callable[[T], T]:
    """Declare a kind of training, by the name that recipes have for it."""
    return TRAINERS.declaring(name, lambda cls: cls)


def start(recipe: Recipe) -> Trainer:
    """The trainer of a recipe; first weights depend on its seed alone.

    Raises:
        ValueError: If settings do not fit each other or the networks.
    """
    numbers = recipe.batch_size * math.prod(recipe.data.shape)
    check_memory(f"the images of batch_size = {recipe.batch_size}", 4 * numbers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return TRAINERS.find(recipe.trainer)(recipe)
