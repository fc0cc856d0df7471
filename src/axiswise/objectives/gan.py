"""The game that a critic and a generator play."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from axiswise.objectives.vae import WeightedTerms


class GANObjective(ABC):
    """What a critic and a generator minimise; inherit from it for a game of your own."""

    @abstractmethod
    def critic_terms(
        self, critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor
    ) -> tuple[WeightedTerms, Tensor]:
        """What the critic minimises.

        Args:
            critic: Images → scores, (batch, 1).
            real: (batch, channel, height, width), in [−1, 1].
            fake: Generated images, of the same shape.
            mix: Uniform in [0, 1], (batch,), for games that look at points between the two.

        Returns:
            The terms; and all scores, (2·batch, 1), real ones first.
        """

    @abstractmethod
    def generator_terms(self, scores: Tensor) -> WeightedTerms:
        """What the generator minimises.

        Args:
            scores: The critic's, of generated images, (batch, 1).

        Returns:
            The terms.
        """


def input_gradients(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Gradients of a critic's scores by their own images, differentiable once more.

    Args:
        critic: Images → scores, (batch, 1), each image's by itself.
        images: (batch, channel, height, width), requiring gradients.

    Returns:
        (batch, channel · height · width).
    """
    (gradients,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradients.flatten(1)
