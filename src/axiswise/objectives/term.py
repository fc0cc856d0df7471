"""Terms that a recipe adds to a loss: what they have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from axiswise.jacobian import Jacobian, JacobianOptions
from axiswise.nets import Model
from axiswise.objectives.gan import judged
from axiswise.support.checks import check_range


class GeneratorPass:
    """A generator at a batch of latents: all terms of a loss share its runs.

    Args:
        model: The model whose generator it is.
        z: Latents, (batch, latent).
        conditioning: Keyword arguments of the generator, such as a progressive one's `lod`; of the
            critic too.
        critic: Of a GAN: images → scores, and perhaps guesses, as `objectives.gan.judged` takes it.
        chunk_size: Of its Jacobians.
    """

    def __init__(
        self,
        model: Model,
        z: Tensor,
        conditioning: Mapping[str, Any] = MappingProxyType({}),
        *,
        critic: nn.Module | None = None,
        chunk_size: int | None = None,
    ) -> None:
        self.model, self.z, self.conditioning, self.critic = model, z, conditioning, critic
        self.chunk_size = chunk_size
        self._first: Jacobian | None = None

    def layers(self, names: Sequence[str]) -> Sequence[str] | Mapping[str, float]:
        """Those of some layers that count now, as the model says; see `Model.layers_at`."""
        return self.model.layers_at(names, self.conditioning)

    def jacobian(self, **options: Unpack[JacobianOptions]) -> Jacobian:
        """The Jacobian of the generator, or of some of its layers; the first one gives `output`."""
        if self.conditioning:
            options["conditioning"] = self.conditioning
        if self.chunk_size is not None:
            options["chunk_size"] = self.chunk_size
        made = self.model.jacobian(self.z, **options)
        self._first = made if self._first is None else self._first
        return made

    @cached_property
    def output(self) -> Tensor:
        """What a loss is taken of: a VAE's logits, a GAN's images in [−1, 1]."""
        if self._first is None and self.conditioning:
            self.jacobian()
        return self.model.output(self.z if self._first is None else self._first)

    @property
    def images(self) -> Tensor:
        """Images in the range that the generator gives them in."""
        return self.model.images(self.output)

    @cached_property
    def judged(self) -> tuple[Tensor, Tensor]:
        """Of a GAN: scores of the images, and latents as the critic guesses them."""
        assert self.critic is not None
        return judged(self.critic, self.images, **self.conditioning)

    def at(self, z: Tensor) -> "GeneratorPass":
        """The same generator at other latents."""
        more: Any = {"critic": self.critic, "chunk_size": self.chunk_size}
        return GeneratorPass(self.model, z, self.conditioning, **more)


@dataclass(frozen=True, kw_only=True)
class Term(ABC):
    """A term that a recipe adds to the loss of a generator; inherit for one of your own.

    Args:
        weight: Its weight in the end, ≥ 0.
        anneal: Share of the steps over which the weight rises from 0; the recipe's if null.
        delay: Share of the steps before it does; the recipe's if null.

    Raises:
        ValueError: On a number out of range.
    """

    weight: float = 0.1
    anneal: float | None = None
    delay: float | None = None

    def __post_init__(self) -> None:
        check_range(self, "≥ 0", "weight")
        check_range(self, "between 0 and 1", "anneal", "delay")

    def label(self, name: str) -> str:
        """What its values are logged as, given its name in the recipe."""
        return name

    def check(self, model: Model) -> None:  # noqa: B027
        """Refuse a model that it does not fit, with a ValueError that names the setting."""

    def check_critic(self, critic: nn.Module | None, model: Model) -> None:  # noqa: B027
        """Refuse a critic that it does not fit, None where there is none, as `check` does."""

    @property
    def trains_critic(self) -> bool:
        """Whether the critic of a GAN minimises it too."""
        return type(self).critic_loss is not Term.critic_loss

    def critic_loss(self, guesses: Tensor, z: Tensor) -> Tensor:
        """What the critic minimises of it, a scalar, unweighted; override it if anything.

        Args:
            guesses: Latents of generated images as the critic guesses them, (batch, codes).
            z: The latents, (batch, latent).
        """
        raise NotImplementedError

    def network(self, model: Model) -> nn.Module | None:  # noqa: ARG002
        """A network of its own, with fresh weights, if it has one."""
        return None

    @property
    def has_optimizer(self) -> bool:
        """Whether its network has an optimiser of its own, or learns with the generator."""
        return type(self).optimizer is not Term.optimizer

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """The network's own optimiser; where not overridden, it learns with the generator."""
        raise NotImplementedError

    def network_loss(
        self,
        network: nn.Module,
        z: Tensor,
        codes: Callable[[], Tensor],
        rng: torch.Generator,
        share: slice,
    ) -> dict[str, Tensor]:
        """What the network minimises, by name, if it has an optimiser of its own.

        Args:
            network: The network.
            z: This process's codes of the batch, (batch, latent), detached.
            codes: Draws the codes of another batch, the whole of it.
            rng: Source of randomness, the same in all processes.
            share: The samples of a batch that this process has.
        """
        raise NotImplementedError

    def draw(
        self,
        batch: int,  # noqa: ARG002
        latent: int,  # noqa: ARG002
        rng: torch.Generator,  # noqa: ARG002
        share: slice = slice(None),  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """Keyword arguments for a call, drawn for a whole batch; one process's share of them."""
        return {}

    @abstractmethod
    def __call__(self, *args: Any, **drawn: Any) -> Tensor:
        """The term, unweighted: a scalar.

        Args:
            *args: The `GeneratorPass` of a batch, then what `network` returned.
            **drawn: What `draw` returned.
        """

    def figures(
        self,
        name: str,  # noqa: ARG002
        made: GeneratorPass,  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """More numbers for a row of the log, by name, given its name in the recipe."""
        return {}
