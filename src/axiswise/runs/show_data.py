"""`axiswise data show`: pictures of a data set."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from axiswise import plots
from axiswise.data.factors import FactorData, load
from axiswise.data.listing import factor_strips, open_data
from axiswise.support.files import remove_unfinished
from axiswise.support.locks import owning
from axiswise.support.progress import StartBar, late_bar, no_bars

_SAMPLES = 64  # images on the sheet
_COLUMNS = 16  # of a factor's images


def show_data(
    name: str, out: str | None = None, seed: int = 0, start_bar: StartBar = no_bars
) -> list[Path]:
    """Draw samples of a data set, and an image with each of its factors taken over its range.

    Args:
        name: As the list has it, or the import path of a class of yours.
        out: Folder for the pictures; runs/data-NAME if None.
        seed: Fixes what is drawn.
        start_bar: Starts a progress bar.

    Returns:
        Paths of samples.png and, where factors are known, factors.png.

    Raises:
        ValueError: There is no such data set, or it cannot be made without arguments.
        OSError: Its files are not there and not to be had, or a picture cannot be written.
        ImportError: A package that reads it is missing, or there is nothing at the import path.
        TypeError: What is at the import path is no data set.
    """
    source = open_data(name)
    load(source, late_bar(start_bar, "data"))
    rng = torch.Generator().manual_seed(seed)
    sheets = {"samples": plots.samples({name: source.render(source.draw(_SAMPLES, rng))})}
    if isinstance(source, FactorData):
        strips = factor_strips(source, rng)
        sheets["factors"] = plots.samples(strips, _COLUMNS, "Each factor from first to last value")
    folder = Path("runs") / f"data-{re.sub(r'[.:]', '-', name)}" if out is None else Path(out)
    paths = []
    with owning(folder):
        remove_unfinished(folder / "*.png")
        for sheet, picture in sheets.items():
            paths.append(folder / f"{sheet}.png")
            plots.save(picture, paths[-1])
    return paths
