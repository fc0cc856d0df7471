"""The grid of Jacobian columns: order, scale, labels."""

from functools import partial

import numpy as np
import pytest
import torch
from matplotlib.colors import Normalize

from axiswise import plots
from axiswise.plots._tiles import GAP

jacobian_columns = partial(plots.jacobian_columns, active_above=0.01)
ACTIVITY = [0.5, 0.002, 3.0, 1.5]


def columns_of(values, image=2, side=16, channels=1):
    """Columns that are constant: axis i has values[i] in every pixel of every image."""
    shape = (image, len(values), channels, side, side)
    return np.broadcast_to(np.asarray(values)[None, :, None, None, None], shape)


def images_of(image=2, side=16, channels=1):
    return np.full((image, channels, side, side), 0.5)


def signed_maps(figure):
    """The matplotlib images that hold columns, left to right, without the colour bar."""
    return [p for axes in figure.axes for p in axes.images if p.get_array().ndim == 2]


def cell_values(figure, side):
    """The value in the middle of each cell: (row, cell), left to right over all groups."""
    step = side + GAP
    return np.concatenate(
        [p.get_array().data[GAP + side // 2 :: step, GAP + side // 2 :: step]
         for p in signed_maps(figure)],
        axis=1,
    )  # fmt: skip


def test_axes_stand_in_order_of_activity_and_the_inactive_last(headers):
    figure = jacobian_columns(columns_of([1.0, 2.0, 3.0, 4.0]), images_of(), ACTIVITY)
    assert headers(figure) == [
        "image", "z2\nKL 3.0", "z3\nKL 1.5", "z0\nKL 0.5", "z1\nKL 0.002",
    ]  # fmt: skip
    # The pictures under the labels are those axes': 16 pixels are repeated 8 times.
    np.testing.assert_array_equal(cell_values(figure, 128), [[3, 4, 1, 2]] * 2)


def test_inactive_axes_have_a_heading_and_a_picture_of_their_own():
    figure = jacobian_columns(columns_of([1.0, 2.0, 3.0, 4.0]), images_of(), ACTIVITY)
    groups = {axes.texts[0].get_text(): axes for axes in figure.axes if axes.texts}
    assert list(groups) == ["active", "inactive"]
    assert groups["inactive"].get_xticklabels()[0].get_text() == "z1\nKL 0.002"


def test_active_above_moves_the_border():
    figure = jacobian_columns(
        columns_of([1.0, 2.0, 3.0, 4.0]), images_of(), ACTIVITY, active_above=1.0
    )
    groups = {axes.texts[0].get_text(): axes for axes in figure.axes if axes.texts}
    assert len(groups["active"].get_xticks()) == 2
    assert len(groups["inactive"].get_xticks()) == 2


def test_all_cells_share_one_scale_that_is_symmetric_about_zero():
    figure = jacobian_columns(columns_of([1.0, 9.0, -3.0, 2.0]), images_of(), ACTIVITY)
    norms = {id(p.norm): p.norm for p in signed_maps(figure)}
    assert len(norms) == 1
    (norm,) = norms.values()
    assert isinstance(norm, Normalize)
    # 3, the strongest active column, and not 9, which is an inactive one's.
    assert (norm.vmin, norm.vmax) == (-3, 3)
    bar = next(a for a in figure.axes if not a.images and a.get_ylabel())
    assert bar.get_ylim() == (-3, 3)


def test_zero_is_neutral_and_the_sign_is_the_hue():
    figure = jacobian_columns(columns_of([1.0, 0.0, -1.0, 0.0]), images_of(), ACTIVITY)
    colour_map, other = (p.get_cmap() for p in signed_maps(figure))
    assert colour_map == other
    red, green, blue, _ = colour_map(0.5)
    assert red == pytest.approx(green, abs=0.01)
    assert green == pytest.approx(blue, abs=0.01)
    assert min(red, green, blue) > 0.95
    positive, negative = colour_map(1.0), colour_map(0.0)
    assert positive[0] > 2 * positive[2]
    assert negative[2] > 2 * negative[0]


def test_one_extreme_pixel_does_not_bleach_the_rest():
    columns = np.random.default_rng(0).uniform(-1, 1, (4, 4, 1, 64, 64))
    columns[0, 2, 0, 5, 5] = 1e6
    figure = jacobian_columns(columns, images_of(4, 64), ACTIVITY)
    assert signed_maps(figure)[0].norm.vmax == pytest.approx(1, abs=0.01)


def test_columns_that_are_zero_nearly_or_quite_everywhere_still_have_a_scale():
    columns = np.zeros((1, 4, 1, 64, 64))
    assert signed_maps(jacobian_columns(columns, images_of(1, 64), ACTIVITY))[0].norm.vmax == 1
    columns[0, 2, 0, 5, 5] = -7
    assert signed_maps(jacobian_columns(columns, images_of(1, 64), ACTIVITY))[0].norm.vmax == 7


def test_three_channels_show_their_signed_mean_beside_the_colour_image():
    columns = columns_of([1.0, 0.0, 0.0, 0.0], channels=3).copy()
    columns[:, 0, 1] = -4.0
    images = images_of(channels=3).copy()
    images[:, 0] = 1.0
    figure = jacobian_columns(columns, images, ACTIVITY)
    np.testing.assert_allclose(cell_values(figure, 128)[0], [0, 0, -2 / 3, 0], atol=1e-12)
    shown = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(shown[60, 60], [1, 0.5, 0.5])


def test_only_the_most_active_axes_are_drawn_and_the_note_says_so(headers):
    figure = jacobian_columns(columns_of([1.0, 2.0, 3.0, 4.0]), images_of(), ACTIVITY, max_axes=2)
    assert headers(figure) == ["image", "z2\nKL 3.0", "z3\nKL 1.5"]
    assert "The 2 most active of 4 axes." in " ".join(t.get_text() for t in figure.texts)


def test_names_go_with_their_latents(headers):
    figure = jacobian_columns(
        columns_of([1.0, 2.0, 3.0, 4.0]),
        images_of(),
        ACTIVITY,
        names=["a", "b", "c", "d"],
        activity_name="size",
    )
    assert headers(figure)[1:3] == ["c\nsize 3.0", "d\nsize 1.5"]


def test_large_images_are_averaged_to_the_size_of_a_cell():
    checks = np.indices((256, 256)).sum(0) % 2 * 2.0  # mean 1 in every 2×2 block
    columns = np.broadcast_to(checks, (2, 4, 1, 256, 256))
    figure = jacobian_columns(columns, images_of(2, 256), ACTIVITY)
    np.testing.assert_allclose(cell_values(figure, 128), np.ones((2, 4)), atol=1e-12)


def test_tensors_on_a_graph_and_in_bfloat16_are_drawn():
    columns = torch.ones(2, 4, 1, 16, 16, dtype=torch.bfloat16, requires_grad=True)
    figure = jacobian_columns(columns, torch.rand(2, 1, 16, 16), torch.tensor(ACTIVITY))
    np.testing.assert_array_equal(cell_values(figure, 128), np.ones((2, 4)))


@pytest.mark.parametrize(
    ("image", "latents", "side", "named"),
    [(4, 10, 64, False), (1, 1, 16, False), (2, 16, 128, False), (3, 5, 28, True), (8, 16, 64, 1)],
)
def test_labels_neither_overlap_nor_leave_the_figure(image, latents, side, named, assert_legible):
    rng = np.random.default_rng(0)
    names = [f"a rather long name {i}" for i in range(latents)] if named else None
    figure = jacobian_columns(
        rng.normal(size=(image, latents, 1, side, side)),
        rng.random((image, 1, side, side)),
        [*[0.003] * (latents // 3), *rng.exponential(size=latents - latents // 3)],
        names=names,
    )
    assert_legible(figure)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"columns": np.ones((4, 1, 8, 8))}, ValueError, "`columns` must have shape"),
        ({"columns": np.ones((2, 4, 2, 8, 8))}, ValueError, "1 or 3 channels"),
        ({"columns": np.full((2, 4, 1, 8, 8), np.nan)}, ValueError, "`columns` must be finite"),
        ({"columns": np.full((2, 4, 1, 8, 8), "x")}, TypeError, "`columns` must be real"),
        ({"images": np.ones((3, 1, 8, 8))}, ValueError, "`images` must have the shape"),
        ({"images": np.full((2, 1, 8, 8), 1.5)}, ValueError, r"`images` must lie in \[0, 1\]"),
        ({"activity": [1.0, 2.0]}, ValueError, "`activity` must have one entry .* 4 latents"),
        ({"activity": [1.0, 2.0, np.inf, 0.0]}, ValueError, "`activity` must be finite"),
        ({"names": ["a"]}, ValueError, "`names` must have one entry"),
        ({"max_axes": 0}, ValueError, "`max_axes` must be at least 1, got 0"),
    ],
)
def test_wrong_input_is_refused_by_name(change, error, message):
    given = {
        "columns": np.ones((2, 4, 1, 8, 8)),
        "images": np.ones((2, 1, 8, 8)),
        "activity": ACTIVITY,
    }
    with pytest.raises(error, match=message):
        jacobian_columns(**given | change)
