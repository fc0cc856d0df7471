"""Recipes: the papers' experiments and ours, as YAML; and how they become a `TrainConfig`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser, Namespace

from axiswise.objectives import find_term
from axiswise.support.files import UnreadableFileError
from axiswise.support.imports import see_current_folder
from axiswise.training.config import GANConfig, TrainConfig, VAEConfig
from axiswise.training.shipped import recipe_descriptions as recipe_descriptions
from axiswise.training.shipped import recipe_names as recipe_names
from axiswise.training.shipped import recipe_path as recipe_path

_TRAINERS: dict[str, type[TrainConfig]] = {"vae": VAEConfig, "gan": GANConfig}
# The keys whose networks take the size and the channels of the data.
_NETWORKS = {"vae": ["model"], "gan": ["generator", "critic"]}


def recipe_parser(trainer: str = "vae", terms: Mapping[str, str] | None = None) -> ArgumentParser:
    """The parser of all that a recipe may say; it raises instead of leaving the process.

    Args:
        trainer: What the recipe trains, "vae" or "gan".
        terms: Name of each of its terms → the term: a name of ours or an import path.
    """
    see_current_folder()  # for class paths of the user's
    parser = ArgumentParser(exit_on_error=False, prog="axiswise train RECIPE")
    parser.add_argument("--recipe", action="config", help="the recipe, as YAML")
    parser.add_class_arguments(_TRAINERS[trainer], skip={"terms"})
    for name, spec in (terms or {}).items():
        parser.add_class_arguments(find_term(spec), f"terms.{name}")
        if spec != name:
            parser.add_argument(f"--terms.{name}.term", type=str, help="the term's import path")
    for network in _NETWORKS[trainer]:
        for index, target in ((1, "size"), (0, "channels")):
            parser.link_arguments(
                "data",
                f"{network}.init_args.{target}",
                compute_fn=lambda data, index=index: data.shape[index],
                apply_on="instantiate",
            )
    return parser


def read_keys(path: Path) -> dict[str, Any]:
    """The keys and values of a recipe, as they stand there.

    Args:
        path: A YAML file.

    Raises:
        UnreadableFileError: If the file holds no keys and values in YAML.
        OSError: If it cannot be read.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UnreadableFileError(f"{path} is no YAML file: {error}") from error
    if not isinstance(content, dict):
        raise UnreadableFileError(f"{path} is no recipe: it has no keys")
    return content


@dataclass(frozen=True)
class Settings:
    """A recipe with its overrides, parsed and validated; nothing of it is built yet.

    Attributes:
        keys: All keys and their values, as a namespace; values can be set.
    """

    keys: Namespace
    _parser: ArgumentParser

    def dump(self) -> str:
        """YAML that `read_recipe` reads back to the same."""
        return self._parser.dump(self.keys, skip_unset=False)  # type: ignore[no-any-return]

    def build(self) -> TrainConfig:
        """Make the data, the network, the objective and the terms.

        The network's first weights follow from the seed alone.

        Raises:
            ValueError: On a value out of range.
            OSError: If the data cannot be read.
        """
        keys = self.keys.clone()
        for told in vars(keys.get("terms", Namespace())).values():
            told.pop("term", None)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(keys.seed)
            built = self._parser.instantiate(keys)
        terms = vars(built.pop("terms", None) or Namespace())
        return _TRAINERS[self.keys.trainer](terms=terms, **vars(built))


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Settings:
    """Parse and validate a recipe.

    Args:
        path: A YAML file.
        overrides: Command-line words such as `--terms.jl1.weight 0.3`, which adds the term where
            the recipe lacks it; `--terms.jl1 null` removes it, `--terms null` all of them.

    Raises:
        ArgumentError: From jsonargparse, on an unknown key or a wrong type.
        ValueError: On an unknown term.
        UnreadableFileError: If the file holds no keys and values in YAML, or an unknown trainer.
    """
    content, words = _with_terms(read_keys(path), overrides, path)
    parser = _parser_of(content, path)
    keys = parser.parse_args([f"--recipe={yaml.safe_dump(content, sort_keys=False)}", *words])
    del keys["recipe"]
    keys.name = keys.name or path.stem
    return Settings(keys, parser)


def recipe_help(path: Path, overrides: Sequence[str] = ()) -> str:
    """All keys of a recipe with their meanings, as text."""
    content, _ = _with_terms(read_keys(path), overrides, path)
    return _parser_of(content, path).format_help()


def _parser_of(content: dict[str, Any], path: Path) -> ArgumentParser:
    trainer = content.get("trainer", "vae")
    if trainer not in _TRAINERS:
        raise UnreadableFileError(
            f"{path} is no recipe: trainer must be one of {', '.join(_TRAINERS)}, got {trainer!r}"
        )
    terms = content.get("terms", {})
    return recipe_parser(trainer, {name: told.get("term", name) for name, told in terms.items()})


def _with_terms(
    content: dict[str, Any], overrides: Sequence[str], path: Path
) -> tuple[dict[str, Any], list[str]]:
    """A recipe with the overrides of its terms put in, and the other overrides.

    The terms have to be known before there can be a parser of their settings.
    """
    terms = _mapping(content.get("terms"), f"{path} is no recipe: terms")
    terms = {name: _mapping(told, name) for name, told in terms.items() if told is not None}
    rest, words = [], iter(overrides)
    for word in words:
        key, given, text = word.partition("=")
        if key != "--terms" and not key.startswith("--terms."):
            rest.append(word)
            continue
        value = text if given else next(words, None)
        if value is None:
            raise ValueError(f"{key} must have a value")
        value = yaml.safe_load(value)
        _, *names = key.split(".", 2)
        if not names:
            terms = {} if value is None else {**_mapping(value, key)}
        elif len(names) == 1 and value is None:
            terms.pop(names[0], None)
        elif len(names) == 1:
            terms[names[0]] = {**terms.get(names[0], {}), **_mapping(value, key)}
        else:
            terms[names[0]] = {**terms.get(names[0], {}), names[1]: value}
    return {**content, "terms": terms}, rest


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"{what} must hold keys and values, got {value!r}")
    return dict(value or {})
