"""What the page of a figure is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from matplotlib.figure import Figure as Picture

from axiswise import plots
from axiswise.runs.figures.figure import Figure
from axiswise.runs.run import Run

# Model → the evaluation of each of its runs, by seed.
Evaluations: TypeAlias = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Drawing:
    """A picture of the page: its file name, the picture, and a sentence about it."""

    file: str
    picture: Picture
    caption: str


@dataclass(frozen=True)
class Films:
    """Films of the page: a section with their entries, and the MP4 files by name."""

    title: str
    files: Mapping[str, bytes]
    gallery: plots.Gallery
    caption: str


Part: TypeAlias = Drawing | Films | plots.Table


@dataclass(frozen=True)
class Page:
    """What a page is made of."""

    figure: Figure
    evaluations: Evaluations  # of the models that have any
    pictured: Mapping[str, Run]  # a run of each model, where what is drawn needs runs
