"""What a method of finding directions is, and all of them by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from axiswise.support.family import Family

if TYPE_CHECKING:
    from torch import Tensor

Search = TypeVar("Search", bound="Callable[..., Tensor]")
_GIVEN = 3  # arguments: space, rng, progress


@dataclass(frozen=True)
class Method:
    """A way to find directions.

    Attributes:
        name: Its name, or the import path of a user's own.
        search: A function of the search space, a source of randomness and a progress callback,
            with its settings by keyword, that returns directions (direction, size).
        ordered: Whether it returns the directions in an order of its own, by eigenvalues for
            example; otherwise they are sorted by importance.
        epsilon: Step of the finite differences that it takes derivatives by unless a user says
            otherwise; None for exact derivatives.
    """

    name: str
    search: Callable[..., Tensor]
    ordered: bool = False
    epsilon: float | None = None

    @property
    def derivative(self) -> Literal["forward", "finite"]:
        """How it takes derivatives unless a user says otherwise."""
        return "forward" if self.epsilon is None else "finite"

    @property
    def settings(self) -> dict[str, Any]:
        """Its settings and their defaults, off the signature."""
        return {
            name: parameter.default
            for name, parameter in inspect.signature(self.search).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        }

    def check_settings(self, settings: Mapping[str, object]) -> None:
        """Refuse settings that the method does not have.

        Raises:
            ValueError: If one is unknown.
        """
        known = self.settings
        for name in settings:
            if name not in known:
                allowed = f"has {', '.join(known)}" if known else "has none"
                raise ValueError(
                    f"settings must be the method's, {self.name!r} {allowed}; got {name!r}"
                )


def _own(found: Any, spec: str) -> Method:
    """The declaration of a user's function."""
    if not inspect.isroutine(found):
        raise TypeError(f"method {spec} must be a function, got {type(found).__name__}")
    parameters = inspect.signature(found).parameters.values()
    others = [p for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    if len(others) != _GIVEN or any(p.kind is p.VAR_KEYWORD for p in others):
        raise TypeError(
            f"method {spec} must be a function of (space, rng, progress) with its settings after "
            f"a *, got {inspect.signature(found)}"
        )
    return Method(spec, found)


METHODS: Family[Method] = Family("method", "axiswise.directions.methods", "method", _own)


def method(
    name: str, *, ordered: bool = False, epsilon: float | None = None
) -> Callable[[Search], Search]:
    """Declare the function below as the method of this name.

    Args:
        name: What a user calls it.
        ordered: Whether the order of its directions is its own; they are sorted by importance if
            not.
        epsilon: Step of finite differences, if its derivatives are such.
    """
    return METHODS.declaring(name, lambda search: Method(name, search, ordered, epsilon))
