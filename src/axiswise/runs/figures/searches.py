"""Figures of directions in a generator that is trained already: its searches and their pages."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from axiswise import plots
from axiswise.runs.directions_folder import DirectionsFolder, open_directions
from axiswise.runs.discover import discover
from axiswise.runs.evaluate_directions import evaluate_directions
from axiswise.runs.evaluation import read_evaluation_file
from axiswise.runs.figures.figure import Model, Scale
from axiswise.runs.figures.parts import Drawing, Films, Page, Part
from axiswise.runs.generator import GeneratorSource
from axiswise.runs.show_directions import show_directions
from axiswise.support.progress import StartBar

_SHOWN = 8  # directions of a search, the most important ones
_FILMED = 8  # samples in a film


def searched(
    scale: Scale, generator: str, out: Path, start_bar: StartBar, *, search: bool
) -> dict[str, list[DirectionsFolder]]:
    """Model → the folders of its searches, one for each seed, as far as they are there.

    Args:
        scale: The searches.
        generator: What is searched, by any name that `axiswise discover` takes.
        out: Folder of the searches. A search is there if it was finished by an earlier call.
        start_bar: Starts progress bars.
        search: Whether to search where there is no folder yet.

    It raises what `axiswise.runs.discover.discover` raises.
    """
    found: dict[str, list[DirectionsFolder]] = {}
    for name, model in scale.models.items():
        settings = {**scale.settings, **model.settings}
        for seed in scale.seeds:
            folder = DirectionsFolder(out / _name(name, model, settings, generator, seed))
            if search and not folder.settings.is_file():
                discover(
                    GeneratorSource(generator, classes=model.classes),
                    model.discover,
                    [f"--{key}={value}" for key, value in settings.items()],
                    str(folder.path),
                    subspace=model.subspace,
                    start_bar=start_bar,
                    seed=seed,
                )
            if search and not folder.evaluation.is_file():
                evaluate_directions(folder.path, start_bar=start_bar)
            if folder.evaluation.is_file():
                found.setdefault(name, []).append(folder)
    return found


def evaluations_of(folders: Mapping[str, list[DirectionsFolder]]) -> dict[str, list[Any]]:
    """Model → the evaluation of each of its searches."""
    return {
        model: [{"seed": _seed(one), **read_evaluation_file(one.evaluation)} for one in of_model]
        for model, of_model in folders.items()
    }


def directions(page: Page) -> list[Part]:
    """Of the first search of each model: the directions that do most, as a sheet and as films."""
    parts: list[Part] = []
    for number, (name, (folder, *_)) in enumerate(page.searches.items()):
        found, generator, _ = open_directions(folder.path)
        some = range(min(_SHOWN, len(found)))
        extent, bar = page.scale.models[name].extent, page.start_bar
        show_directions(folder.path, generator, some, extent, _FILMED, start_bar=bar)
        first = folder.pictures / "sheet-1.png"
        caption = f"{name}, seed {_seed(folder)}: one sample along each direction."
        parts.append(Drawing(f"directions-{number}.png", first.read_bytes(), caption))
        files, clips = {}, []
        digits = len(str(len(found) - 1))
        for index in some:
            stem = folder.pictures / f"direction-{index:0{digits}}"
            video, strip = (stem.with_suffix(kind).read_bytes() for kind in (".mp4", ".png"))
            files[f"film-{number}-{index:0{digits}}.mp4"] = video
            clips.append(plots.Clip(str(index), strip, video, strip, f"{name}, direction {index}."))
        caption = f"{_FILMED} samples; a strip opens to its film."
        parts.append(Films(f"Films of {name}", files, plots.Gallery(clips), caption))
    return parts


def _name(name: str, model: Model, settings: Mapping[str, Any], generator: str, seed: int) -> str:
    """The name of a search's folder, with a digest of all that its result depends on."""
    what = [generator, {**asdict(model), "settings": settings, "extent": None}]
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:8]
    plain = re.sub(r"[^\w.+-]+", "-", name)
    return f"{plain}-{digest}-seed{seed}"


def _seed(folder: DirectionsFolder) -> int:
    return int(folder.path.name.rpartition("seed")[2])
