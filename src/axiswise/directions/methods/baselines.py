"""Baselines of every search: random directions, and the generator's own axes."""

import torch
from torch import Tensor

from axiswise.directions.family import method
from axiswise.directions.solving import random_rotation
from axiswise.directions.space import SearchSpace
from axiswise.support.progress import Progress


@method("random")
def random_directions(space: SearchSpace, rng: torch.Generator, _progress: Progress) -> Tensor:
    """The rows of a random rotation, (size, size)."""
    return random_rotation(space.size, rng)


@method("coordinates")
def coordinates(space: SearchSpace, _rng: torch.Generator, _progress: Progress) -> Tensor:
    """The latents themselves, the identity (size, size)."""
    return torch.eye(space.size)
