"""The terms that a recipe adds to a loss, with the networks that some of them have."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from axiswise.nets import VAE, Generator
from axiswise.objectives import GeneratorPass, Term, WeightedTerms
from axiswise.training.config import TrainConfig
from axiswise.training.parts import Machine, ramp_of

# name of a term → what it has drawn
Drawn = Mapping[str, Mapping[str, Tensor]]


class AddedTerms(nn.Module):
    """The terms of a recipe. It holds the networks that learn along with the generator.

    Args:
        terms: The terms, by name.
        model: The model that they are terms of.
        seed: The first weights of their networks follow from it.

    Attributes:
        networks: Networks that learn along with the generator, by the term's name.
        parts: All networks, by the name that a checkpoint has for them.
        optimizers: Those of the networks that have one of their own, likewise.
    """

    def __init__(self, terms: Mapping[str, Term], model: VAE | Generator, seed: int = 0) -> None:
        super().__init__()
        self.terms, self._model = terms, [model]  # in a list: it is no part of this module
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = {name: term.network(model) for name, term in terms.items()}
        device = next(model.parameters()).device
        found = {name: network.to(device) for name, network in made.items() if network is not None}
        rules = {name: terms[name].optimizer(network) for name, network in found.items()}
        own = {name: rule for name, rule in rules.items() if rule is not None}
        self._own = {name: (found[name], rule) for name, rule in own.items()}
        self.networks = nn.ModuleDict(
            {name: network for name, network in found.items() if name not in own}
        )
        self.parts = {f"terms.{name}": network for name, network in found.items()}
        self.optimizers = {f"terms.{name}": rule for name, rule in own.items()}

    def setup(self, machine: Machine) -> None:
        """Have the networks with an optimiser of their own run on a device."""
        self.machine = machine
        self._opponents = {
            name: machine.fabric.setup(*network_and_rule)
            for name, network_and_rule in self._own.items()
        }

    def draw(self, batch: int, latent: int, rng: torch.Generator, share: slice) -> Drawn:
        """What each term draws for a whole batch, one process's share of it."""
        return {name: term.draw(batch, latent, rng, share) for name, term in self.terms.items()}

    def ramps(self, step: int, config: TrainConfig) -> dict[str, float]:
        """How far the weight of each term has risen, 0…1."""
        return {name: ramp_of(term, step, config) for name, term in self.terms.items()}

    def forward(
        self, made: GeneratorPass, drawn: Drawn, ramps: Mapping[str, float]
    ) -> WeightedTerms:
        """The terms of a batch, by the names that a log has for them."""
        networks = {**self.networks, **{name: network for name, (network, _) in self._own.items()}}
        return {
            term.label(name): (
                ramps[name] * term.weight,
                term(made, networks.get(name), **drawn[name]),
            )
            for name, term in self.terms.items()
        }

    def train_opponents(self, z: Tensor, codes: Callable[[], Tensor]) -> dict[str, Tensor]:
        """A step of each opponent; their losses by name.

        Args:
            z: This process's codes of the batch, cut off the graph.
            codes: Draws the codes of another batch, the whole of it.
        """
        machine, losses = self.machine, dict[str, Tensor]()
        for name, (network, optimizer) in self._opponents.items():
            own = self.terms[name].network_loss(network, z, codes, machine.rng, machine.share)
            optimizer.zero_grad()
            machine.fabric.backward(torch.stack(list(own.values())).sum())
            optimizer.step()
            losses |= {key: loss.detach() for key, loss in own.items()}
        return losses

    def figures(self, z: Tensor) -> dict[str, float]:
        """More numbers for a row of the log, means over the processes."""
        (model,) = self._model
        trained = {term.label(name) for name, term in self.terms.items()}
        found: dict[str, Tensor] = {}
        for name, term in self.terms.items():
            found |= term.figures(name, model.generator, z)
        return {
            name: float(self.machine.fabric.all_reduce(value, reduce_op="mean"))  # type: ignore[arg-type]
            for name, value in found.items()
            if name not in trained  # where both forms are, each has its column already
        }
