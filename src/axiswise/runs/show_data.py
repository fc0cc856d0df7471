"""`axiswise data`: which data sets there are, and pictures of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from axiswise import data
from axiswise.data import FactorData, Grid, ImageSource

if TYPE_CHECKING:  # the scores take seconds to import, and the list needs none
    from axiswise.support.progress import StartBar

_SAMPLES = 64  # images on the sheet
_STEPS = 16  # images of a factor's range at most

_ANYTHING = "yours"
_OURS = "ours"
_DRAWN = "drawn"


@dataclass(frozen=True)
class Listed:
    """A data set as the list shows it.

    Attributes:
        licence: What its page says, or where to look.
        make: The data set with its default arguments; None where it is a file or folder of the
            user's, so that only a recipe can say which.
    """

    licence: str
    make: Callable[[], ImageSource] | None = None


_MPI3D = "CC BY 4.0"

CATALOGUE: dict[str, Listed] = {
    "ThreeDots": Listed(_OURS, data.ThreeDots),
    "Sprites": Listed(_OURS, data.Sprites),
    "Grid": Listed(_OURS, lambda: Grid(data.Sprites(size=32))),
    "NaturalPatches": Listed("of the packages", data.NaturalPatches),
    "DSprites": Listed("Apache 2.0", data.DSprites),
    "Shapes3D": Listed("Apache 2.0", data.Shapes3D),
    "Cars3D": Listed("see its page", data.Cars3D),
    "SmallNORB": Listed("for research", data.SmallNORB),
    "MPI3D-toy": Listed(_MPI3D, lambda: data.MPI3D("toy")),
    "MPI3D-realistic": Listed(_MPI3D, lambda: data.MPI3D("realistic")),
    "MPI3D-real": Listed(_MPI3D, lambda: data.MPI3D("real")),
    "MPI3D-complex": Listed(_MPI3D, lambda: data.MPI3D("complex")),
    "MPI3D-Multi": Listed(_MPI3D, lambda: Grid(data.MPI3D("real"), cell_size=32)),
    "ImageFolder": Listed(_ANYTHING),
    "EdgesShoes": Listed("see pix2pix"),
    "NpzImages": Listed(_ANYTHING),
    "NpzFactorData": Listed(_ANYTHING),
    "HuggingFaceImages": Listed(_ANYTHING),
}


def data_rows() -> list[list[str]]:
    """All data sets as a table of text, a header first.

    Returns:
        Rows of name, image size, factors with their numbers of values, licence, and whether it is
        here: "yes" or "no", "drawn" where there is no file, "yours" where you say which file.
    """
    rows = [["data", "image", "factors", "licence", "here"]]
    for name, listed in CATALOGUE.items():
        if listed.make is None:
            rows.append([name, "as it is", "", listed.licence, "yours"])
            continue
        source = listed.make()
        image = " × ".join(map(str, source.shape))
        rows.append([name, image, factor_summary(source), listed.licence, _presence(source)])
    return rows


def factor_summary(source: ImageSource) -> str:
    """The factors of a data set with their numbers of values, or nothing where it has none.

    Args:
        source: The data set.
    """
    if isinstance(source, Grid):
        return f"{source.rows * source.columns} × ({factor_summary(source.dataset)})"
    if not isinstance(source, FactorData):
        return ""
    pairs = zip(source.factor_names, source.factor_sizes, strict=True)
    return ", ".join(f"{name} {size}" for name, size in pairs)


def show_data(
    name: str,
    out: str | None = None,
    seed: int = 0,
    start_bar: StartBar = lambda _: lambda *_: None,
) -> list[Path]:
    """Draw samples of a data set, and an image with each of its factors moved over its range.

    Args:
        name: As the list has it.
        out: Folder for the pictures; runs/data-NAME if None.
        seed: Fixes what is drawn.
        start_bar: Starts a progress bar.

    Returns:
        Paths of samples.png and, where factors are known, factors.png.

    Raises:
        ValueError: There is no such data set, or it is a file or folder of the user's.
        OSError: Its files are not there and not to be had, or a picture cannot be written.
        ImportError: A package that reads it is missing.
    """
    from axiswise import plots

    source = open_data(name)
    load = getattr(source, "load", None)
    if callable(load) and _presence(source) != _DRAWN:
        load(start_bar("data"))
    rng = torch.Generator().manual_seed(seed)
    sheets = {"samples": plots.samples({name: source.render(source.draw(_SAMPLES, rng))})}
    if isinstance(source, FactorData):
        strips = factor_strips(source, rng)
        sheets["factors"] = plots.samples(strips, _STEPS, "Each factor from first to last value")
    folder = Path("runs") / f"data-{name}" if out is None else Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for sheet, figure in sheets.items():
        paths.append(folder / f"{sheet}.png")
        plots.save(figure, paths[-1])
    return paths


def open_data(name: str) -> ImageSource:
    """Make a data set of the list, with its default arguments.

    Args:
        name: As the list has it.

    Returns:
        The data set; nothing is read or downloaded yet.

    Raises:
        ValueError: There is no such data set, or it is a file or folder of the user's.
    """
    if name not in CATALOGUE:
        raise ValueError(f"NAME must be one of {', '.join(CATALOGUE)}, got {name!r}")
    make = CATALOGUE[name].make
    if make is None:
        raise ValueError(
            f"NAME must be data that need no arguments, got {name!r}, which is a file, folder or "
            "repository of your choice: name it in a recipe (docs/data.md)"
        )
    return make()


def factor_strips(source: FactorData, rng: torch.Generator) -> dict[str, Tensor]:
    """One image, with one factor after another moved over its range.

    Args:
        source: The data set.
        rng: Chooses the image.

    Returns:
        Factor's name → images, (value, channel, height, width), from the first value to the last,
        16 of them at most, evenly apart; the other factors stay.
    """
    centre = source.sample_factors(1, rng)
    strips = {}
    for index, (name, size) in enumerate(
        zip(source.factor_names, source.factor_sizes, strict=True)
    ):
        steps = min(size, _STEPS)
        factors = centre.repeat(steps, 1)
        factors[:, index] = torch.linspace(0, size - 1, steps).round().to(torch.int64)
        strips[name] = source.render(factors)
    return strips


def _presence(source: ImageSource) -> str:
    """Whether nothing has to be fetched for it."""
    is_here = getattr(source.dataset if isinstance(source, Grid) else source, "is_here", None)
    if is_here is None:
        return _DRAWN
    return "yes" if is_here() else "no"
