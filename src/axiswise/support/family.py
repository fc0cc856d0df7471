"""Families: things of one kind that a user chooses by name, each declared where it stands.

A file of a family's package declares with the family's decorator, `@metric("mig", …)` above a
function or class. The names are read off the files, so that a list of them imports nothing; a thing
is imported when it is asked for. A user's own thing goes by its import path.
"""

import importlib
import re
from collections.abc import Callable
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar

from axiswise.support.imports import Trust, import_named, is_import_path
from axiswise.support.reading import read_text

T = TypeVar("T")
Thing = TypeVar("Thing")


class Family(Generic[T]):
    """Things of one kind, by name.

    Args:
        what: What one of them is, as errors call it: "metric".
        package: Where ours are declared, one or several in a file: "axiswise.metrics".
        decorator: Name of the decorator that declares one; its first argument is the name.
        own: Makes a declaration of a user's object that bears none, or raises a TypeError that
            says what it must be; takes the object and the import path.
    """

    def __init__(
        self, what: str, package: str, decorator: str, own: Callable[[Any, str], T]
    ) -> None:
        self.what, self.package = what, package
        self._decorator, self._own = decorator, own
        self._declared: dict[str, T] = {}
        self._of_object: dict[int, T] = {}

    def declaring(self, name: str, declaration: Callable[[Any], T]) -> Callable[[Thing], Thing]:
        """A decorator that enters what stands below it, and leaves it as it is."""

        def declare(thing: Thing) -> Thing:
            self.declare(name, thing, declaration(thing))
            return thing

        return declare

    def declare(self, name: str, thing: object, declaration: T) -> None:
        """Enter a thing.

        A user's own may be declared again, as where a cell of a notebook is run again.

        Raises:
            ValueError: If the name is that of one of ours.
        """
        if name in self._declared and name in self._modules:
            raise ValueError(f"{self.what} {name!r} is declared twice")
        self._declared[name] = declaration
        self._of_object[id(thing)] = declaration

    def names(self) -> list[str]:
        """Names of ours, sorted; nothing is imported."""
        return sorted(self._modules)

    def find(self, spec: str, trust: Trust | None = None) -> T:
        """The declaration of one of ours, or of a user's own.

        Args:
            spec: A name, or an import path.
            trust: What code may be run, if a file names the thing; None if the user does.

        Raises:
            ValueError: If it is neither.
            UntrustedCodeError: If it is an import path of code that may not be run.
            ImportError: If there is nothing at the import path.
            TypeError: If what is there is of another kind.
        """
        if spec in self._modules:
            importlib.import_module(self._modules[spec])
            return self._declared[spec]
        if not is_import_path(spec):
            raise ValueError(
                f"{self.what} must be one of {', '.join(self.names())}, or an import path "
                f"(module:name) of your own; got {spec!r}"
            )
        found = import_named(spec, self.what, trust, self.declares)
        declared = self._of_object.get(id(found))
        return self._own(found, spec) if declared is None else declared

    def declares(self, thing: object) -> bool:
        """Whether a thing was declared."""
        return id(thing) in self._of_object

    @cached_property
    def _modules(self) -> dict[str, str]:
        """Name → module that declares it."""
        return declared_names(self.package, self._decorator)


def declared_names(package: str, decorator: str) -> dict[str, str]:
    """Name → module of all that a package declares with a decorator; the package is not imported.

    Args:
        package: Such as "axiswise.metrics"; the packages above it are imported.
        decorator: Such as "metric".
    """
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    declaration = re.compile(rf'^@{decorator}\(\s*"([^"]+)"', re.MULTILINE)
    return {
        name: f"{package}.{path.stem}"
        for folder in spec.submodule_search_locations
        for path in sorted(Path(folder).glob("*.py"))
        for name in declaration.findall(read_text(path))
    }
