"""Recipes: the papers' experiments and ours, as YAML; and how they become a `TrainConfig`."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser, Namespace

from axiswise.support.files import UnreadableFileError
from axiswise.support.imports import see_current_folder
from axiswise.training.config import GANConfig, TrainConfig, VAEConfig

_FOLDER = resources.files("axiswise") / "recipes"
_KINDS: dict[str, type[TrainConfig]] = {"vae": VAEConfig, "gan": GANConfig}
# The keys whose networks take the size and the channels of the data.
_NETWORKS = {"vae": ["model"], "gan": ["generator", "critic"]}


def recipe_names() -> list[str]:
    """Names of the shipped recipes, sorted."""
    files = _FOLDER.iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def recipe_descriptions() -> dict[str, str]:
    """Name and description of each shipped recipe."""
    return {
        name: yaml.safe_load(recipe_path(name).read_text(encoding="utf-8"))["description"]
        for name in recipe_names()
    }


def recipe_path(recipe: str) -> Path:
    """The file of a recipe.

    Args:
        recipe: A shipped name, or a path of a YAML file.

    Returns:
        Its path.

    Raises:
        FileNotFoundError: If it is neither.
    """
    if recipe in recipe_names():
        return Path(str(_FOLDER / f"{recipe}.yaml"))
    path = Path(recipe)
    if not path.is_file():
        raise FileNotFoundError(
            f"RECIPE must be a YAML file or one of {', '.join(recipe_names())}; got {recipe!r}"
        )
    return path


def recipe_parser(kind: str = "vae") -> ArgumentParser:
    """The parser of all that a recipe may say; it raises instead of leaving the process.

    Args:
        kind: What the recipe trains, "vae" or "gan".
    """
    see_current_folder()  # for class paths of the user's
    parser = ArgumentParser(exit_on_error=False, prog="axiswise train RECIPE")
    parser.add_argument("--recipe", action="config", help="a YAML file to start from")
    parser.add_class_arguments(_KINDS[kind])
    for network in _NETWORKS[kind]:
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


def recipe_kind(path: Path) -> str:
    """What a recipe trains.

    Args:
        path: A YAML file.

    Returns:
        "vae" or "gan".

    Raises:
        UnreadableFileError: If the file holds no keys and values in YAML, or another kind.
    """
    kind = read_keys(path).get("kind", "vae")
    if kind not in _KINDS:
        raise UnreadableFileError(
            f"{path} is no recipe: kind must be one of {', '.join(_KINDS)}, got {kind!r}"
        )
    return str(kind)


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Namespace:
    """Parse and validate a recipe; nothing of it is built yet.

    Args:
        path: A YAML file.
        overrides: Command-line words such as `--penalty.weight 0.3`.

    Returns:
        The config as a namespace.

    Raises:
        ArgumentError: From jsonargparse, on an unknown key or a wrong type.
        UnreadableFileError: If the file holds no keys and values in YAML, or an unknown kind.
    """
    parser = recipe_parser(recipe_kind(path))
    config = parser.parse_args([f"--recipe={path}", *overrides])
    config.name = config.name or path.stem
    return config


def dump_recipe(config: Namespace) -> str:
    """The resolved config as YAML that `read_recipe` reads back."""
    return recipe_parser(config.kind).dump(config, skip_unset=False)  # type: ignore[no-any-return]


def build(config: Namespace) -> TrainConfig:
    """Make the data, the network and the objective that a config names.

    The network's first weights follow from the config's seed alone.

    Args:
        config: What `read_recipe` returned.

    Returns:
        The config with all its objects.

    Raises:
        ValueError: On a value out of range.
        OSError: If the data cannot be read.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        built = recipe_parser(config.kind).instantiate(config)
    keys = {key: value for key, value in vars(built).items() if key != "recipe"}
    return _KINDS[config.kind](**keys)
