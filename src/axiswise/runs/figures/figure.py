"""The papers' figures: which runs each takes, and the numbers that the paper shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal

import yaml

_FOLDER = resources.files("axiswise") / "figures"


@dataclass(frozen=True)
class Scale:
    """How much is spent on a figure.

    Attributes:
        seeds: Of each model's runs.
        models: What a model is called in the figure, and its recipe.
        settings: Keys of these recipes that are changed.
    """

    seeds: list[int]
    models: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """A figure of a paper.

    Attributes:
        title: What it is called here.
        source: Paper and figure.
        about: What it shows.
        page: How its page is drawn: Jacobian columns, scores against radius, or methods side by
            side; the first model is the one that others are compared with.
        metrics: What its runs are scored by, as `axiswise evaluate --metrics` has it. Figures that
            share runs ask for the same.
        scores: Scores that a run must have to be shown.
        scales: "fast" for two hours of two cores at most, "paper" for the paper's own budget.
        published: Score → model → radius → the paper's number.
    """

    title: str
    source: str
    about: str
    page: Literal["columns", "radius", "methods"]
    metrics: list[str]
    scores: list[str]
    scales: dict[str, Scale]
    published: Mapping[str, Mapping[str, Mapping[float, float]]] = field(default_factory=dict)


def figure_names() -> list[str]:
    """Names of the figures, sorted."""
    files = _FOLDER.iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def read_figure(name: str) -> Figure:
    """The figure of a name.

    Raises:
        ValueError: If there is no such figure.
    """
    if name not in figure_names():
        raise ValueError(f"FIGURE must be one of {', '.join(figure_names())}; got {name!r}")
    content = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    scales = {scale: Scale(**budget) for scale, budget in content.pop("scales").items()}
    return Figure(**content, scales=scales)
