"""Pieces that kinds of training share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from axiswise.data import ImageSource
from axiswise.objectives import Term, WeightedTerms
from axiswise.training.trainer import Recipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_MEASURED, _AT_ONCE = 1000, 64  # images whose codes are measured


def whole_batch(own: Tensor, fabric: Fabric) -> Tensor:
    """All processes' parts of a batch, in its order, differentiable in this process's `own` part.

    Its gradient is scaled by the number of processes, over which gradients are averaged later: that
    average is the gradient of one process with the whole batch.
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
    """The loss."""
    return torch.stack([weight * value for weight, value in terms.values()]).sum()


def unweighted(terms: WeightedTerms) -> dict[str, Tensor]:
    """The values of terms, for the log."""
    return {name: value.detach() for name, (_, value) in terms.items()}


def ramp_of(term: Term | None, step: int, recipe: Recipe) -> float:
    """The ramp of a term's weight after so many steps, 0…1; None for the recipe's own ramp."""
    anneal = recipe.anneal if term is None or term.anneal is None else term.anneal
    delay = recipe.delay if term is None or term.delay is None else term.delay
    return annealing(*recipe.progress(step), anneal, delay)


def set_learning_rate(optimizer: torch.optim.Optimizer, step: int, recipe: Recipe) -> None:
    """Give an optimiser the rate of a step."""
    rate = learning_rate(*recipe.progress(step), recipe.learning_rate, recipe.decay_start)
    for group in optimizer.param_groups:
        group["lr"] = rate


def annealing(done: float, whole: float, anneal: float, delay: float = 0.0) -> float:
    """The ramp of a weight: 0, from `delay` on linear, 1 after `anneal` more.

    Args:
        done: What is done of the run before a step: steps, or images.
        whole: Length of the run, likewise.
        anneal: Share of the run over which it rises, 0…1.
        delay: Share of the run before that, 0…1.
    """
    risen, length = done - delay * whole, anneal * whole
    if risen < 0:
        return 0.0
    return min(1.0, risen / length) if length > 0 else 1.0


def learning_rate(done: float, whole: float, peak: float, decay_start: float) -> float:
    """The rate of a step: `peak`, then falling linearly to 0 just after the last step.

    Args:
        done: What is done of the run before a step: steps, or images.
        whole: Length of the run, likewise.
        peak: The rate at first, > 0.
        decay_start: Share of the run after which it falls, 0…1.
    """
    if decay_start >= 1:
        return peak
    return peak * min(1.0, (1 - done / whole) / (1 - decay_start))


def measured_images(data: ImageSource, device: torch.device | str) -> Iterator[Tensor]:
    """Batches of a thousand images that a model is measured on, the same ones in each call."""
    draws = data.draw(_MEASURED, torch.Generator(device).manual_seed(0))
    for part in draws.split(_AT_ONCE):
        yield data.render(part)
