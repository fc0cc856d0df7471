"""What each direction in a generator's latents does, how much, and how apart from the others."""

import io
from collections.abc import Sequence
from math import isfinite, nan

import numpy as np
import numpy.typing as npt
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from PIL import Image

from axiswise.plots import _tiles as tiles
from axiswise.plots._colour import SERIES
from axiswise.plots._film import direction_film as draw_film
from axiswise.plots._inputs import ArrayLike, Floats, as_floats, as_images, check_lengths, shares
from axiswise.plots._ordering import short_number
from axiswise.plots.cosines import draw_cosines, mean_of_pairs, symmetric_cosines
from axiswise.plots.report import Clip

# Sides of tiles in pixels.
_SMALLEST_STRIP = 52
_SHEET_TILE = 64
_CLIP_TILE = 64

_CLIP_COLUMNS = 7
_POSTER_QUALITY = 75
_ANNOTATED = 16  # directions at most whose cosines are written into their cells

# Lengths in pixels.
_BARS_HEIGHT = 300
_WIDEST_BAR, _NARROWEST_BAR = 60, 4  # with the space between it and the next
_TICK_SIZE, _DIGIT = 11, 6  # height of an index at a tick, width of each of its digits

_WORDS = ("direction", "importance")
_FRAMES = ["step", "channel", "height", "width"]


def direction_strip(
    frames: ArrayLike,
    amounts: ArrayLike,
    index: int,
    importance: float = nan,
    unit: str = "",
    own: ArrayLike | None = None,
) -> Figure:
    """Draw samples as they change along one direction.

    A row for each sample, a column for each amount.

    Args:
        frames: (sample, step, channel, height, width) in [0, 1], 1 or 3 channels.
        amounts: (step,), how far the samples are along the direction in each step.
        index: Which direction it is.
        importance: Of the direction; NaN where it is not known.
        unit: Of the importance.
        own: (sample,), how far along the samples themselves are, marked below their rows; no mark
            is drawn outside of the amounts.

    Raises:
        TypeError, ValueError: An array is not as described.
    """
    shown = as_images(frames, "frames", ["sample", *_FRAMES])
    headers = _headers(amounts, shown.shape[1])
    pixels = max(tiles.tile_pixels(*shown.shape[:2]), _SMALLEST_STRIP)
    labels = [f"sample {sample}" for sample in range(len(shown))]
    blue = "" if own is None else " Blue: where the sample itself is."
    return _draw(
        tiles.fit(shown, pixels),
        _name(index, importance).capitalize(),
        labels if len(shown) > 1 else [""],
        headers,
        f"{_of_importance([importance], unit)}Above: how far along.{blue}",
        None if own is None else _shares(own, amounts, len(shown)),
    )


def direction_sheet(
    frames: ArrayLike,
    amounts: ArrayLike,
    importance: ArrayLike,
    indices: Sequence[int],
    unit: str = "",
    along: str = "how far along",
) -> Figure:
    """Draw directions one below the other, each as one sample that changes along it.

    Args:
        frames: (direction, step, channel, height, width) in [0, 1], 1 or 3 channels.
        amounts: (step,), how far the sample is along the direction in each step.
        importance: (direction,), NaN where it is not known.
        indices: (direction,), which directions they are.
        unit: Of the importance.
        along: What the amounts are.

    Raises:
        TypeError, ValueError: An array is not as described.
    """
    shown = as_images(frames, "frames", ["direction", *_FRAMES])
    values = _one_each(importance, indices, len(shown))
    return _draw(
        tiles.fit(shown, _SHEET_TILE),
        f"Directions {_ranges(indices)}",
        [f"{i}\n{short_number(v)}" if isfinite(v) else f"{i}" for i, v in values.items()],
        _headers(amounts, shown.shape[1]),
        f"{_of_importance(list(values.values()), unit)}Above: {along}.",
    )


def direction_film(
    frames: ArrayLike,
    amounts: ArrayLike,
    index: int | str,
    importance: float = nan,
    own: ArrayLike | None = None,
    words: tuple[str, str] = _WORDS,
) -> npt.NDArray[np.uint8]:
    """Draw samples as they change along one direction, there and back, without a jump.

    Under the samples are a slider that shows how far along they are, and the direction's index
    and importance. `save_film` writes it.

    Args:
        frames: (sample, step, channel, height, width) in [0, 1], 1 or 3 channels, at least two
            steps.
        amounts: (step,), how far the samples are along the direction in each step.
        index: Which direction it is.
        importance: Of the direction; NaN where it is not known.
        own: As that of `direction_strip`; marked on the slider.
        words: What it is, and what the importance is called.

    Returns:
        (2·step − 2, height, width, 3), height and width even.

    Raises:
        TypeError, ValueError: An array is not as described.
    """
    shown = as_images(frames, "frames", ["sample", *_FRAMES])
    steps = shown.shape[1]
    if steps < 2:
        raise ValueError(f"`frames` must have at least 2 steps, got shape {shown.shape}")
    headers = _headers(amounts, steps)
    # The films' font has no minus but the hyphen.
    scale = {i: headers[i].replace("−", "-") for i in (0, (steps - 1) // 2, steps - 1)}
    marks = None if own is None else _shares(own, amounts, len(shown))
    name = _name(index, importance, words)
    return draw_film(tiles.fit(shown, tiles.LARGEST_TILE), name, scale, marks)


def direction_clip(
    frames: ArrayLike,
    film: npt.NDArray[np.uint8],
    video: bytes,
    index: int | str,
    importance: float = nan,
    largest: float = nan,
    words: tuple[str, str] = _WORDS,
) -> Clip:
    """Make a direction's entry in a report's gallery: a small strip that opens to its film.

    Args:
        frames: (step, channel, height, width) in [0, 1], 1 or 3 channels: one sample. Seven of the
            steps, the first and the last among them, are on the strip.
        film: (frame, height, width, 3), what `direction_film` gave.
        video: The same as an MP4 file.
        index: Which direction it is.
        importance: Of the direction; NaN where it is not known.
        largest: Importance that the entry's bar is full at.
        words: As those of `direction_film`.

    Raises:
        TypeError, ValueError: `frames` is not as described.
    """
    shown = as_images(frames, "frames", _FRAMES)
    chosen = np.linspace(0, len(shown) - 1, min(_CLIP_COLUMNS, len(shown))).round().astype(int)
    strip = tiles.image_mosaic(tiles.fit(shown[chosen], _CLIP_TILE)[None])
    return Clip(
        name=str(index),
        value=short_number(importance) if isfinite(importance) else "",
        share=importance / largest if importance >= 0 and largest > 0 else None,
        strip=_encoded((strip * 255).round().astype(np.uint8), "PNG"),
        poster=_encoded(film[0], "JPEG", quality=_POSTER_QUALITY),
        video=video,
        caption=f"Samples along {_name(index, importance, words)}.",
    )


def direction_importance(importance: ArrayLike, indices: Sequence[int], unit: str = "") -> Figure:
    """Draw how much each direction does, as bars in the given order.

    Args:
        importance: (direction,), at least 0.
        indices: (direction,), which directions they are.
        unit: Of the importance.

    Raises:
        TypeError, ValueError: An array is not as described.
    """
    heights = as_floats(importance, "importance", ["direction"])
    check_lengths(len(heights), "directions", indices=indices)
    if (heights < 0).any():
        raise ValueError(f"`importance` must not be negative, got {heights.min():.4g}")
    pitch = float(np.clip(900 / len(heights), _NARROWEST_BAR, _WIDEST_BAR))
    width = max(480, round(pitch * len(heights)) + 90)
    picture = tiles.chart(width / tiles.DPI, _BARS_HEIGHT / tiles.DPI)
    axes = picture.add_subplot()
    axes.bar(np.arange(len(heights)), heights, width=0.8, color=SERIES[0])
    _tick_indices(axes.xaxis, indices, pitch)
    slots = max(len(heights), (width - 90) / _WIDEST_BAR)  # few bars stay as narrow as many
    axes.set_xlim(-0.6, slots - 0.4)
    axes.set_xlabel("direction", fontsize=9)
    axes.tick_params(axis="x", length=0)
    axes.tick_params(axis="y", labelsize=9)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    title = f"Importance: {unit}" if unit else "Importance"
    axes.set_title(tiles.wrap_title(title, width), fontsize=11, loc="left")
    return picture


def direction_cosines(cosines: ArrayLike, indices: Sequence[int]) -> Figure:
    """Draw mean absolute cosines between what the directions do to the image.

    White is orthogonal, dark is parallel; the scale runs from 0 to 1. The title gives the mean over
    pairs of different directions.

    Args:
        cosines: (direction, direction), symmetric, in [0, 1]: |cos| between the changes of the
            image along two directions, averaged over images. NaN where it is undefined.
        indices: (direction,), which directions they are.

    Raises:
        TypeError, ValueError: An array is not as described.
    """
    matrix = symmetric_cosines(cosines)
    count = len(matrix)
    check_lengths(count, "directions", indices=indices)
    cell = 40 if count <= _ANNOTATED else float(np.clip(640 / count, 2, 16))
    side = max(2.6, cell * count / tiles.DPI)
    picture = tiles.chart(side + 1.5, side + 1.1)
    axes = draw_cosines(picture, matrix, written=count <= _ANNOTATED)
    _tick_indices(axes.xaxis, indices, cell)
    _tick_indices(axes.yaxis, indices, cell)
    axes.set_xlabel("direction", fontsize=9)
    mean = mean_of_pairs(matrix)
    found = "Cosines" if np.isnan(mean) else f"Mean |cos| {mean:.2f}"
    axes.set_title(f"{found} between what\nthe directions do", fontsize=11, loc="left")
    return picture


def _headers(amounts: ArrayLike, steps: int) -> list[str]:
    """The amounts as text, with their sign."""
    values = as_floats(amounts, "amounts", ["step"])
    check_lengths(steps, "steps of `frames`", amounts=values)
    # Rounding first, as the middle of a range may miss zero by a little.
    rounded = values.round(6).tolist()
    return [f"{v:+.3g}".replace("-", "−") if v else "0" for v in rounded]


def _shares(own: ArrayLike, amounts: ArrayLike, samples: int) -> Floats:
    """Where samples are between the first amount, 0, and the last, 1; NaN outside."""
    values, ends = as_floats(own, "own", ["sample"]), as_floats(amounts, "amounts", ["step"])
    check_lengths(samples, "samples", own=values)
    return shares(values, ends[0], ends[-1])


def _one_each(importance: ArrayLike, indices: Sequence[int], count: int) -> dict[int, float]:
    """Index → importance, one for each direction."""
    values = as_floats(importance, "importance", ["direction"], finite=False)
    check_lengths(count, "directions", importance=values, indices=indices)
    return dict(zip(indices, values.tolist(), strict=True))


def _name(index: int | str, importance: float, words: tuple[str, str] = _WORDS) -> str:
    noun, measure = words
    known = f", {measure} {short_number(importance)}" if isfinite(importance) else ""
    return f"{noun} {index}{known}"


def _of_importance(importance: Sequence[float], unit: str) -> str:
    """What the importance in the labels is, if there is any."""
    return f"Importance: {unit}. " if unit and any(map(isfinite, importance)) else ""


def _ranges(indices: Sequence[int]) -> str:
    """Name indices in order, runs of them by their ends: 0–3, 7."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _tick_indices(axis: Axis, indices: Sequence[int], pitch: float) -> None:
    """Name places `pitch` pixels apart, as many of them as the names leave room for."""
    beside = _DIGIT * (1 + max(len(str(index)) for index in indices))
    size = beside if isinstance(axis, XAxis) else _TICK_SIZE
    every = next(step for step in (1, 2, 5, 10, 20, 50, 100) if step * pitch >= size)
    ticks = range(0, len(indices), every)
    axis.set_ticks(ticks, [str(indices[tick]) for tick in ticks], fontsize=8)


def _encoded(picture: npt.NDArray[np.uint8], kind: str, **how: int) -> bytes:
    """Return a picture (height, width, 3) as the bytes of a file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **how)
    return file.getvalue()


def _draw(
    cells: Floats,
    title: str,
    labels: Sequence[str],
    headers: Sequence[str],
    note: str,
    marks: Floats | None = None,
) -> Figure:
    """Draw cells (row, column, channel, height, width) with names for rows and columns."""
    strip = tiles.Strip(tiles.image_mosaic(cells), labels, cells.shape[-2], space=8)
    picture, axes = tiles.stacked(title, note, [strip], 22)
    tiles.label_columns(axes[0], cells.shape[-1], headers, "black")
    if marks is not None:
        tiles.mark_rows(axes[0], cells.shape[-2:], marks * (cells.shape[1] - 1))
    return picture
