"""Groups of images, one below the other."""

import numpy as np
import pytest
import torch

from axiswise.plots import samples
from axiswise.plots._tiles import GAP


def greys(levels, side=128, channels=1):
    """One flat image of each grey level."""
    return np.broadcast_to(np.reshape(levels, (-1, 1, 1, 1)), (len(levels), channels, side, side))


def middles(axes, pixels):
    """The grey in the middle of each place of the grid."""
    middle = slice(GAP + pixels // 2, None, pixels + GAP)
    return axes.images[0].get_array()[middle, middle, 0]


def labels(figure):
    return [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]


def note(figure):
    return " ".join(figure.texts[1].get_text().split())


def test_each_group_has_its_name_and_its_images_in_reading_order():
    data, made = [0.1, 0.2, 0.3, 0.4], [0.9, 0.8, 0.7]
    figure = samples({"data": torch.tensor(greys(data)), "generated": greys(made)}, columns=2)
    assert labels(figure) == ["data", "generated"]
    above, below = figure.axes
    np.testing.assert_allclose(middles(above, 128), [[0.1, 0.2], [0.3, 0.4]])
    # What the last row lacks is white.
    np.testing.assert_allclose(middles(below, 128), [[0.9, 0.8], [0.7, 1.0]])
    assert above.get_window_extent().y0 > below.get_window_extent().y1
    assert note(figure) == "data: 4, generated: 3 images of 128 × 128 pixels."


def test_what_is_lacking_has_no_frame_but_its_neighbours_keep_theirs():
    for levels, columns in (([0.0] * 3, 2), ([0.0], 2)):
        figure = samples({"full": greys([0.0] * 2), "part": greys(levels)}, columns=columns)
        picture = figure.axes[1].images[0].get_array()[..., 0]
        assert (picture[-128:, GAP + 128 + GAP :] == 1).all()
        assert (picture[-GAP:, : GAP + 128 + GAP] == 0.8).all()
        assert (picture[-128:, GAP + 128 : GAP + 128 + GAP] == 0.8).all()
        above = picture[-128 - 2 * GAP : -128 - GAP, GAP + 128 + GAP :]
        assert (above == (0.8 if len(levels) == 3 else 1)).all()


def test_the_same_latents_over_training_stand_above_one_another_one_row_each():
    course = {f"step {step}": greys(np.linspace(0, step / 1000, 5)) for step in (0, 500, 1000)}
    figure = samples(course)
    assert labels(figure) == ["step 0", "step 500", "step 1000"]
    for axes, step in zip(figure.axes, (0, 500, 1000), strict=True):
        np.testing.assert_allclose(middles(axes, 128), [np.linspace(0, step / 1000, 5)])
    assert len({axes.get_window_extent().x0 for axes in figure.axes}) == 1
    assert note(figure) == "5 images in each group, of 128 × 128 pixels."


def test_colours_keep_their_channels():
    red = np.zeros((1, 3, 128, 128))
    red[:, 0] = 1
    picture = samples({"red": red}).axes[0].images[0].get_array()
    assert picture[60, 60].tolist() == [1, 0, 0]


@pytest.mark.parametrize("name", ["a", "a name that takes very many characters"])
@pytest.mark.parametrize(
    ("groups", "count", "side", "channels"),
    [(1, 1, 16, 1), (2, 32, 64, 3), (20, 10, 32, 1), (3, 8, 256, 3)],
)
def test_labels_neither_overlap_nor_leave_the_figure(
    groups, count, side, channels, name, assert_legible
):
    images = np.full((count, channels, side, side), 0.5, dtype=np.float32)
    assert_legible(samples({f"{i} {name}": images for i in range(groups)}))


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ({}, ValueError, "`groups` must have at least one group"),
        ({"a": np.zeros((2, 8, 8))}, ValueError, r"`groups\['a'\]` must have shape"),
        ({"a": np.zeros((0, 1, 8, 8))}, ValueError, r"`groups\['a'\]` must have shape"),
        ({"a": np.zeros((1, 2, 8, 8))}, ValueError, r"`groups\['a'\]` must have 1 or 3 channels"),
        ({"a": np.full((1, 1, 8, 8), -1.0)}, ValueError, r"`groups\['a'\]` must lie in \[0, 1\]"),
        ({"a": np.full((1, 1, 8, 8), np.nan)}, ValueError, r"`groups\['a'\]` must be finite"),
        ({"a": np.full((1, 1, 8, 8), "x")}, TypeError, r"`groups\['a'\]` must be real numbers"),
        (
            {"a": np.zeros((1, 1, 8, 8)), "b": np.zeros((1, 3, 8, 8))},
            ValueError,
            r"`groups\['b'\]` must have images of the same shape as `groups\['a'\]`, "
            r"got \(3, 8, 8\) and \(1, 8, 8\)",
        ),
    ],
)
def test_wrong_input_is_refused_by_name(groups, error, message):
    with pytest.raises(error, match=message):
        samples(groups)


def test_columns_below_one_are_refused():
    with pytest.raises(ValueError, match="`columns` must be at least 1, got 0"):
        samples({"a": np.zeros((1, 1, 8, 8))}, columns=0)


def test_the_title_can_be_chosen_and_many_counts_are_summed_up():
    groups = {f"factor {index}": np.zeros((index + 1, 1, 8, 8)) for index in range(5)}
    figure = samples(groups, 8, "Each factor")
    said = [text.get_text() for text in figure.texts]
    assert said == ["Each factor", "1 to 5 images in each group, of 8 × 8 pixels."]
