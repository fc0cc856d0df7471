"""The shipped recipes by name; apart from their reader, which imports torch."""

from importlib import resources
from pathlib import Path

from axiswise.support.checks import close
from axiswise.support.reading import read_yaml

_FOLDER = resources.files("axiswise") / "recipes"


def recipe_names() -> list[str]:
    """Names of the shipped recipes, sorted."""
    files = _FOLDER.iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def recipe_descriptions() -> dict[str, str]:
    """Name and description of each shipped recipe."""
    return {name: read_yaml(recipe_path(name))["description"] for name in recipe_names()}


def recipe_path(recipe: str) -> Path:
    """The file of a recipe, a shipped name or a path of a YAML file.

    Raises:
        FileNotFoundError: If it is neither.
    """
    if recipe in (names := recipe_names()):
        return Path(str(_FOLDER / f"{recipe}.yaml"))
    path = Path(recipe)
    if not path.is_file():
        kind = ", a folder: a run goes on by --resume" if path.is_dir() else close(recipe, names)
        raise FileNotFoundError(
            "RECIPE must be a YAML file or one that `axiswise recipes` lists, such as "
            f"{names[-1]}; got {recipe!r}{kind}"
        )
    return path
