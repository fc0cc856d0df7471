"""Stills and films of traversals."""

from functools import partial

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from PIL import Image

from axiswise import plots
from axiswise.plots._tiles import GAP

traversal_video = partial(plots.traversal_video, active_above=0.01)
traversals = partial(plots.traversals, active_above=0.01)
ACTIVITY = [0.5, 0.002, 3.0]
LEVELS = np.array([0.2, 0.5, 0.8])  # grey of axis 0, 1, 2 at the first step


def frames_of(steps=5, channels=1, side=32):
    """Axis i starts at the grey LEVELS[i] and grows brighter by 0.1 over its range."""
    grey = LEVELS[:, None] + np.linspace(0, 0.1, steps)
    return np.broadcast_to(grey[..., None, None, None], (3, steps, channels, side, side))


def read(path):
    plugin = "pyav" if path.suffix == ".mp4" else "pillow"
    return imageio.imread(path, plugin=plugin)


def test_rows_are_axes_in_order_of_activity_and_columns_are_values(headers):
    figure = traversals(frames_of(3), ACTIVITY, [-1.5, 0, 1.5])
    active, inactive = figure.axes
    labels = [t.get_text() for axes in figure.axes for t in axes.get_yticklabels()]
    assert labels == ["z2\nKL 3.0", "z0\nKL 0.5", "z1\nKL 0.002"]
    assert headers(figure) == ["−1.5", "0", "+1.5"]
    side = 64  # 32 pixels, twice
    middles = slice(GAP + side // 2, None, side + GAP)
    np.testing.assert_allclose(
        active.images[0].get_array()[middles, middles, 0],
        [[0.8, 0.85, 0.9], [0.2, 0.25, 0.3]],
    )
    np.testing.assert_allclose(
        inactive.images[0].get_array()[middles, middles, 0], [[0.5, 0.55, 0.6]]
    )


def test_the_strips_of_several_images_stand_together_beside_the_name_of_their_axis(headers):
    """Three images, the same but for their brightness: whole, half and none."""
    frames = np.stack([frames_of(3), 0.5 * frames_of(3), 0 * frames_of(3)])
    figure = traversals(frames, ACTIVITY, [-1, 0, 1])
    labels = [[t.get_text() for t in axes.get_yticklabels()] for axes in figure.axes]
    assert labels == [["z2\nKL 3.0"], ["z0\nKL 0.5"], ["z1\nKL 0.002"]]
    assert headers(figure) == ["−1", "0", "+1"]
    side = 64  # 32 pixels, twice
    middles = slice(GAP + side // 2, None, side + GAP)
    for axes, grey in zip(figure.axes, LEVELS[[2, 0, 1]], strict=True):
        np.testing.assert_allclose(
            axes.images[0].get_array()[middles, middles, 0],
            np.outer([1, 0.5, 0], [grey, grey + 0.05, grey + 0.1]),
        )
    assert "A strip for each of 3 images." in figure.texts[1].get_text()


def test_inactive_axes_are_grey_and_further_away():
    figure = traversals(np.stack([frames_of(3)] * 2), ACTIVITY, [-1, 0, 1])
    assert [to_hex(axes.get_yticklabels()[0].get_color()) for axes in figure.axes] == [
        "#000000", "#000000", "#808080",
    ]  # fmt: skip
    first, second, idle = (axes.get_window_extent() for axes in figure.axes)
    assert 0 < first.y0 - second.y1 < second.y0 - idle.y1


@pytest.mark.parametrize(("images", "latents", "side"), [(4, 6, 32), (3, 30, 128), (1, 16, 64)])
def test_a_tile_is_large_enough_to_look_at_and_its_labels_are_whole(
    images, latents, side, assert_legible
):
    frames = np.full((images, latents, 11, 1, side, side), 0.5, dtype=np.float32)
    figure = traversals(
        frames,
        np.geomspace(1e-5, 1, latents),
        np.linspace(-2, 2, 11),
        activity_name="activeness",
    )
    assert_legible(figure)
    assert all(axes.get_window_extent().width >= 11 * 50 for axes in figure.axes)
    labels = [t.get_text() for axes in figure.axes for t in axes.get_yticklabels()]
    assert len(labels) == min(latents, 16)
    assert not any("…" in label for label in labels)


@pytest.mark.parametrize(
    ("images", "latents", "steps", "side", "name"),
    [
        (1, 10, 9, 64, "quite a long name for an axis "),
        (1, 1, 2, 16, "z"),
        (1, 1, 2, 16, "quite a long name for an axis "),
        (3, 8, 11, 64, "z"),
    ],
)
def test_labels_neither_overlap_nor_leave_the_figure(
    images, latents, steps, side, name, assert_legible
):
    figure = traversals(
        np.zeros((images, latents, steps, 1, side, side), np.float32),
        np.arange(latents) * 0.005,
        np.linspace(-2, 2, steps),
        names=[f"{name}{i}" for i in range(latents)],
    )
    assert_legible(figure)


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [17, 32, 200])
def test_the_film_reads_back_with_its_frames_and_an_even_size(tmp_path, suffix, channels, side):
    path = tmp_path / f"film{suffix}"
    traversal_video(frames_of(5, channels, side), path, ACTIVITY)
    film = read(path)
    assert film.shape[0] == 2 * 5 - 2
    assert film.shape[1] % 2 == film.shape[2] % 2 == 0
    assert film.shape[3] == 3
    # Three tiles beside each other, each about 128 pixels wide.
    assert 3 * 110 <= film.shape[2] <= 3 * 160
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_tiles_that_are_not_square_keep_their_shape_and_outline(tmp_path):
    path = tmp_path / "film.gif"
    traversal_video(frames_of(2)[..., :16, :] * 0, path, ACTIVITY)
    first = read(path)[0, :, :, 0]
    black = first[:, 12 + 64] < 30  # 32 × 16 pixels, four times
    assert black[12 : 12 + 64].all()
    assert not black[12 + 64 : 12 + 64 + 5].any()
    outline = first[11, 12 : 12 + 128], first[12 + 64, 12 : 12 + 128]
    assert all((abs(edge.astype(int) - 205) < 12).all() for edge in outline)


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_the_film_shows_the_axes_in_order_and_moves_there_and_back(tmp_path, suffix):
    path = tmp_path / f"film{suffix}"
    traversal_video(frames_of(5), path, ACTIVITY)
    film = read(path) / 255
    middles = film[:, 70, [70, 70 + 140, 70 + 280], 0]
    there = np.linspace(0, 0.1, 5)
    loop = np.concatenate([there, there[3:0:-1]])
    expected = LEVELS[[2, 0, 1]] + loop[:, None]
    np.testing.assert_allclose(middles, expected, atol=0.02)


def test_colours_keep_their_channels(tmp_path):
    frames = np.zeros((3, 2, 3, 32, 32))
    frames[:, :, 0] = 1
    frames[:, 1, 1] = 0.5
    path = tmp_path / "film.gif"
    traversal_video(torch.from_numpy(frames), path, ACTIVITY)
    np.testing.assert_allclose(read(path)[:, 70, 70], [[255, 0, 0], [255, 128, 0]], atol=8)


def test_a_label_stands_under_each_tile_and_an_inactive_axis_is_pale(tmp_path):
    path = tmp_path / "film.gif"
    traversal_video(frames_of(2), path, ACTIVITY)
    under = read(path)[0, 12 + 128 + 16 : 12 + 128 + 40, :, 0]
    tiles = [under[:, 12 + i * 140 : 140 + i * 140] for i in range(3)]
    assert [int(tile.min()) < 60 for tile in tiles] == [True, True, False]
    assert int(tiles[2].min()) < 160
    # The text stays clear of its tile's edges, so that neighbours cannot run together.
    assert all((tile[:, [0, 1, -2, -1]] > 240).all() for tile in tiles)


def test_a_long_name_is_kept_within_its_tile(tmp_path):
    path = tmp_path / "film.gif"
    names = ["the vertical position", "b", "an axis with far too long a name to fit anywhere"]
    traversal_video(frames_of(2), path, ACTIVITY, names=names)
    label = read(path)[0, 12 + 128 + 16 :, :, 0]
    gutters = [label[:, 12 + i * 140 - 10 : 12 + i * 140 - 2] for i in range(1, 4)]
    assert all((gutter > 235).all() for gutter in gutters)


def test_fps_is_the_speed_of_the_film(tmp_path):
    traversal_video(frames_of(5), tmp_path / "a.gif", ACTIVITY, fps=20)
    traversal_video(frames_of(5), tmp_path / "a.mp4", ACTIVITY, fps=20)
    assert imageio.immeta(tmp_path / "a.gif", plugin="pillow")["duration"] == 50
    assert imageio.immeta(tmp_path / "a.mp4", plugin="pyav")["fps"] == 20


def test_a_gif_loops_for_ever(tmp_path):
    traversal_video(frames_of(2), tmp_path / "a.gif", ACTIVITY)
    assert imageio.immeta(tmp_path / "a.gif", plugin="pillow")["loop"] == 0


def test_a_film_that_cannot_be_made_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "film.gif"
    path.write_bytes(b"old")

    def fail(*_, **__):
        raise OSError("no codec")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="no codec"):
        traversal_video(frames_of(2), path, ACTIVITY)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["film.gif"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "film.avi"}, r"`path` must end in .gif or .mp4, got 'film.avi'"),
        ({"fps": 0}, "`fps` must be above 0, got 0"),
        ({"fps": float("nan")}, "`fps` must be above 0"),
        ({"frames": np.ones((3, 1, 1, 8, 8))}, "`frames` must have at least 2 steps"),
        ({"frames": np.ones((3, 2, 8, 8))}, "`frames` must have shape"),
        ({"frames": np.full((3, 2, 1, 8, 8), -1.0)}, r"`frames` must lie in \[0, 1\]"),
        ({"activity": [1.0]}, "`activity` must have one entry"),
    ],
)
def test_wrong_input_to_the_film_is_refused_by_name(tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    given = {"frames": frames_of(2), "path": "film.gif", "activity": ACTIVITY}
    with pytest.raises(ValueError, match=message):
        traversal_video(**given | change)
    assert not list(tmp_path.iterdir())


def test_values_that_do_not_fit_the_steps_are_refused():
    with pytest.raises(ValueError, match="`values` must have one entry for each of the 5 steps"):
        traversals(frames_of(5), ACTIVITY, [0, 1])


# ---------------------------------------------------------------- ranges and own values

RANGES = np.array([[-6.0, 0.0, 6.0], [-2.0, 0.0, 2.0], [1.0, 2.0, 3.0]])
OWN = np.array([[-6.0, 9.0, 2.0], [3.0, 0.0, 3.0]])  # the 9 is outside


def marks(axes):
    """Column and row of each mark, in tiles with their gaps."""
    side = 64 + GAP
    places = [
        ((p.get_x() + p.get_width() / 2 + 0.5 - GAP - 32) / side, (p.get_y() + 0.5) / side)
        for p in axes.patches
    ]
    return np.round(places, 6).tolist()


def test_axes_with_ranges_of_their_own_name_them(headers, assert_legible):
    figure = traversals(frames_of(3), ACTIVITY, RANGES)
    labels = [t.get_text() for axes in figure.axes for t in axes.get_yticklabels()]
    assert labels == [
        "z2\nKL 3.0\n+1 … +3", "z0\nKL 0.5\n−6 … +6", "z1\nKL 0.002\n−2 … +2",
    ]  # fmt: skip
    assert headers(figure) == ["lowest", "", "highest"]
    assert_legible(figure)


def test_own_values_are_marked_below_their_strips_at_their_place(assert_legible):
    figure = traversals(np.stack([frames_of(3)] * 2), ACTIVITY, RANGES, OWN)
    third, first, second = figure.axes  # by activity
    assert marks(first) == [[0, 1], [1.5, 2]]
    assert marks(second) == [[1, 2]]  # the other is outside
    assert marks(third) == [[1, 1], [2, 2]]
    assert "Blue: the image's own value." in figure.texts[1].get_text().replace("\n", " ")
    assert_legible(figure)


def test_own_values_of_one_image_are_marked_row_by_row():
    figure = traversals(frames_of(3), ACTIVITY, [-1, 0, 1], [[1.0, 0.0, -1.0]])
    active, idle = figure.axes
    assert marks(active) == [[0, 1], [2, 2]]
    assert marks(idle) == [[1, 1]]


def test_the_film_marks_own_values_on_its_sliders(tmp_path):
    path = tmp_path / "film.gif"
    traversal_video(frames_of(3), path, ACTIVITY, values=RANGES, own=OWN[:1])
    last = read(path)[2, 12 + 128 + 5 : 12 + 128 + 14, :, :].astype(int)  # the knobs at the right
    dark = (last.sum(2) < 200).all(0)
    places = [12 + i * 140 for i in range(3)]
    # Of z2 in the middle, of z0 at the left end; that of z1 is outside.
    middles = [np.flatnonzero(dark[left : left + 128]).tolist() for left in places]
    assert middles[0] == [64 - 1, 64, 64 + 1]
    assert middles[1] == [3, 4, 5]
    assert middles[2] == []


@pytest.mark.parametrize(
    ("values", "own", "message"),
    [
        (RANGES[:2], None, "`values` must have one entry for each of the 3 latents, got 2"),
        (RANGES[:, :2], None, "`values` must have one entry for each of the 3 steps"),
        (RANGES, OWN[:, :2], r"`own` must have shape \(1, 3\), got"),
    ],
)
def test_ranges_and_own_values_that_do_not_fit_are_refused(values, own, message):
    with pytest.raises(ValueError, match=message):
        traversals(frames_of(3), ACTIVITY, values, own)
