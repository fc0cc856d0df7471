"""The terms that a recipe adds to a loss, with the networks that some of them have."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from axiswise.nets import Model
from axiswise.nets.making import made
from axiswise.objectives import GeneratorPass, Term, WeightedTerms
from axiswise.training.parts import ramp_of
from axiswise.training.trainer import Place, Recipe

# name of a term → what it has drawn
Drawn = Mapping[str, Mapping[str, Tensor]]


class AddedTerms(nn.Module):
    """The terms of a recipe; the parameters are those of networks that learn with the generator.

    Args:
        terms: The terms, by name.
        model: The model that they are terms of.
        seed: The first weights of their networks follow from it.
        critic: Of a GAN.

    Attributes:
        networks: Networks that learn with the generator, by the term's name.
        parts: All networks, by their names in a checkpoint.
        optimizers: Those of the other networks, likewise; after `setup`.

    Raises:
        ValueError: If the model, or the critic, does not fit a term.
    """

    def __init__(
        self,
        terms: Mapping[str, Term],
        model: Model,
        seed: int = 0,
        critic: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.terms, self._model = terms, [model]  # in a list: it is no part of this module
        for name, term in terms.items():
            try:
                term.check(model)
                term.check_critic(critic, model)
            except ValueError as error:
                raise ValueError(f"terms.{name}: {error}") from error
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            own = {name: made(partial(term.network, model)) for name, term in terms.items()}
        self._made = {name: network for name, network in own.items() if network is not None}
        self.parts = {f"terms.{name}": network for name, network in self._made.items()}
        along = {name: part for name, part in self._made.items() if not terms[name].has_optimizer}
        self.networks = nn.ModuleDict(along)

    def setup(self, place: Place) -> None:
        """Bring the networks to the device, and make the optimisers that some have."""
        self.place, own = place, {}
        for name, network in self._made.items():
            network.to(place.fabric.device)
            if self.terms[name].has_optimizer:
                own[name] = self.terms[name].optimizer(network)
        self.optimizers = {f"terms.{name}": rule for name, rule in own.items()}
        self._opponents = {
            name: place.fabric.setup(self._made[name], rule) for name, rule in own.items()
        }

    def draw(self, batch: int, latent: int, rng: torch.Generator, *shares: slice) -> list[Drawn]:
        """What each term draws for a whole batch: each of some shares of it."""
        before, found = rng.get_state(), list[Drawn]()
        for share in shares:
            if found:  # once more the same
                rng.set_state(before)
            found.append(
                {name: own.draw(batch, latent, rng, share) for name, own in self.terms.items()}
            )
        return found

    def ramps(self, step: int, recipe: Recipe) -> dict[str, float]:
        """The ramp of each term's weight, 0…1."""
        return {name: ramp_of(term, step, recipe) for name, term in self.terms.items()}

    def forward(
        self, made: GeneratorPass, drawn: Drawn, ramps: Mapping[str, float]
    ) -> WeightedTerms:
        """The terms of a batch, by their names in the log."""
        return {
            term.label(name): (
                ramps[name] * term.weight,
                term(made, self._made.get(name), **drawn[name]),
            )
            for name, term in self.terms.items()
        }

    def of_critic(
        self, guesses: Callable[[], Tensor], z: Tensor, ramps: Mapping[str, float]
    ) -> WeightedTerms:
        """What a critic minimises of the terms, by name; `guesses` are those of `z`'s images."""
        found = {name: term for name, term in self.terms.items() if term.trains_critic}
        given = guesses() if found else z
        return {
            f"{term.label(name)}_critic": (ramps[name] * term.weight, term.critic_loss(given, z))
            for name, term in found.items()
        }

    def train_opponents(self, z: Tensor, codes: Callable[[], Tensor]) -> dict[str, Tensor]:
        """A step of each network with an optimiser of its own; their losses by name."""
        place, losses = self.place, dict[str, Tensor]()
        for name, (network, optimizer) in self._opponents.items():
            own = self.terms[name].network_loss(network, z, codes, place.rng, place.share)
            optimizer.zero_grad()
            place.fabric.backward(torch.stack(list(own.values())).sum())
            optimizer.step()
            losses |= {key: loss.detach() for key, loss in own.items()}
        return losses

    def figures(self, z: Tensor, conditioning: Mapping[str, Any] | None = None) -> dict[str, float]:
        """The terms' further numbers for a row of the log, means over the processes."""
        made = GeneratorPass(self._model[0], z, conditioning or {})
        trained = {term.label(name) for name, term in self.terms.items()}
        found: dict[str, Tensor] = {}
        for name, term in self.terms.items():
            found |= term.figures(name, made)
        return {
            name: float(self.place.fabric.all_reduce(value, reduce_op="mean"))  # type: ignore[arg-type]
            for name, value in found.items()
            if name not in trained  # where both forms are, each has its column already
        }
