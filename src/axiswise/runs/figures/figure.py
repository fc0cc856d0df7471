"""The papers' figures: the runs of each, and the numbers that the paper shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from axiswise.support.reading import read_yaml

_FOLDER = resources.files("axiswise") / "figures"


@dataclass(frozen=True)
class Scale:
    """The runs of a figure, at one scale."""

    seeds: list[int]  # of each model
    models: dict[str, str]  # name in the figure → recipe
    settings: dict[str, Any] = field(default_factory=dict)  # keys of the recipes that change


@dataclass(frozen=True)
class Figure:
    """A figure of a paper; its first model is the one that others are compared with."""

    title: str
    source: str  # paper and figure
    about: str
    page: Literal["columns", "radius", "methods"]
    metrics: list[str]  # for `axiswise evaluate`; figures that share runs take the same
    scores: list[str]  # that a run must have to be shown
    scales: dict[str, Scale]  # "fast": at most two hours of two cores; "paper": its own budget
    # Score → model → radius → the paper's number.
    published: Mapping[str, Mapping[str, Mapping[float, float]]] = field(default_factory=dict)


def figure_names() -> list[str]:
    """Names of the figures, sorted."""
    files = _FOLDER.iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def read_figure(name: str) -> Figure:
    """Read a figure by its name; a ValueError if there is none."""
    if name not in figure_names():
        raise ValueError(f"FIGURE must be one of {', '.join(figure_names())}; got {name!r}")
    content = read_yaml(Path(str(_FOLDER / f"{name}.yaml")))
    scales = {scale: Scale(**budget) for scale, budget in content.pop("scales").items()}
    return Figure(**content, scales=scales)
