"""A penalty on the decoder's Jacobian as a term of a model's loss."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from axiswise.jacobian import Generator, rademacher, sample_columns
from axiswise.penalties import (
    hessian_penalty,
    ima_contrast,
    jl1_penalty,
    jl2_penalty,
    orojar_penalty,
    sample_groups,
)

_PENALTIES = {
    "jl1": jl1_penalty,
    "jl2": jl2_penalty,
    "orojar": orojar_penalty,
    "hessian": hessian_penalty,
    "ima": ima_contrast,
}
_OPTIONS = {
    "jl1": {"columns", "normalize"},
    "jl2": {"columns"},
    "orojar": {"probes", "groups", "normalize"},
    "hessian": {"probes", "groups"},
    "ima": set(),
}


@dataclass(frozen=True)
class JacobianTerm:
    """A penalty of `axiswise.penalties`, its weight, and whether it is exact or sampled.

    Args:
        name: Which penalty.
        weight: Its weight γ or λ, ≥ 0.
        columns: Random columns for each sample, ≥ 1 (jl1, jl2); None for all, exactly.
        probes: Rademacher probes, ≥ 2 (orojar, hessian); None for the exact value.
        groups: Groups of latents, ≥ 2 (orojar, hessian); None for the exact value. Not with probes.
        normalize: The scale-free form (jl1, orojar), with neither probes nor groups.

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

    def __post_init__(self) -> None:
        if self.name not in _PENALTIES:
            raise ValueError(f"name must be one of {', '.join(_PENALTIES)}, got {self.name!r}")
        if not self.weight >= 0:  # so that NaN is refused too
            raise ValueError(f"weight must be ≥ 0, got {self.weight}")
        for option in ("columns", "probes", "groups", "normalize"):
            if getattr(self, option) and option not in _OPTIONS[self.name]:
                raise ValueError(f"{option} is no option of the penalty {self.name!r}")
        for option, least in (("columns", 1), ("probes", 2), ("groups", 2)):
            value = getattr(self, option)
            if value is not None and value < least:
                raise ValueError(f"{option} must be at least {least}, got {value}")
        if self.probes is not None and self.groups is not None:
            raise ValueError(f"groups must be None with probes={self.probes}, got {self.groups}")
        if self.normalize and (self.probes is not None or self.groups is not None):
            raise ValueError("normalize must go with the exact form: leave out probes and groups")

    @property
    def label(self) -> str:
        """What its values are logged as: the name, or "jl1_normalized" and the like."""
        return f"{self.name}_normalized" if self.normalize else self.name

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

    def __call__(self, generator: Generator, z: Tensor, **drawn: Tensor) -> Tensor:
        """The penalty, unweighted.

        Args:
            generator: Usually a decoder.
            z: Latents, (batch, latent).
            **drawn: What `draw` returned.

        Returns:
            A scalar.
        """
        options = {"normalize": True} if self.normalize else {}
        return _PENALTIES[self.name](generator, z, **drawn, **options)  # type: ignore[no-any-return, operator]

    def other_scale(self, generator: Generator, z: Tensor) -> dict[str, Tensor]:
        """The same penalty in the other of its two forms, scale-free or not: to be logged.

        A penalty that falls while its scale-free form stays was lowered by shrinking the Jacobian,
        not by shaping it.

        Args:
            generator: Usually a decoder.
            z: Latents, (batch, latent).

        Returns:
            Name and exact value; empty for a penalty that has one form only.
        """
        if self.name not in ("jl1", "orojar"):
            return {}
        other = JacobianTerm(self.name, normalize=not self.normalize)
        with torch.no_grad():
            return {other.label: other(generator, z)}
