"""A penalty on the decoder's Jacobian as a term of a model's loss."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from axiswise.jacobian import Generator, Jacobian
from axiswise.objectives.schedule import check_schedule
from axiswise.penalties import PENALTIES, rademacher, sample_columns, sample_groups

_NAMES = ("jl1", "jl2", "orojar", "hessian", "ima")


@dataclass(frozen=True)
class JacobianTerm:
    """A penalty of `axiswise.penalties`, its weight, and whether it is exact or sampled.

    Args:
        name: Which penalty.
        weight: Its weight γ or λ, ≥ 0.
        columns: Random columns for each sample, ≥ 1 (jl1, jl2) or ≥ 2 (orojar); None for all,
            exactly.
        probes: Rademacher probes, ≥ 2 (orojar, hessian); None for the exact value.
        groups: Groups of latents, ≥ 2 (orojar, hessian); None for the exact value. One of columns,
            probes and groups at most.
        normalize: The scale-free form (jl1, orojar), with neither probes nor groups.
        layers: Names of the modules of the generator whose outputs are penalised, summed; none for
            what the generator returns.
        reduction: "mean" or "max" over the batch (for hessian, over the outputs too). OroJaR's
            published GAN weights belong to "max". In several processes that is the mean of each
            one's own maximum, which depends on their number.
        method: "forward" for exact derivatives, "finite" for the papers' differences.
        epsilon: Step of those, > 0; the penalty's own default if null.
        anneal: Share of the steps over which the weight rises from 0; the recipe's if null.
        delay: Share of the steps before it does; the recipe's if null.

    Raises:
        ValueError: On a negative weight, an unknown name, an option of another penalty, a number
            out of range, or options that exclude each other.
    """

    name: Literal["jl1", "jl2", "orojar", "hessian", "ima"] = "jl1"
    weight: float = 0.1
    columns: int | None = None
    probes: int | None = None
    groups: int | None = None
    normalize: bool = False
    layers: list[str] = field(default_factory=list)
    reduction: Literal["mean", "max"] = "mean"
    method: Literal["forward", "finite"] = "forward"
    epsilon: float | None = None
    anneal: float | None = None
    delay: float | None = None

    def __post_init__(self) -> None:
        if self.name not in _NAMES:
            raise ValueError(f"name must be one of {', '.join(_NAMES)}, got {self.name!r}")
        options = PENALTIES.find(self.name).options
        for option in ("columns", "probes", "groups", "normalize"):
            if getattr(self, option) and option not in options:
                raise ValueError(f"{option} is no option of the penalty {self.name!r}")
        of_pairs = 2 if self.name == "orojar" else 1
        for option, least in (("columns", of_pairs), ("probes", 2), ("groups", 2)):
            value = getattr(self, option)
            if value is not None and value < least:
                raise ValueError(f"{option} must be at least {least}, got {value}")
        given = [
            name for name in ("columns", "probes", "groups") if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise ValueError(f"{given[1]} must be null where {given[0]} are given")
        if self.normalize and (self.probes is not None or self.groups is not None):
            raise ValueError("normalize must go with the exact form: leave out probes and groups")
        if self.epsilon is not None and not self.epsilon > 0:
            raise ValueError(f"epsilon must be > 0, got {self.epsilon}")
        if self.epsilon is not None and self.method != "finite":
            raise ValueError("epsilon is no option of method 'forward', which is exact")
        check_schedule(self)

    @property
    def label(self) -> str:
        """What its values are logged as: the name, or "jl1_normalized" and the like."""
        return PENALTIES.find(self.name).label(self.normalize)

    def draw(
        self, batch: int, latent: int, rng: torch.Generator, share: slice = slice(None)
    ) -> dict[str, Tensor]:
        """Draw what the penalty samples, for a whole batch, and keep one process's share of it.

        Args:
            batch: Samples in the whole batch.
            latent: Number of latents.
            rng: Source of randomness; the draw is on its device.
            share: Which samples are this process's.

        Returns:
            Keyword arguments for a call.
        """
        if self.columns is not None:
            return {"columns": sample_columns(batch, latent, self.columns, rng=rng)[share]}
        if self.probes is not None:
            return {"probes": rademacher((self.probes, batch, latent), rng=rng)[:, share]}
        if self.groups is not None:
            return {"groups": sample_groups(batch, latent, self.groups, rng=rng)[:, share]}
        return {}

    def jacobian(
        self, generator: Generator, z: Tensor, then: Callable[[Tensor], Tensor] | None = None
    ) -> Jacobian:
        """The Jacobian that this penalty scores; its `output` serves a loss.

        Args:
            generator: A decoder, or a GAN's generator.
            z: Latents, (batch, latent).
            then: As in `Jacobian`.

        Returns:
            To be called with in the generator's place.
        """
        return Jacobian(
            generator, z, self.method, epsilon=self.epsilon, layers=self.layers, then=then
        )

    def __call__(
        self, generator: Generator | Jacobian, z: Tensor | None = None, **drawn: Tensor
    ) -> Tensor:
        """The penalty, unweighted.

        Args:
            generator: A decoder, a GAN's generator, or what `jacobian` returned.
            z: Latents, (batch, latent), of a generator.
            **drawn: What `draw` returned.

        Returns:
            A scalar.
        """
        function = PENALTIES.find(self.name).function
        options: dict[str, Any] = {"reduction": self.reduction, **drawn}
        if self.normalize:
            options["normalize"] = True
        if isinstance(generator, Jacobian):
            return function(generator, **options)
        return function(
            generator,
            z,
            method=self.method,
            epsilon=self.epsilon,
            layers=self.layers,
            **options,
        )

    def other_scale(self, generator: Generator, z: Tensor) -> dict[str, Tensor]:
        """The same penalty in the other of its two forms, scale-free or not: to be logged.

        A penalty that falls while its scale-free form stays was lowered by shrinking the Jacobian,
        not by shaping it.

        Args:
            generator: A decoder, or a GAN's generator.
            z: Latents, (batch, latent).

        Returns:
            Name and exact value, mean over the batch; empty for a penalty that has one form only.
        """
        if self.name not in ("jl1", "orojar"):
            return {}
        other = JacobianTerm(self.name, normalize=not self.normalize, layers=self.layers)
        with torch.no_grad():
            return {other.label: other(generator, z)}
