"""The papers' figures: the runs of each, and the numbers that the paper shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from axiswise.support.reading import read_yaml

_FOLDER = resources.files("axiswise") / "figures"


@dataclass(frozen=True)
class Model:
    """A row of a figure: runs of a recipe, or what is made of another row's runs, seed by seed.

    Or searches for directions, where a figure is about a generator that is trained already.
    """

    recipe: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the recipe or the search
    init: str = ""  # row whose runs' weights training starts from
    sefa: str = ""  # row whose GANs' axes SeFa finds anew, in place of a recipe
    discover: str = ""  # method of a search, in place of a recipe
    subspace: str | None = None  # latents that are searched; all if None
    classes: list[int] | None = None  # that the generator draws from; all if None
    extent: float | None = None  # of its pictures; see `axiswise show`


@dataclass(frozen=True)
class Scale:
    """The runs of a figure, at one scale."""

    seeds: list[int]  # of each model
    models: dict[str, Model]  # by the name in the figure
    settings: dict[str, Any] = field(default_factory=dict)  # keys of all recipes that change
    metrics: list[str] = field(default_factory=list)  # in place of the figure's


@dataclass(frozen=True)
class Figure:
    """A figure of a paper; its first model is the one that others are compared with."""

    title: str
    source: str  # paper and figure
    about: str
    draws: list[str]  # what is on the page, in order: names in `pages.DRAWN`
    shows: list[str]  # scores in its tables; one that ends in _ stands for all that start so
    metrics: list[str]  # for `axiswise evaluate`; figures that share runs take the same
    scores: list[str]  # that a run must have to be shown; none of searches
    scales: dict[str, Scale]  # "fast": at most two hours of two cores; "paper": its own budget
    measured: str = ""  # what its table of means is of
    # Score → model → radius → the paper's number; and what of its seeds that is.
    published: Mapping[str, Mapping[str, Mapping[float, float]]] = field(default_factory=dict)
    statistic: str = "median"
    scene: list[list[int]] = field(default_factory=list)  # dots of its first image, x and y of 64
    # "data" or "generator", an option of the command → what it is made of, and how that is had.
    needs: Mapping[str, str] = field(default_factory=dict)


def figure_names() -> list[str]:
    """Names of the figures, sorted."""
    files = _FOLDER.iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def read_figure(name: str) -> Figure:
    """Read a figure by its name; a ValueError if there is none."""
    if name not in figure_names():
        raise ValueError(f"FIGURE must be one of {', '.join(figure_names())}; got {name!r}")
    content = read_yaml(Path(str(_FOLDER / f"{name}.yaml")))
    scales = {scale: _scale(**budget) for scale, budget in content.pop("scales").items()}
    return Figure(**content, scales=scales)


def _scale(models: Mapping[str, Any], **budget: Any) -> Scale:
    """A scale as it stands in a file, where a model may be the name of its recipe alone."""
    named = {
        name: Model(**model) if isinstance(model, Mapping) else Model(model)
        for name, model in models.items()
    }
    return Scale(models=named, **budget)
