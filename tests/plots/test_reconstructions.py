"""Images over reconstructions."""

import numpy as np
import pytest
import torch

from axiswise.plots import reconstructions


def pictures(figure):
    return [p.get_array() for axes in figure.axes for p in axes.images]


def title(figure):
    return figure.texts[0].get_text()


def test_rows_are_image_reconstruction_and_signed_difference():
    images, made = torch.full((2, 1, 32, 32), 0.25), torch.full((2, 1, 32, 32), 0.75)
    made[1] = 0.0
    figure = reconstructions(images, made)
    labels = [t.get_text() for axes in figure.axes[:3] for t in axes.get_yticklabels()]
    assert labels == ["image", "reconstruction", "difference"]
    first, second = (64, 64), (64, 64 + 131)  # the middle of each tile
    before, after, change = pictures(figure)
    assert [before[at][0] for at in (first, second)] == [0.25, 0.25]
    assert [after[at][0] for at in (first, second)] == [0.75, 0.0]
    assert [change[at] for at in (first, second)] == [0.5, -0.25]


def test_the_difference_has_a_scale_symmetric_about_zero():
    figure = reconstructions(np.zeros((2, 1, 8, 8)), np.full((2, 1, 8, 8), 0.3))
    norm = figure.axes[2].images[0].norm
    assert (norm.vmin, norm.vmax) == pytest.approx((-0.3, 0.3))


def test_the_title_has_the_error_over_all_images_though_only_some_are_drawn():
    images, made = np.zeros((4, 3, 8, 8)), np.zeros((4, 3, 8, 8))
    made[3] = 1.0
    figure = reconstructions(images, made, max_images=2)
    assert title(figure) == "Reconstructions: mean absolute error 0.2500"
    assert "The first 2 of 4 images." in figure.texts[1].get_text()
    assert pictures(figure)[1].max() < 1


@pytest.mark.parametrize(("count", "channels", "side"), [(1, 1, 16), (12, 3, 64), (5, 1, 200)])
def test_labels_neither_overlap_nor_leave_the_figure(count, channels, side, assert_legible):
    rng = np.random.default_rng(0)
    images = rng.random((count, channels, side, side))
    assert_legible(reconstructions(images, images**2))


def test_wrong_input_is_refused_by_name():
    images = np.zeros((2, 1, 8, 8))
    with pytest.raises(ValueError, match="`reconstructed` must have the shape of `images`"):
        reconstructions(images, images[:1])
    with pytest.raises(ValueError, match=r"`reconstructed` must lie in \[0, 1\]"):
        reconstructions(images, images - 1)
    with pytest.raises(ValueError, match="`images` must be finite"):
        reconstructions(images * np.nan, images)
    with pytest.raises(ValueError, match="`max_images` must be at least 1"):
        reconstructions(images, images, max_images=0)
