"""Pictures of directions: what each does, as strips and films, and one page of them all."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from axiswise import plots
from axiswise.directions.directions import Directions
from axiswise.generators import ImageGenerator, draw, in_unit_range, latent_dim_of
from axiswise.generators.loading import CODE_STATISTICS
from axiswise.jacobian import Jacobian, described, gram
from axiswise.nets import CodeStatistics
from axiswise.penalties import column_cosines
from axiswise.runs.directions_folder import DirectionsFolder
from axiswise.runs.folder import alone_showing
from axiswise.support.files import write_atomically
from axiswise.support.progress import Progress, StartBar, no_bars

_EXTENT = 5.0  # as published
_EXTENTS = {"coarse": 2.5, "mid": 3.5, "fine": 8.0}  # of thirds of BigGAN's latents, likewise
_DEVIATIONS = 2.0  # of codes
_STEPS = 31  # of a film, one way
_COLUMNS = slice(None, None, 3)  # the eleven of them that a strip shows
_FPS = 20  # there and back in 3 seconds
_SHEET_ROWS = 20
_BATCH = 16  # images generated at once
_LARGEST_SIDE = 256  # in pixels, of an image that is kept; no picture shows more


def show_directions(
    folder: Path,
    generator: ImageGenerator,
    only: Sequence[int] | None = None,
    extent: float | None = None,
    samples: int = 4,
    seed: int = 0,
    start_bar: StartBar = no_bars,
) -> Path:
    """Draw the effects of directions, and write pictures and report.html into their folder.

    Along each direction, samples change from −extent to extent, their component along it removed
    first, as published; of a VAE whose codes' statistics are known, over the values that codes
    have along it: their mean, two standard deviations to either side. Each has a strip, a GIF and
    an MP4 of 3 seconds. Sheets show one sample for many directions. On the page, which needs
    neither network nor scripts, a small strip of each opens to its film. Forty directions of four
    samples make a page of some 15 MB; 30 MB of noise.

    Args:
        folder: A folder of directions.
        generator: Their generator, as `axiswise.generators.protocol` describes it.
        only: Indices of those to draw, in this order; all if None.
        extent: How far to either side, in units of latent, > 0; if None, by the codes as above,
            else as published: 5, in BigGAN's coarse, mid and fine latents 2.5, 3.5 and 8.
        samples: Number of samples, at least 1.
        seed: Fixes the samples.
        start_bar: Starts a progress bar.

    Returns:
        Path of the report.

    Raises:
        FileNotFoundError: If there are no directions in the folder.
        BusyError: If another process draws them.
        UnreadableFileError: If they are damaged.
        ValueError: If a number is out of range, or the generator has another number of latents, or
            returns anything else than finite images of 1 or 3 channels.
        TypeError: If it returns several tensors.
        NotImplementedError: If it has no forward-mode derivatives, and the directions' settings do
            not say derivative: finite.
        OSError: If a picture cannot be written.
    """
    found = Directions.load(folder)
    latent_dim_of(generator, found.latent_dim)
    indices = _checked_indices(only, len(found))
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    if extent is not None and not 0 < extent < float("inf"):
        raise ValueError(f"extent must be > 0 and finite, got {extent}")
    rng = torch.Generator().manual_seed(seed)
    codes: CodeStatistics | None = getattr(generator, CODE_STATISTICS, None)
    drawn = draw(generator, found.latent_dim, samples, rng)
    usual = _usual_extent(found, generator)
    view = _View(found, generator, *drawn, extent or usual, None if extent else codes)
    files = DirectionsFolder(folder)
    with alone_showing(files.report, files.pictures):
        page = _page(view, indices, files.pictures, seed, start_bar)
        write_atomically(files.report, page.encode())
    return files.report


def _usual_extent(found: Directions, generator: ImageGenerator) -> float:
    """The published extent for the part of a generator's latents that was searched."""
    thirds: dict[str, slice] = getattr(generator, "thirds", {})
    for name, part in thirds.items():
        if list(found.settings.get("subspace") or ()) == [part.start, part.stop]:
            return _EXTENTS.get(name, _EXTENT)
    return _EXTENT


def _page(
    view: "_View", indices: Sequence[int], pictures: Path, seed: int, start_bar: StartBar
) -> str:
    """Draw all pictures, and return the page with them."""
    overview = _overview(view, indices, pictures, start_bar)
    clips = _clips(view, indices, pictures, start_bar("directions"))
    found = view.found
    return plots.report(
        f"Directions by {found.method}",
        [
            plots.Section("Settings", [_settings(view, seed)]),
            plots.Section("What the directions do", [plots.Gallery(clips)], _legend(view)),
            *([plots.Section("How far apart, and how much", overview)] if overview else []),
        ],
        f"{len(indices)} of {len(found)} directions in {found.latent_dim} latents.",
    )


@dataclass(frozen=True, eq=False)
class _View:
    """Directions, and the samples that are changed along them."""

    found: Directions
    generator: ImageGenerator
    z: Tensor
    conditioning: dict[str, Any]
    extent: float
    codes: CodeStatistics | None  # which give each direction its range, if there are any

    def course(self, index: int) -> tuple[float, float]:
        """The middle of a direction's amounts, and how far they reach to either side."""
        if self.codes is None:
            return 0.0, self.extent
        row = self.found.matrix[index]
        middle, deviation = (value / float(row.norm()) for value in self.codes.along(row))
        return middle, _DEVIATIONS * deviation

    def amounts(self, index: int) -> list[float]:
        middle, reach = self.course(index)
        return [middle + reach * (2 * step / (_STEPS - 1) - 1) for step in range(_STEPS)]

    def own(self, index: int) -> list[float]:
        """How far along the direction the samples themselves are."""
        row = self.found.matrix[index].to(self.z)
        return (self.z @ row / row.square().sum()).tolist()

    @property
    def shared(self) -> tuple[list[float], str]:
        """Amounts that all directions have in common, and what they are."""
        if self.codes is None:
            return self.amounts(0)[_COLUMNS], "how far along"
        deviations = torch.linspace(-_DEVIATIONS, _DEVIATIONS, _STEPS)[_COLUMNS].tolist()
        return deviations, "how far from the codes' mean, in their standard deviations"

    def importance(self, indices: Sequence[int]) -> list[float]:
        return [float(value) for value in self.found.importance[list(indices)]]

    def frames(self, index: int, made: Callable[[int], None]) -> Tensor:
        """(sample, step, channel, height, width) in [0, 1], on the CPU; `made` counts images."""
        middle, reach = self.course(index)
        path = self.found.traverse(self.z, [index], extent=reach, steps=_STEPS)[:, 0]
        path = path + middle * self.found.matrix[index].to(path)
        latents = path.flatten(0, 1)
        rows = torch.arange(len(self.z), device=self.z.device).repeat_interleave(_STEPS)
        parts = [self._start]
        for some, row in zip(latents.split(_BATCH), rows.split(_BATCH), strict=True):
            given = {name: value[row] for name, value in self.conditioning.items()}
            parts.append(self._generated(some, given))
            made(len(some))
        # All at once, since their range may have to be guessed. The samples help to guess it.
        frames = in_unit_range(self.generator, torch.cat(parts))[len(self.z) :]
        return frames.reshape(*path.shape[:2], *frames.shape[1:])

    @torch.no_grad()
    def cosines(self, indices: Sequence[int], progress: Progress) -> Tensor:
        """Mean |cos| between the columns of w ↦ G(z + wA) at w = 0, A the directions."""
        matrix = self.found.matrix[list(indices)]
        settings = self.found.settings
        cosines = []
        for row in range(len(self.z)):  # one at a time, as columns of large images are large
            at = slice(row, row + 1)
            jacobian = Jacobian(
                self.generator,
                self.z[at],
                "finite" if settings.get("derivative") == "finite" else "forward",
                epsilon=settings.get("epsilon"),
                chunk_size=_BATCH,
                conditioning={name: value[at] for name, value in self.conditioning.items()},
            )
            columns = jacobian.along(matrix).columns()
            if not isinstance(columns, Tensor):
                raise TypeError(f"generator must return one tensor, got {len(columns)}")
            products = gram(columns.double())[0].cpu()
            zero = products.diagonal() == 0  # where nothing changes there is no cosine
            found = column_cosines(products).abs().clamp(max=1)
            cosines.append(found.masked_fill(zero | zero[:, None], torch.nan))
            progress(row + 1, len(self.z))
        return torch.stack(cosines).nanmean(0)

    @cached_property
    def _start(self) -> Tensor:
        return self._generated(self.z, self.conditioning)

    @torch.no_grad()
    def _generated(self, z: Tensor, conditioning: dict[str, Any]) -> Tensor:
        """Images on the CPU, small enough to keep."""
        images = self.generator(z.clone(), **conditioning)  # which may work in place
        if not isinstance(images, Tensor) or images.dim() != 4 or len(images) != len(z):
            given = tuple(images.shape) if isinstance(images, Tensor) else described(images)
            raise ValueError(
                f"generator must return images ({len(z)}, channel, height, width), got {given}"
            )
        if not images.isfinite().all():
            raise ValueError("generator must return finite images, got NaN or infinity")
        return _shrunk(images.float()).cpu()


def _checked_indices(only: Sequence[int] | None, count: int) -> list[int]:
    indices = list(range(count)) if only is None else list(only)
    if not indices or len(set(indices)) < len(indices) or not set(indices) <= set(range(count)):
        raise ValueError(f"only must name different directions out of 0…{count - 1}, got {indices}")
    return indices


def _shrunk(images: Tensor) -> Tensor:
    """Images of at most `_LARGEST_SIDE` pixels."""
    factor = _LARGEST_SIDE / max(images.shape[2:])
    if factor >= 1:
        return images
    size = [max(1, round(side * factor)) for side in images.shape[2:]]
    return functional.interpolate(images, size=size, mode="area")


def _clips(
    view: _View, indices: Sequence[int], pictures: Path, progress: Progress
) -> list[plots.Clip]:
    """Draw directions, one after the other, and return their entries on the page."""
    total = len(indices) * len(view.z) * _STEPS
    done = 0

    def made(images: int) -> None:
        nonlocal done
        done += images
        progress(done, total)

    unit = view.found.importance_unit
    digits = len(str(len(view.found) - 1))
    largest = float(view.found.importance.max())
    for old in pictures.glob("sheet-*.png"):
        old.unlink()
    clips = []
    for number, sheet in enumerate(_sheets(indices), start=1):
        rows = []
        for index, importance in zip(sheet, view.importance(sheet), strict=True):
            frames, amounts, own = view.frames(index, made), view.amounts(index), view.own(index)
            path = pictures / f"direction-{index:0{digits}}.png"
            shown = frames[:, _COLUMNS]
            rows.append(shown[0])
            strip = plots.direction_strip(shown, amounts[_COLUMNS], index, importance, unit, own)
            plots.save(strip, path)
            film = plots.direction_film(frames, amounts, index, importance, own)
            for suffix in (".gif", ".mp4"):
                plots.save_film(film, path.with_suffix(suffix), _FPS)
            video = path.with_suffix(".mp4").read_bytes()
            clip = plots.direction_clip(frames[0], film, video, index, importance, largest)
            clips.append(clip)
        amounts, along = view.shared
        plots.save(
            plots.direction_sheet(
                torch.stack(rows), amounts, view.importance(sheet), sheet, unit, along
            ),
            pictures / f"sheet-{number}.png",
        )
    return clips


def _sheets(indices: Sequence[int]) -> list[list[int]]:
    """Split into as few parts as fit a sheet, about equally long."""
    parts = np.array_split(np.array(indices), ceil(len(indices) / _SHEET_ROWS))
    return [part.tolist() for part in parts]


def _overview(
    view: _View, indices: Sequence[int], pictures: Path, start_bar: StartBar
) -> list[plots.Picture]:
    """Draw several directions together; their importance only if it is known."""
    if len(indices) == 1:
        return []
    unit, importance = view.found.importance_unit, view.importance(indices)
    drawings = {
        "cosines.png": (
            plots.direction_cosines(view.cosines(indices, start_bar("cosines")), indices),
            "Mean |cos| between what two directions do to the image, to first order, over "
            f"{len(view.z)} samples: 0 where they change it independently.",
        )
    }
    if np.isfinite(importance).all():
        drawings["importance.png"] = (
            plots.direction_importance(importance, indices, unit),
            f"How much each direction does: {unit}.",
        )
    shown = []
    for name, (figure, caption) in drawings.items():
        plots.save(figure, pictures / name)
        shown.append(plots.Picture((pictures / name).read_bytes(), caption))
    return shown


def _settings(view: _View, seed: int) -> plots.Table:
    settings = {
        "method": view.found.method,
        **view.found.settings,
        "samples shown": f"{len(view.z)}, seed {seed}",
    }
    rows = [[k, v if isinstance(v, str) else json.dumps(v)] for k, v in settings.items()]
    return plots.Table(["setting", "value"], rows)


def _legend(view: _View) -> str:
    known = view.found.importance.isfinite().any()
    bar = f"The bar and the number are the importance: {view.found.importance_unit}. "
    course = f"from −{view.extent:g} on the left to +{view.extent:g} on the right, its component "
    if view.codes is not None:
        course = (
            "over the values that the codes of its data have along the direction (their mean, two "
        )
        course += "standard deviations to either side), its own component "
    return (
        f"Each strip is one sample, {course}along the direction removed first. "
        f"{bar if known else ''}A strip opens to a film of {len(view.z)} samples."
    )
