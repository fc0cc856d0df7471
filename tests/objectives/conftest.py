"""A pass of a batch whose codes are given."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from axiswise.objectives import VAEPass

MakePass = Callable[..., VAEPass]


@pytest.fixture(scope="session")
def made_pass() -> MakePass:
    def make(
        mean: Tensor,
        log_variance: Tensor | None = None,
        z: Tensor | None = None,
    ) -> VAEPass:
        """Variances of 1 and codes at their means if not given; images of no interest."""
        log_variance = torch.zeros_like(mean) if log_variance is None else log_variance
        images = mean.new_full((len(mean), 1, 2, 2), 0.5)
        z = mean if z is None else z
        return VAEPass(images, torch.zeros_like(images), mean, log_variance, z)

    return make


class Given:
    """What a generator made, given beforehand: images of latents, and of one other set of them."""

    def __init__(self, images: Tensor, z: Tensor, others: Tensor | None = None) -> None:
        self.images, self.z, self.others = images, z, others

    def at(self, z: Tensor) -> "Given":
        assert self.others is not None
        return Given(self.others, z)


@pytest.fixture(scope="session")
def given() -> type[Given]:
    return Given


class Sizes(NamedTuple):
    """Sizes of a model, without the model."""

    size: int
    channels: int
    latent_dim: int


@pytest.fixture(scope="session")
def sizes() -> type[Sizes]:
    return Sizes


@pytest.fixture(scope="session")
def normal() -> Callable[..., Tensor]:
    """Standard normal numbers, float64."""

    def draw(*shape: int, seed: int = 0) -> Tensor:
        rng = torch.Generator().manual_seed(seed)
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    return draw
