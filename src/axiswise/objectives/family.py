"""Terms by name: penalties, the other terms of ours, and a user's own by import path."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from axiswise.objectives.penalty_term import penalty_term
from axiswise.objectives.term import Term
from axiswise.penalties import PENALTIES
from axiswise.support.family import Family
from axiswise.support.imports import Trust, import_named, is_import_path

T = TypeVar("T", bound=type[Term])


def _own(found: object, spec: str) -> type[Term]:
    if isinstance(found, type) and issubclass(found, Term):
        return found
    if callable(found) and not inspect.isclass(found):
        return penalty_term(found, spec)
    raise TypeError(f"{spec} must be a penalty or inherit from axiswise.objectives.Term")


TERMS: Family[type[Term]] = Family("term", "axiswise.objectives", "term", _own)


def term(name: str) -> Callable[[T], T]:
    """Declare a term, by the name it has in recipes."""
    return TERMS.declaring(name, lambda cls: cls)


def term_names() -> list[str]:
    """Names of ours: penalties on the Jacobian, and other terms."""
    return [*PENALTIES.names(), *TERMS.names()]


def find_term(spec: str, trust: Trust | None = None) -> type[Term]:
    """The settings of a term.

    Args:
        spec: Name of a penalty or of a term of ours, or the import path of your own: a penalty (a
            function of a `Jacobian`), or a class that inherits from `Term`.
        trust: What code may be run, if a file names the term; None if the user does.

    Raises:
        ValueError: If it is neither.
        UntrustedCodeError: If it is an import path of code that may not be run.
        ImportError: If there is nothing at the import path.
        TypeError: If there is something else.
    """
    if spec in PENALTIES.names():
        return _own(PENALTIES.find(spec).function, spec)
    if spec in TERMS.names():
        return TERMS.find(spec)
    if not is_import_path(spec):
        raise ValueError(
            f"term must be one of {', '.join(term_names())}, or the import path of your own; "
            f"got {spec!r}"
        )
    return _own(import_named(spec, "term", trust, _is_declared), spec)


def _is_declared(thing: object) -> bool:
    return PENALTIES.declares(thing) or TERMS.declares(thing)


def make_term(spec: str, **settings: Any) -> Any:
    """A term by name or import path, with its settings: `make_term("jl1", columns=1)`."""
    return find_term(spec)(**settings)
