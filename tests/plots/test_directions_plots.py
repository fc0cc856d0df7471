"""Strips, sheets, films and charts of directions."""

import io
from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.figure import Figure
from PIL import Image

from axiswise import plots
from axiswise.plots._tiles import GAP

Floats = npt.NDArray[np.floating[Any]]
AMOUNTS = [-5, 0, 5]
LEVELS = np.array([0.2, 0.5])  # grey of the samples at the first step


def frames_of(steps: int = 3, channels: int = 1, side: int = 32) -> Floats:
    """Two samples, each of one grey, that grow brighter by 0.1 over the steps."""
    grey = LEVELS[:, None] + np.linspace(0, 0.1, steps)
    return np.broadcast_to(grey[..., None, None, None], (2, steps, channels, side, side))


def row_labels(figure: Figure) -> list[str]:
    return [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]


# ---------------------------------------------------------------- stills


def test_a_strip_has_a_row_for_each_sample_and_a_column_for_each_amount(
    headers: Callable[[Figure], list[str]],
) -> None:
    figure = plots.direction_strip(frames_of(), [-2.5, 0, 2.5], 7, 12.34, "a unit")
    assert headers(figure) == ["−2.5", "0", "+2.5"]
    assert row_labels(figure) == ["sample 0", "sample 1"]
    side = 128  # 32 pixels, four times
    middles = slice(GAP + side // 2, None, side + GAP)
    np.testing.assert_allclose(
        figure.axes[0].images[0].get_array()[middles, middles, 0],  # type: ignore[index]
        [[0.2, 0.25, 0.3], [0.5, 0.55, 0.6]],
    )
    assert [text.get_text() for text in figure.texts] == [
        "Direction 7, importance 12.3",
        "Importance: a unit. Above: how far along.",
    ]


def test_a_lone_sample_is_not_named_and_an_unknown_importance_is_not_given() -> None:
    figure = plots.direction_strip(frames_of()[:1], AMOUNTS, 7, nan, "a unit")
    assert row_labels(figure) == [""]
    assert [text.get_text() for text in figure.texts] == ["Direction 7", "Above: how far along."]


def test_a_sheet_has_a_row_for_each_direction_with_its_own_index(
    headers: Callable[[Figure], list[str]],
) -> None:
    figure = plots.direction_sheet(frames_of(), AMOUNTS, [0.25, nan], [9, 4], "a unit")
    assert headers(figure) == ["−5", "0", "+5"]
    assert row_labels(figure) == ["9\n0.25", "4"]
    side = 64
    middles = slice(GAP + side // 2, None, side + GAP)
    np.testing.assert_allclose(
        figure.axes[0].images[0].get_array()[middles, middles, 0],  # type: ignore[index]
        [[0.2, 0.25, 0.3], [0.5, 0.55, 0.6]],
    )
    assert figure.texts[0].get_text() == "Directions 9, 4"


def test_runs_of_directions_are_named_by_their_ends() -> None:
    frames = np.zeros((6, 2, 1, 8, 8))
    figure = plots.direction_sheet(frames, [-1, 1], [1.0] * 6, [0, 1, 2, 5, 7, 8])
    assert figure.texts[0].get_text() == "Directions 0–2, 5, 7–8"


@pytest.mark.parametrize(
    ("rows", "steps", "side"), [(1, 2, 16), (1, 2, 128), (4, 11, 32), (4, 11, 128), (12, 11, 16)]
)
def test_text_of_strips_and_sheets_is_legible(
    rows: int, steps: int, side: int, assert_legible: Callable[[Figure], None]
) -> None:
    frames = np.zeros((rows, steps, 1, side, side), np.float32)
    amounts = np.linspace(-12.5, 12.5, steps)
    unit = "L2 change of the image per unit of latent"
    indices = [100 + 2 * row for row in range(rows)]
    assert_legible(plots.direction_strip(frames, amounts, 511, 1234.5, unit))
    assert_legible(plots.direction_sheet(frames, amounts, [1234.5] * rows, indices, unit))


# ---------------------------------------------------------------- films


def test_a_film_moves_all_samples_there_and_back_over_one_slider() -> None:
    film = plots.direction_film(frames_of(5), [-2, -1, 0, 1, 2], 3, 1.0)
    assert film.dtype == np.uint8
    assert film.shape == (8, 12 + 128 + 5 + 68 + 1, 12 + 2 * 140, 3)  # made even
    loop = np.array([0, 1, 2, 3, 4, 3, 2, 1])
    expected = 255 * (LEVELS + 0.025 * loop[:, None])
    np.testing.assert_allclose(film[:, 70, [70, 210], 1], expected, atol=1)
    # The knob is the only thing that is blue; it runs from end to end under both samples.
    knob = (film[:, 149, :, 0] == 0) & (film[:, 149, :, 2] == 178)
    ends = [(row.argmax(), len(row) - 1 - row[::-1].argmax()) for row in knob]
    assert ends[0] == (12, 20)
    assert ends[4] == (12 + 268 - 9, 12 + 268 - 1)
    assert np.ptp(np.diff([start for start, _ in ends[:5]])) <= 1


def ink(film: npt.NDArray[np.uint8], rows: slice) -> npt.NDArray[np.intp]:
    """Columns of these rows that hold anything dark."""
    return np.flatnonzero((film[0, rows, :, 0] < 160).any(0))


def test_a_film_says_how_far_along_under_its_slider_and_the_direction_below() -> None:
    film = plots.direction_film(frames_of(5), [-2, -1, 0, 1, 2], 3, 1.0)
    scale, name = ink(film, slice(158, 174)), ink(film, slice(178, 202))
    groups = np.split(scale, np.flatnonzero(np.diff(scale) > 40) + 1)
    assert len(groups) == 3
    assert groups[0][0] >= 12
    assert abs(groups[1].mean() - 146) < 3
    assert groups[2][-1] < 280
    assert abs((name[0] + name[-1]) / 2 - 146) < 3
    # With less to say there is less text, and another direction has another name.
    unknown = plots.direction_film(frames_of(5), [-2, -1, 0, 1, 2], 3)
    other = plots.direction_film(frames_of(5), [-2, -1, 0, 1, 2], 4, 1.0)
    assert np.ptp(ink(unknown, slice(178, 202))) < np.ptp(name) / 1.5
    changed = np.flatnonzero((other != film).any((0, 2, 3)))
    assert changed.min() >= 178


def test_many_samples_stand_in_several_rows_of_a_film() -> None:
    frames = np.broadcast_to(np.linspace(0, 0.9, 7)[:, None, None, None, None], (7, 2, 3, 32, 32))
    film = plots.direction_film(frames, [-1, 1], 0)
    assert film.shape[2] == 12 + 4 * 140
    np.testing.assert_allclose(film[0, 70, 70::140, 0] / 255, [0, 0.15, 0.3, 0.45], atol=0.01)
    np.testing.assert_allclose(film[0, 210, 70:490:140, 0] / 255, [0.6, 0.75, 0.9], atol=0.01)
    assert (film[0, 210, 500:550] == 255).all()


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_a_film_reads_back_as_it_was(tmp_path: Path, suffix: str) -> None:
    frames = frames_of(6, 3) * np.array([1, 0.5, 0.1])[:, None, None]
    film = plots.direction_film(frames, np.linspace(-5, 5, 6), 0, 1.0)
    path = tmp_path / f"film{suffix}"
    plots.save_film(film, path, fps=20)
    back = imageio.imread(path, plugin="pyav" if suffix == ".mp4" else "pillow")
    assert back.shape == film.shape
    for left in (12, 152):
        tile = np.s_[:, 20:130, left + 8 : left + 120]
        assert np.abs(back[tile].astype(int) - film[tile]).max() <= 6
    assert np.abs(back.astype(int) - film).mean() < 2


def test_even_a_film_of_noise_is_small(tmp_path: Path) -> None:
    """At most 0.3 bits for a pixel, but for half a second that the encoder may draw in advance."""
    film = np.random.default_rng(0).integers(0, 255, (60, 128, 512, 3), dtype=np.uint8)
    plots.save_film(film, tmp_path / "film.mp4", fps=20)
    bits = 0.3 * 128 * 512 * (60 + 10)
    assert (tmp_path / "film.mp4").stat().st_size < 1.1 * bits / 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "film.avi"}, r"`path` must end in .gif or .mp4, got 'film.avi'"),
        ({"fps": 0}, "`fps` must be above 0, got 0"),
    ],
)
def test_a_film_of_another_kind_or_without_speed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {
        "frames": np.zeros((2, 8, 8, 3), np.uint8),
        "path": "film.gif",
        "fps": 20,
    }
    with pytest.raises(ValueError, match=message):
        plots.save_film(**given | change)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- entries of a gallery


def opened(picture: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(picture)))


def test_a_clip_shows_seven_steps_from_end_to_end_and_the_film_s_first_frame() -> None:
    frames = frames_of(31, 3)
    film = plots.direction_film(frames, np.linspace(-5, 5, 31), 3, 2.0)
    clip = plots.direction_clip(frames[0], film, b"video", 3, 2.0, largest=8.0)
    strip = opened(clip.strip)
    assert strip.shape == (64 + 2 * GAP, 7 * (64 + GAP) + GAP, 3)
    shown = strip[GAP + 32, GAP + 32 :: 64 + GAP, 0] / 255
    np.testing.assert_allclose(shown, 0.2 + np.linspace(0, 0.1, 7), atol=0.003)
    poster = opened(clip.poster).astype(int)
    assert poster.shape == film[0].shape
    assert np.abs(poster - film[0]).mean() < 1
    assert (clip.name, clip.value, clip.share, clip.video) == ("3", "2.0", 0.25, b"video")


def test_a_clip_without_importance_has_neither_number_nor_bar() -> None:
    frames = frames_of(2)
    film = plots.direction_film(frames, [-1, 1], 3)
    clip = plots.direction_clip(frames[0], film, b"video", 3, nan, nan)
    assert (clip.value, clip.share) == ("", None)
    assert opened(clip.strip).shape[1] == 2 * (64 + GAP) + GAP


# ---------------------------------------------------------------- charts


def test_bars_of_importance_stand_in_the_given_order() -> None:
    axes = plots.direction_importance([3.0, 1.0, 2.0], [0, 5, 7], "a unit").axes[0]
    assert [bar.get_height() for bar in axes.patches] == [3.0, 1.0, 2.0]  # type: ignore[attr-defined]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "5", "7"]
    assert axes.get_title(loc="left") == "Importance: a unit"


def test_cosines_keep_their_order_and_the_title_has_the_mean_of_pairs() -> None:
    cosines = np.array([[1.0, 0.1, 0.4], [0.1, 1.0, 0.7], [0.4, 0.7, 1.0]])
    axes = plots.direction_cosines(cosines, [7, 0, 5]).axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), cosines)
    assert axes.images[0].get_clim() == (0, 1)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["7", "0", "5"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["7", "0", "5"]
    assert axes.get_title(loc="left").startswith("Mean |cos| 0.40 between")
    assert [text.get_text() for text in axes.texts][:3] == ["1.00", ".10", ".40"]


def test_the_cosines_of_many_directions_are_not_written_into_their_cells() -> None:
    assert not plots.direction_cosines(np.eye(17), range(17)).axes[0].texts


@pytest.mark.parametrize("count", [1, 2, 6, 16, 17, 120, 512])
def test_text_of_charts_is_legible_for_few_and_for_many_directions(
    count: int, assert_legible: Callable[[Figure], None]
) -> None:
    unit = "L2 change of the image per unit of latent"
    indices = range(0, 2 * count, 2)
    assert_legible(plots.direction_importance(np.linspace(1000, 1, count), indices, unit))
    assert_legible(plots.direction_cosines(np.eye(count), indices))


# ---------------------------------------------------------------- wrong input

BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: plots.direction_strip(frames_of()[0], AMOUNTS, 0), "`frames` must have shape"),
    (lambda: plots.direction_strip(-frames_of(), AMOUNTS, 0), r"`frames` must lie in \[0, 1\]"),
    (lambda: plots.direction_strip(frames_of(), [0], 0), "`amounts` must have one entry for each"),
    (
        lambda: plots.direction_sheet(frames_of(), AMOUNTS, [1.0], [0, 1]),
        "`importance` must have one entry for each of the 2 directions, got 1",
    ),
    (
        lambda: plots.direction_sheet(frames_of(), AMOUNTS, [1.0, 1.0], [0]),
        "`indices` must have one entry for each of the 2 directions, got 1",
    ),
    (lambda: plots.direction_film(frames_of(1), [0], 0), "`frames` must have at least 2 steps"),
    (lambda: plots.direction_film(frames_of(2), AMOUNTS, 0), "`amounts` must have one entry"),
    (lambda: plots.direction_importance([nan], [0]), "`importance` must be finite"),
    (lambda: plots.direction_importance([-1.0], [0]), "`importance` must not be negative"),
    (lambda: plots.direction_importance([1.0], [0, 1]), "`indices` must have one entry"),
    (lambda: plots.direction_cosines(np.eye(2) * 2, [0, 1]), r"`cosines` must lie in \[0, 1\]"),
    (lambda: plots.direction_cosines(np.eye(2), [0]), "`indices` must have one entry"),
]


@pytest.mark.parametrize(("draw", "message"), BAD, ids=[message for _, message in BAD])
def test_wrong_input_is_refused_by_name(draw: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()
