"""The penalties by name, each declared in its file, and a user's own by import path."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from torch import Tensor

from axiswise.support.family import Family

F = TypeVar("F", bound=Callable[..., Tensor])

# What a penalty's signature has beside the options that are its own.
_COMMON = ("generator", "jacobian", "z", "reduction", "rng")


@dataclass(frozen=True)
class Penalty:
    """A penalty by name.

    Attributes:
        name: What recipes call it; of a user's own, its import path.
        function: Called with a Jacobian, then options by keyword; gives a scalar.
    """

    name: str
    function: Callable[..., Tensor]

    @cached_property
    def options(self) -> dict[str, Any]:
        """Its own options and their defaults, read off the signature: columns, normalize, …."""
        own = list(inspect.signature(self.function).parameters.values())[1:]
        return {
            each.name: each.default
            for each in own
            if each.name not in _COMMON and each.kind is not each.VAR_KEYWORD
        }

    @property
    def takes_reduction(self) -> bool:
        """Whether it can be reduced otherwise than by its mean over the batch."""
        return "reduction" in inspect.signature(self.function).parameters

    def label(self, normalize: bool = False) -> str:
        """What its values are logged as: the name, or "jl1_normalized" for the scale-free form."""
        return f"{self.name}_normalized" if normalize else self.name


def penalty(name: str) -> Callable[[F], F]:
    """Declare the function below as the penalty of this name."""
    return PENALTIES.declaring(name, lambda function: Penalty(name, function))


def _own(found: Any, spec: str) -> Penalty:
    if not callable(found):
        raise TypeError(
            f"penalty {spec} must be a function of a Jacobian, got {type(found).__name__}"
        )
    return Penalty(spec, found)


PENALTIES: Family[Penalty] = Family("penalty", "axiswise.penalties", "penalty", _own)
