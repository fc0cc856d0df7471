"""Pieces that kinds of training share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from axiswise.objectives import Term, WeightedTerms
from axiswise.training.schedules import annealing, learning_rate
from axiswise.training.trainer import Recipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric


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


def ramp_of(term: Term | None, step: int, recipe: Recipe) -> float:
    """How far the weight of a term has risen, by its own warm-up or the recipe's.

    Args:
        term: The term; None for the recipe's own ramp.
        step: Steps done before this one.
        recipe: The recipe.

    Returns:
        0…1.
    """
    anneal = recipe.anneal if term is None or term.anneal is None else term.anneal
    delay = recipe.delay if term is None or term.delay is None else term.delay
    return annealing(step, recipe.steps, anneal, delay)


def set_learning_rate(optimizer: torch.optim.Optimizer, step: int, recipe: Recipe) -> None:
    """Give an optimiser the rate of a step."""
    rate = learning_rate(step, recipe.steps, recipe.learning_rate, recipe.decay_start)
    for group in optimizer.param_groups:
        group["lr"] = rate
