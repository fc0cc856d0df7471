"""What the objectives of GANs have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

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


def judged(critic: nn.Module, images: Tensor, **conditioning: Any) -> tuple[Tensor, Tensor]:
    """Scores, and latents as the critic's head guesses them, (batch, codes), in one pass.

    Args:
        critic: Images → scores. If its `codes` are above 0, its method `with_codes` gives both.
        images: (batch, channel, height, width), in [−1, 1].
        **conditioning: Keyword arguments for the critic.
    """
    if getattr(critic, "codes", 0):
        return critic.with_codes(images, **conditioning)  # type: ignore[operator, no-any-return]
    return critic(images, **conditioning), images.new_empty(len(images), 0)


def input_gradients(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Gradients of the scores in the images, (batch, channel · height · width), differentiable."""
    (gradients,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradients.flatten(1)
