"""Bars of activeness, model beside model."""

import numpy as np
import pytest
import torch

from axiswise.plots import activeness
from axiswise.plots._tiles import DPI


def bars(axes):
    return [bar.get_height() for bar in axes.patches]


def names(axes):
    return [label.get_text() for label in axes.get_xticklabels()]


def test_bars_fall_and_each_has_the_name_of_its_own_latent():
    (axes,) = activeness({"OroJaR": torch.tensor([0.2, 0.0, 0.7, 0.1])}).axes
    assert bars(axes) == pytest.approx([0.7, 0.2, 0.1, 0.0])
    assert names(axes) == ["z2", "z0", "z3", "z1"]
    assert axes.get_title(loc="left") == "OroJaR"


def test_models_stand_side_by_side_on_one_scale_from_zero_to_above_the_highest_bar():
    figure = activeness({"a": [0.1, 0.3, 0.2], "b": [4.0, 1.0], "c": [0.0]})
    first, second, third = figure.axes
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert axes.get_ylim() == pytest.approx((0, 4.2))
    left, middle, right = (axes.get_window_extent() for axes in figure.axes)
    assert left.y0 == middle.y0 == right.y0
    assert left.x1 < middle.x0 < middle.x1 < right.x0
    assert names(second) == ["z0", "z1"]
    # Bars are equally wide, though the models do not have equally many.
    assert len({axes.get_xlim() for axes in (first, second, third)}) == 1


def test_models_that_change_nothing_have_a_scale_too():
    (axes,) = activeness({"dead": [0.0, 0.0]}).axes
    assert axes.get_ylim() == (0, 1)


def test_of_many_latents_the_most_active_are_drawn_and_the_note_says_so():
    values = np.random.default_rng(0).random(100)
    figure = activeness({"big": values, "small": [1.0]})
    assert bars(figure.axes[0]) == pytest.approx(sorted(values, reverse=True)[:64])
    note = " ".join(figure._supxlabel.get_text().split())
    assert "Only the most active latents of big (64 of 100)." in note


@pytest.mark.parametrize(
    ("models", "latents", "scale"),
    [
        (1, 1, 1),
        (1, 64, 1e-6),
        (3, 6, 1e-6),
        (4, 12, 0.3),
        (2, 30, 1),
        (8, 10, 30),
        pytest.param(8, 64, 0.3, marks=pytest.mark.slow),
    ],
)
def test_labels_neither_overlap_nor_leave_the_figure(models, latents, scale, assert_legible):
    rng = np.random.default_rng(0)
    figure = activeness(
        {
            f"{'quite a long name of a ' if i % 2 else ''}model {i}": scale * rng.random(latents)
            for i in range(models)
        }
    )
    assert_legible(figure)
    assert figure.get_figwidth() * DPI <= 1600


@pytest.mark.parametrize(
    ("models", "error", "message"),
    [
        ({}, ValueError, "`models` must have at least one model"),
        ({"a": [0.1, -0.2]}, ValueError, r"`models\['a'\]` must not be negative, got -0.2"),
        ({"a": [0.1], "b": [np.nan]}, ValueError, r"`models\['b'\]` must be finite"),
        ({"a": [[0.1]]}, ValueError, r"`models\['a'\]` must have shape \(latent,\)"),
        ({"a": []}, ValueError, r"`models\['a'\]` must have shape \(latent,\)"),
        ({"a": ["x"]}, TypeError, r"`models\['a'\]` must be real numbers"),
    ],
)
def test_wrong_input_is_refused_by_name(models, error, message):
    with pytest.raises(error, match=message):
        activeness(models)
