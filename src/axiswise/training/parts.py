"""What the loop and the kinds of training tell each other."""

from dataclasses import dataclass, field
from typing import Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from axiswise.nets import VAE, Generator
from axiswise.objectives import Term, WeightedTerms
from axiswise.training.config import TrainConfig
from axiswise.training.schedules import annealing, learning_rate


@dataclass(frozen=True)
class Machine:
    """Where a training runs.

    Attributes:
        fabric: Devices, precision, processes.
        rng: Source of all randomness, on the device, alike in all processes.
        share: Which samples of a batch are this process's. Every process draws the whole batch and
            keeps its share: the result does not depend on their number.
    """

    fabric: Fabric
    rng: torch.Generator
    share: slice


@dataclass(frozen=True)
class Figures:
    """What a step says of itself.

    Attributes:
        values: Terms of the losses, unweighted, then "loss": scalars on the device.
        axes: Information that each axis carries, (latent,), nats; empty where it is not known.
    """

    values: dict[str, Tensor]
    axes: Tensor = field(default_factory=lambda: torch.empty(0))


class Training(Protocol):
    """One kind of training: networks, and how a step changes them.

    Attributes:
        networks: All that a checkpoint has to hold, by name.
        optimizers: Likewise.
    """

    networks: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]

    @property
    def model(self) -> VAE | Generator:
        """What the run gives in the end."""
        ...

    def step(self, step: int) -> Figures:
        """Take a step.

        Args:
            step: Steps done before this one.
        """
        ...

    def summary(self, step: int) -> dict[str, float]:
        """More figures, for a row of the log that is due after a step.

        Args:
            step: Steps done before that one.

        Raises:
            TrainingStoppedError: If the training has come to nothing.
        """
        ...


def whole_batch(own: Tensor, fabric: Fabric) -> Tensor:
    """What all processes made of a batch, differentiable in this one's part.

    Gradients of the processes are averaged in the end: this one's part counts as many times as
    there are processes, so that the average is the gradient of one process with the whole batch.

    Args:
        own: This process's part, (batch of the process, …).
        fabric: The processes.

    Returns:
        All parts, in the order of the batch, alike in all processes.
    """
    if fabric.world_size == 1:
        return own
    parts = own.new_zeros(fabric.world_size, *own.shape)
    parts[fabric.global_rank] = own.detach()
    everyone = fabric.all_reduce(parts, reduce_op="sum")
    assert isinstance(everyone, Tensor)
    everyone[fabric.global_rank] = own.detach() + fabric.world_size * (own - own.detach())
    return everyone.flatten(0, 1)


def weighted_sum(terms: WeightedTerms) -> Tensor:
    """The loss that terms make up."""
    return torch.stack([weight * value for weight, value in terms.values()]).sum()


def unweighted(terms: WeightedTerms) -> dict[str, Tensor]:
    """What a log shows of terms."""
    return {name: value.detach() for name, (_, value) in terms.items()}


def ramp_of(term: Term | None, step: int, config: TrainConfig) -> float:
    """How far the weight of a term has risen, by its own warm-up or the recipe's.

    Args:
        term: The term; None for the recipe's own ramp.
        step: Steps done before this one.
        config: The recipe.

    Returns:
        0…1.
    """
    anneal = config.anneal if term is None or term.anneal is None else term.anneal
    delay = config.delay if term is None or term.delay is None else term.delay
    return annealing(step, config.steps, anneal, delay)


def set_learning_rate(optimizer: torch.optim.Optimizer, step: int, config: TrainConfig) -> None:
    """Give an optimiser the rate of a step."""
    rate = learning_rate(step, config.steps, config.learning_rate, config.decay_start)
    for group in optimizer.param_groups:
        group["lr"] = rate
