"""What the page of a figure is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from matplotlib.figure import Figure as Picture

from axiswise import plots
from axiswise.runs.directions_folder import DirectionsFolder
from axiswise.runs.figures.figure import Figure, Scale
from axiswise.runs.run import Run
from axiswise.support.progress import StartBar, no_bars

# Model → the evaluation of each of its runs, by seed.
Evaluations: TypeAlias = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Drawing:
    """A picture of the page: its file name, the picture, and a sentence about it."""

    file: str
    picture: Picture | bytes  # a PNG file's
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
    evaluations: Evaluations  # a model may have none yet
    pictured: Mapping[str, Run]  # a run of each model, where what is drawn needs runs
    searches: Mapping[str, list[DirectionsFolder]]  # of models that are searches
    scale: Scale
    start_bar: StartBar = no_bars
