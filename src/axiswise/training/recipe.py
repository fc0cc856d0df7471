"""Recipes: the papers' experiments and ours, as YAML; and how they become a `Recipe`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentParser, Namespace
from torch import nn

from axiswise.objectives import find_term
from axiswise.support.files import UnreadableFileError
from axiswise.support.imports import see_current_folder
from axiswise.training.shipped import recipe_descriptions as recipe_descriptions
from axiswise.training.shipped import recipe_names as recipe_names
from axiswise.training.shipped import recipe_path as recipe_path
from axiswise.training.trainer import TRAINERS, Recipe

# Name of a section of a recipe that training does not read → the dataclass of its keys.
Sections = Mapping[str, type]
M = TypeVar("M", bound=nn.Module)


def _parser(
    recipe_type: type[Recipe], terms: Mapping[str, str], sections: Sections
) -> ArgumentParser:
    """The parser of a recipe's keys; it raises errors instead of ending the process."""
    see_current_folder()  # for class paths of the user's
    parser = ArgumentParser(exit_on_error=False, prog="axiswise train RECIPE")
    parser.add_argument("--recipe", action="config", help="the recipe, as YAML")
    networks = _networks(recipe_type)
    parser.add_class_arguments(recipe_type, skip={"terms", *networks})
    for name, base in networks.items():
        parser.add_subclass_arguments(
            base, name, required=True, instantiate=False, skip={"size", "channels"}
        )
    for name, spec in terms.items():
        parser.add_class_arguments(find_term(spec), f"terms.{name}")
        if spec != name:
            parser.add_argument(f"--terms.{name}.term", type=str, help="the term's import path")
    for name, section in sections.items():
        parser.add_class_arguments(section, name)
    return parser


def _networks(recipe_type: type[Recipe]) -> dict[str, type[nn.Module]]:
    """The networks that a recipe names, and their base classes."""
    hints = get_type_hints(recipe_type)
    return {
        key.name: get_args(hints[key.name])[1]
        for key in fields(recipe_type)
        if get_origin(hints[key.name]) is Callable
    }


def _make(base: type[M], settings: Namespace, **sizes: int) -> M:
    """A network of some settings and sizes."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base, "network")
    given = settings.as_dict()
    given["init_args"] = {**given.get("init_args", {}), **sizes}
    return parser.instantiate(parser.parse_object({"network": given})).network  # type: ignore[no-any-return]


def read_keys(path: Path, what: str = "recipe") -> dict[str, Any]:
    """The keys and values of a YAML file, a recipe or something else, unchecked.

    Raises:
        UnreadableFileError: If it has none.
        OSError: If it cannot be read.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UnreadableFileError(f"{path} is no YAML file: {error}") from error
    if not isinstance(content, dict):
        raise UnreadableFileError(f"{path} is no {what}: it has no keys")
    return content


@dataclass(frozen=True)
class Settings:
    """A recipe with its overrides, parsed and validated, but not built.

    Attributes:
        keys: All keys and their values, as a namespace; values can be set.
    """

    keys: Namespace
    _parser: ArgumentParser

    def dump(self) -> str:
        """YAML that `read_recipe` reads back to the same."""
        return self._parser.dump(self.keys, skip_unset=False)  # type: ignore[no-any-return]

    def build(self) -> Recipe:
        """The recipe, with its data, objective and terms; networks are made when training starts.

        Raises:
            ValueError: On a value out of range.
            OSError: If the data cannot be read.
        """
        built = vars(self._built())
        recipe_type = TRAINERS.find(self.keys.trainer).recipe_type
        for name, base in _networks(recipe_type).items():
            built[name] = partial(_make, base, built[name])
        built["terms"] = vars(built.get("terms", Namespace()))
        return recipe_type(**{key.name: built[key.name] for key in fields(recipe_type)})

    def section(self, name: str) -> Any:
        """A section that training does not read, built."""
        return self._built()[name]

    def _built(self) -> Namespace:
        keys = self.keys.clone()
        for term in vars(keys.get("terms", Namespace())).values():
            term.pop("term", None)  # it names the term
        return self._parser.instantiate(keys)  # type: ignore[no-any-return]


def read_recipe(
    path: Path, overrides: Sequence[str] = (), sections: Sections = MappingProxyType({})
) -> Settings:
    """Parse and validate a recipe.

    Args:
        path: A YAML file.
        overrides: Command-line words such as `--terms.jl1.weight 0.3`, which adds the term where
            the recipe lacks it; `--terms.jl1 null` removes it, `--terms null` all of them.
        sections: Names and dataclasses of further sections.

    Raises:
        ArgumentError: From jsonargparse, on an unknown key or a wrong type.
        ValueError: On an unknown trainer or term.
        ImportError: If there is nothing at an import path.
        UnreadableFileError: If the file has no keys and values.
    """
    parser, content, words = _prepared(path, overrides, sections)
    keys = parser.parse_args([f"--recipe={yaml.safe_dump(content, sort_keys=False)}", *words])
    del keys["recipe"]
    keys.name = keys.name or path.stem
    return Settings(keys, parser)


def recipe_help(
    path: Path, overrides: Sequence[str] = (), sections: Sections = MappingProxyType({})
) -> str:
    """All keys of a recipe with their meanings, as text."""
    return _prepared(path, overrides, sections)[0].format_help()


def _prepared(
    path: Path, overrides: Sequence[str], sections: Sections
) -> tuple[ArgumentParser, dict[str, Any], list[str]]:
    """The parser of a recipe, the recipe with overridden terms, and the other overrides."""
    written = read_keys(path)
    content, words = _with_overrides(written, overrides, path)
    chosen = content.setdefault("trainer", "vae")
    if not isinstance(chosen, str):
        raise ValueError(f"{path} is no recipe: trainer must be a name, got {chosen!r}")
    try:
        recipe_type = TRAINERS.find(chosen).recipe_type
    except ValueError as error:
        if chosen != written.get("trainer"):  # it comes from the command line
            raise
        raise UnreadableFileError(f"{path} is no recipe: {error}") from error
    terms = {name: str(term.get("term", name)) for name, term in content["terms"].items()}
    return _parser(recipe_type, terms, sections), content, words


def _with_overrides(
    content: dict[str, Any], overrides: Sequence[str], path: Path
) -> tuple[dict[str, Any], list[str]]:
    """A recipe with its trainer and terms overridden, and the other overrides.

    Trainer and terms have to be known before there can be a parser of their settings.
    """
    terms = _mapping(content.get("terms"), f"{path} is no recipe: terms")
    terms = {name: _mapping(given, name) for name, given in terms.items() if given is not None}
    trainer, rest, words = {}, [], iter(overrides)
    for word in words:
        key, given, text = word.partition("=")
        if key not in ("--terms", "--trainer") and not key.startswith("--terms."):
            rest.append(word)
            continue
        value = text if given else next(words, None)
        if value is None:
            raise ValueError(f"{key} must have a value")
        value = yaml.safe_load(value)
        _, *names = key.split(".", 2)
        if key == "--trainer":
            trainer = {"trainer": value}
        elif not names:
            terms = {} if value is None else {**_mapping(value, key)}
        elif len(names) == 1 and value is None:
            terms.pop(names[0], None)
        elif len(names) == 1:
            terms[names[0]] = {**terms.get(names[0], {}), **_mapping(value, key)}
        else:
            terms[names[0]] = {**terms.get(names[0], {}), names[1]: value}
    return {**content, **trainer, "terms": terms}, rest


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"{what} must be keys and values, got {value!r}")
    return dict(value or {})
