"""The code that a recipe names: ours alone, unless the user names it himself or trusts the file.

jsonargparse imports what a recipe names before it looks at what that is, and it finds names in many
places: class paths, names of classes alone, callables and types given as arguments, texts that
contain a mapping, paths of further files. So the whole recipe is checked before, at every depth, by
the types of the arguments, and each name before any import.
"""

import dataclasses
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum
from os import PathLike
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from axiswise.support.imports import (
    Trust,
    import_object,
    is_import_path,
    our_object,
    refusal,
    see_current_folder,
)
from axiswise.support.reading import value_of

_TEXTS = {str, Path}
_NUMBERS = {int, float, bool, NoneType}
_PLAIN = {*_TEXTS, *_NUMBERS, object, Any}
_COLLECTIONS = {list, tuple, dict, set, frozenset}
_MOST = 1000  # values of a list: jsonargparse takes the square of that many steps
_SPEC = {"class_path", "init_args"}
_RESERVED = {*_SPEC, "dict_kwargs"}  # of jsonargparse
_CODE = Callable[..., Any]  # stands for a type that is not known: it may be one of code


@dataclasses.dataclass(frozen=True)
class Checker:
    """Checks the values of a recipe, given what code may be run."""

    trust: Trust

    def value(self, value: Any, hint: Any, where: str, default: Any = None) -> Any:
        """A value for an argument of some type, class paths in full.

        Raises:
            UntrustedCodeError: It names code that may not be run.
            ValueError: It is a text in place of a number, or a list too long.
        """
        kinds = _kinds(hint)
        if isinstance(value, list):
            if len(value) > _MOST:
                raise ValueError(f"{where} must have at most {_MOST} values, got {len(value)}")
            return [
                self.value(part, _item(kinds, place), f"{where}[{place}]")
                for place, part in enumerate(value)
            ]
        base = next(filter(_is_class, kinds), None)
        if isinstance(value, dict) and (base or "class_path" in value):
            return self.spec(value, base, where, default)
        if isinstance(value, dict):
            inside = next((get_args(kind)[1] for kind in kinds if _is_mapping(kind)), Any)
            return {key: self.value(part, inside, f"{where}.{key}") for key, part in value.items()}
        if not isinstance(value, str):
            return value
        if base and (str not in kinds or is_import_path(value)):
            return self.spec(value, base, where, default)
        return self._text(value, hint, kinds, where)

    def spec(self, value: Any, base: type | None, where: str, default: Any = None) -> Any:
        """A class and its arguments; `base` is what it must inherit from, None if not known."""
        if isinstance(value, str):
            value = {"class_path": value}
        if not isinstance(value, dict):
            return value
        chosen = default or base
        if "class_path" in value:
            if strange := sorted(value.keys() - _SPEC):
                raise ValueError(
                    f"{where} must have the keys class_path and init_args, got {strange[0]}"
                )
            path, chosen = self._class(value["class_path"], base, f"{where}.class_path")
            value = {**value, "class_path": path}
        if value.keys() <= _SPEC:
            inside = value.get("init_args")
            if not isinstance(inside, dict):
                return value
            return {**value, "init_args": self.arguments(inside, chosen, where)}
        return self.arguments(value, chosen, where)

    def arguments(self, given: Mapping[str, Any], chosen: Any, where: str) -> dict[str, Any]:
        """The arguments of a class, in place of which jsonargparse would take a class."""
        if strange := sorted(given.keys() & _RESERVED):
            raise ValueError(f"{where} has no key {strange[0]}")
        hints, defaults = _hints(chosen), _defaults(chosen)
        above = f"{where}." if where else ""
        return {
            name: self.value(part, hints(name), f"{above}{name}", defaults.get(name))
            for name, part in given.items()
        }

    def _class(self, spec: Any, base: type | None, where: str) -> tuple[Any, Any]:
        """The full path of a class, and the class; itself and None where jsonargparse finds it."""
        full = spec
        if isinstance(spec, str) and spec.isidentifier() and base is not None:
            home = base.__module__.split(".")[:2]
            full = ".".join([*(home if home[0] == "axiswise" else ("axiswise", "nets")), spec])
        found = our_object(full) if base is not None else None
        if isinstance(found, type):
            return full, found
        if not self.trust.allows(spec):
            raise refusal(where, spec)
        try:
            return spec, import_object(spec, where)
        except (ImportError, ValueError):  # jsonargparse says what is wrong with it
            return spec, None

    def _text(self, text: str, hint: Any, kinds: Sequence[Any], where: str) -> Any:
        """A text, or what jsonargparse would read in it as YAML, checked like that of the file."""
        if all(kind in _TEXTS for kind in kinds):
            return text
        if all(kind in _NUMBERS for kind in kinds):
            if not re.fullmatch(r"[\w.+-]{0,40}", text):
                raise ValueError(f"{where} must be a number, got {text[:40]!r}")
            return text
        tree = value_of(text)
        if isinstance(tree, dict | list):
            return self.value(tree, hint, where)
        harmless = all(kind in _PLAIN or _is_collection(kind) for kind in kinds)
        if not harmless and is_import_path(text):
            if not self.trust.allows(text):
                raise refusal(where, text)
            see_current_folder()
        return text


def check_keys(tree: Any) -> None:
    """Refuse keys that are no words: jsonargparse splits them at dots, and some are its own."""
    parts = [tree]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            for key in part:
                if not isinstance(key, str) or not re.fullmatch(r"(?!__)[\w-]+", key):
                    raise ValueError(f"a key must be a word without dots, got {key!r}")
            parts += part.values()
        elif isinstance(part, list):
            parts += part


def with_value(tree: Mapping[str, Any], names: Sequence[str], value: Any) -> dict[str, Any]:
    """A tree with a value at some keys, as a word of the command line sets it.

    Arguments of a class may be named without `init_args`, as in `model.latent_dim`, and stay where
    the class is changed.
    """
    head, *rest = names
    node = tree.get(head)
    if not rest:
        if not isinstance(value, str) or not isinstance(node, dict):
            return {**tree, head: value}
        rest = ["class_path"]
    if isinstance(node, str):
        node = {"class_path": node}
    node = node if isinstance(node, dict) else {}
    if rest[0] in _SPEC and not node.keys() & _SPEC:
        node = {"init_args": node}
    elif rest[0] not in _SPEC and node.keys() & _SPEC:
        rest = ["init_args", *rest]
    return {**tree, head: with_value(node, rest, value)}


# ---------------------------------------------------------------- types


def _kinds(hint: Any) -> list[Any]:
    """The types that a hint allows, each alone."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return [kind for part in get_args(hint) for kind in _kinds(part)]
    if origin is Annotated:
        return _kinds(get_args(hint)[0])
    if origin is Literal:
        return [type(value) for value in get_args(hint)]
    return [hint]


def _is_class(kind: Any) -> bool:
    """Whether a value is a class's name and arguments."""
    return (
        isinstance(kind, type)
        and kind not in _PLAIN | _COLLECTIONS | {type}
        and not issubclass(kind, Enum | PathLike)
    )


def _is_collection(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, Collection)


def _is_mapping(kind: Any) -> bool:
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping) and len(get_args(kind)) == 2


def _item(kinds: Iterable[Any], place: int) -> Any:
    """The hint of a list's value at a place."""
    for kind in kinds:
        origin, parts = get_origin(kind), get_args(kind)
        if isinstance(origin, type) and issubclass(origin, Iterable) and parts:
            each = origin is tuple and Ellipsis not in parts
            return parts[min(place, len(parts) - 1)] if each else parts[0]
    return Any if any(kind in _COLLECTIONS | {Any, object} for kind in kinds) else _CODE


def _hints(cls: Any) -> Callable[[str], Any]:
    """The hint of each argument of a class, by name; `_CODE` where it is not known."""
    if cls is None:
        return lambda _: _CODE
    try:
        parameters = inspect.signature(cls).parameters
        hints = get_type_hints(cls.__init__)
    except Exception:  # whatever a user's annotations raise
        return lambda _: _CODE
    passes_on = any(known.kind is known.VAR_KEYWORD for known in parameters.values())

    def hint(name: str) -> Any:
        known = name in parameters or not passes_on
        return hints.get(name, Any) if known else _CODE

    return hint


def _defaults(cls: Any) -> dict[str, type]:
    """The classes of what an argument is if it is not given."""
    if not dataclasses.is_dataclass(cls):
        return {}
    made: dict[str, Any] = {field.name: field.default_factory for field in dataclasses.fields(cls)}
    return {name: kind for name, kind in made.items() if isinstance(kind, type)}
