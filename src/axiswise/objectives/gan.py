"""What the objectives of GANs have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from axiswise.objectives.vae import WeightedTerms


class GANObjective(ABC):
    """What a critic and a generator minimise; inherit from it for one of your own."""

    @abstractmethod
    def critic_terms(
        self, critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor
    ) -> tuple[WeightedTerms, Tensor]:
        """What the critic minimises.

        Args:
            critic: Images → scores, (batch, 1).
            real: (batch, channel, height, width), in [−1, 1].
            fake: Generated images, of the same shape.
            mix: Uniform in [0, 1], (batch,): shares of the real image in interpolated ones.

        Returns:
            The terms; and all scores, (2·batch, 1), real ones first.
        """

    @abstractmethod
    def generator_terms(self, scores: Tensor) -> WeightedTerms:
        """What the generator minimises, given the critic's scores of its images, (batch, 1)."""


def input_gradients(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Gradients of the scores in the images, (batch, channel · height · width), differentiable."""
    (gradients,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradients.flatten(1)
