"""Recipes: the papers' experiments and ours, as YAML; and how they become a `Recipe`."""

import re
from argparse import SUPPRESS
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from torch import nn

from axiswise import data
from axiswise.data.factors import settled
from axiswise.objectives import Term, find_term
from axiswise.support.checks import close
from axiswise.support.files import UnreadableFileError
from axiswise.support.imports import Trust, UntrustedCodeError
from axiswise.support.parsers import argument_parser
from axiswise.support.reading import dump_yaml, parse_yaml, read_yaml, value_of
from axiswise.training.named_code import Checker, check_keys, with_value
from axiswise.training.shipped import recipe_descriptions as recipe_descriptions
from axiswise.training.shipped import recipe_names as recipe_names
from axiswise.training.shipped import recipe_path as recipe_path
from axiswise.training.trainer import TRAINERS, Recipe

# Name of a section of a recipe that training does not read → the dataclass of its keys.
Sections = Mapping[str, type]
M = TypeVar("M", bound=nn.Module)
# Name of a term → its name or import path, and its settings.
_Terms = Mapping[str, tuple[str, type[Term]]]

_FOLDER = "axiswise.data.ImageFolder"
_RECIPE = "recipe"  # the parser's name for the whole recipe


def _parser(recipe_type: type[Recipe], terms: _Terms, sections: Sections) -> ArgumentParser:
    """The parser of a recipe's keys."""
    parser = argument_parser(prog="axiswise train RECIPE")
    parser.add_argument(f"--{_RECIPE}", action="config", help=SUPPRESS)
    networks = _networks(recipe_type)
    parser.add_class_arguments(recipe_type, skip={"terms", *networks})
    for name, base in networks.items():
        parser.add_subclass_arguments(
            base, name, required=True, instantiate=False, skip={"size", "channels"}
        )
    for name, (spec, term) in terms.items():
        parser.add_class_arguments(term, f"terms.{name}")
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
    parser = argument_parser()
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
    content = read_yaml(path)
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
        keys = self.keys.clone()
        if keys.init is None:  # most have none
            del keys["init"]
        return self._parser.dump(keys, skip_unset=False)  # type: ignore[no-any-return]

    def tree(self) -> dict[str, Any]:
        """All keys and their values, as the file of a run has them."""
        return parse_yaml(self.dump())  # type: ignore[no-any-return]

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

    def settle(self, recipe: Recipe) -> None:
        """Take over what the data and other keys decided, so that a resumed run has it."""
        self.keys.steps = recipe.steps
        for name, value in settled(recipe.data).items():
            self.keys[f"data.init_args.{name}"] = value

    def section(self, name: str) -> Any:
        """A section that training does not read, built."""
        return self._built()[name]

    def _built(self) -> Namespace:
        keys = self.keys.clone()
        for term in vars(keys.get("terms", Namespace())).values():
            term.pop("term", None)  # it names the term
        return self._parser.instantiate(keys)  # type: ignore[no-any-return]


def read_recipe(
    path: Path,
    overrides: Sequence[str] = (),
    sections: Sections = MappingProxyType({}),
    trust: Trust | None = None,
) -> Settings:
    """Parse and validate a recipe. No code is imported but ours and what is trusted.

    Args:
        path: A YAML file.
        overrides: Command-line words such as `--terms.jl1.weight 0.3`, which adds the term where
            the recipe lacks it; `--terms.jl1 null` removes it, `--terms null` all of them. `--data
            FOLDER` stands for images in a folder, at the size that the recipe has.
        sections: Names and dataclasses of further sections.
        trust: What code recipe and overrides may name; what the overrides name if None.

    Raises:
        ArgumentError: From jsonargparse, on an unknown key or a wrong type.
        ValueError: On an unknown trainer or term.
        UntrustedCodeError: If it names code that may not be run.
        ImportError: If there is nothing at an import path.
        UnreadableFileError: If the file has no keys and values.
    """
    parser, content, words = _prepared(path, overrides, sections, trust)
    # The empty lines keep it from being the path of a file.
    whole = "\n" * 2**15 + dump_yaml(content)
    try:
        keys = parser.parse_args([f"--{_RECIPE}={whole}", *words], env=False)
    except ArgumentError as error:
        raise ArgumentError(None, str(error) + _hint(str(error), parser)) from error
    del keys[_RECIPE]
    keys.name = keys.name or path.stem
    return Settings(keys, parser)


def _hint(error: str, parser: ArgumentParser) -> str:
    """What helps with a wrong key or class."""
    keys = [f"--{key}" for key in parser.get_defaults().keys()]  # noqa: SIM118 - of nested ones
    if unknown := re.search(r"unrecognized arguments: (--[^\s=]+)", error):
        hint = close(unknown[1], keys)
    elif unknown := re.search(r"Group '(\S+)' does not accept option '(\S+)'", error):
        hint = close(f"--{unknown[1]}.{unknown[2]}", keys)
    elif "class_path" in error or "import path" in error:
        hint = ""
    else:
        return ""
    return f"{hint or ';'} `axiswise train RECIPE --help` lists all keys and classes"


def recipe_help(
    path: Path,
    overrides: Sequence[str] = (),
    sections: Sections = MappingProxyType({}),
    trust: Trust | None = None,
) -> str:
    """All keys of a recipe with their meanings, as text."""
    return _prepared(path, overrides, sections, trust)[0].format_help()


def _prepared(
    path: Path, overrides: Sequence[str], sections: Sections, trust: Trust | None
) -> tuple[ArgumentParser, dict[str, Any], list[str]]:
    """The parser of a recipe, the recipe with overridden terms, and the other overrides."""
    trust = Trust.of(overrides) if trust is None else trust
    written = read_keys(path)
    try:
        with _blaming(path):
            check_keys(written)
        content, words = _with_overrides(written, overrides, path)
        chosen = content.setdefault("trainer", "vae")
        with _blaming(path if chosen == written.get("trainer") else None):
            recipe_type = _recipe_type(chosen, trust)
        specs = {name: str(term.get("term", name)) for name, term in content["terms"].items()}
        terms = {name: (spec, find_term(spec, trust)) for name, spec in specs.items()}
        check = partial(_checked, _Known(recipe_type, terms, sections, Checker(trust)))
        with _blaming(path):
            tree = content = check(content)
        for key, text in words:
            if key.endswith(".help") and not trust.allows(text):  # it imports the class
                raise UntrustedCodeError(f"--{key}", text)
            tree = check(with_value(tree, key.removesuffix("+").split("."), value_of(text or "")))
    except UntrustedCodeError as error:
        raise UntrustedCodeError(f"{path}: {error.what}", error.spec) from error
    parser = _parser(recipe_type, terms, sections)
    networks = _networks(recipe_type)
    return parser, content, [_word(key, text, networks) for key, text in words]


@contextmanager
def _blaming(path: Path | None) -> Iterator[None]:
    """Within it, what is wrong is wrong with a file."""
    try:
        yield
    except ValueError as error:
        if path is None or isinstance(error, UntrustedCodeError):
            raise
        raise UnreadableFileError(f"{path} is no recipe: {error}") from error


def _recipe_type(chosen: object, trust: Trust) -> type[Recipe]:
    """The keys of a recipe of some kind of training."""
    if not isinstance(chosen, str):
        raise ValueError(f"trainer must be a name, got {chosen!r}")
    return TRAINERS.find(chosen, trust).recipe_type


@dataclass(frozen=True)
class _Known:
    """What a recipe's values are checked by."""

    recipe_type: type[Recipe]
    terms: _Terms
    sections: Sections
    checker: Checker


def _checked(known: _Known, content: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe whose values name no code that may not be run; class paths in full."""
    check, networks = known.checker, _networks(known.recipe_type)
    if _RECIPE in content:
        raise ValueError(f"{_RECIPE} is no key of a recipe")
    made = {}
    for key, value in content.items():
        if key == "terms":
            made[key] = {
                name: check.arguments(given, known.terms[name][1], f"{key}.{name}")
                for name, given in value.items()
            }
        elif key in known.sections:
            made[key] = check.arguments(_mapping(value, key), known.sections[key], key)
        elif key in networks:
            made[key] = check.spec(value, networks[key], key)
        elif key in known.recipe_type.__dataclass_fields__:
            made |= check.arguments({key: value}, known.recipe_type, "")
        else:  # jsonargparse refuses the key, and does not look at its value
            made[key] = value
    return made


def _with_overrides(
    content: dict[str, Any], overrides: Sequence[str], path: Path
) -> tuple[dict[str, Any], list[tuple[str, str | None]]]:
    """A recipe with its trainer and terms overridden, and the other overrides, keys and values.

    Trainer and terms have to be known before there can be a parser of their settings.
    """
    terms = _mapping(content.get("terms"), f"{path} is no recipe: terms")
    terms = {name: _mapping(given, name) for name, given in terms.items() if given is not None}
    trainer: dict[str, Any] = {}
    rest: list[tuple[str, str | None]] = []
    if isinstance(content.get("init"), str):
        content = {**content, "init": {"run": content["init"]}}
    for key, text in _pairs(overrides):
        if key == "init" and (text == "" or not isinstance(value_of(text or ""), dict | None)):
            key = "init.run"
        if key == "data" and text is not None and _is_folder(text):
            key = "data.path"
            rest += [] if _takes_folder(content.get("data")) else [("data", _FOLDER)]
        if key not in ("terms", "trainer") and not key.startswith("terms."):
            rest.append((key, text))
            continue
        if text is None:
            raise ValueError(f"--{key} must have a value")
        value = parse_yaml(text)
        _, *names = key.split(".", 2)
        if key == "trainer":
            trainer = {key: value}
        elif not names:
            terms = {} if value is None else _mapping(value, f"--{key}")
        elif len(names) == 1 and value is None:
            terms.pop(names[0], None)
        elif len(names) == 1:
            terms[names[0]] = {**terms.get(names[0], {}), **_mapping(value, f"--{key}")}
        else:
            terms[names[0]] = {**terms.get(names[0], {}), names[1]: value}
    return {**content, **trainer, "terms": terms}, rest


def _is_folder(text: str) -> bool:
    """Whether the value of `--data` is a folder of images, and no class."""
    return isinstance(value_of(text), str) and ("/" in text or Path(text).is_dir())


def _takes_folder(spec: Any) -> bool:
    """Whether the class of a recipe's data reads a folder of images."""
    name = spec.get("class_path") if isinstance(spec, dict) else spec
    kind = getattr(data, str(name).rpartition(".")[2], None)
    return isinstance(kind, type) and issubclass(kind, data.ImageFolder)


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Key and value of overrides such as `--key=value` and `--key value`; None without a value."""
    place = 0
    while place < len(words):
        key, given, text = words[place].partition("=")
        place += 1
        if not key.startswith("--"):
            raise ValueError(f"settings of a recipe must be --KEY VALUE, got {key!r}")
        if not given and place < len(words) and not words[place].startswith("--"):
            given, text = "=", words[place]
            place += 1
        yield key[2:], text if given else None


def _word(key: str, text: str | None, networks: Mapping[str, Any]) -> str:
    """An override as a word for jsonargparse, which would take a class's name for a file's."""
    if text is None:
        return f"--{key}"
    named = key in networks and not isinstance(value_of(text), dict)
    return f"--{key}{'.class_path' if named else ''}={text}"


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"{what} must be keys and values, got {value!r}")
    return dict(value or {})
