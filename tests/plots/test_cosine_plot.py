"""The matrix of column cosines."""

from functools import partial

import numpy as np
import pytest

from axiswise import plots

column_cosines = partial(plots.column_cosines, active_above=0.01)
ACTIVITY = [0.5, 0.002, 3.0]
COSINES = np.array([[1.0, 0.1, 0.4], [0.1, 1.0, 0.2], [0.4, 0.2, 1.0]])


def test_axes_are_ordered_by_activity_in_both_directions():
    axes = column_cosines(COSINES, ACTIVITY).axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["z2", "z0", "z1"]
    assert [t.get_text() for t in axes.get_yticklabels()] == [
        "z2  KL 3.0", "z0  KL 0.5", "z1  KL 0.002",
    ]  # fmt: skip
    np.testing.assert_array_equal(
        axes.images[0].get_array(), [[1, 0.4, 0.2], [0.4, 1, 0.1], [0.2, 0.1, 1]]
    )
    assert axes.images[0].get_clim() == (0, 1)


def test_the_title_is_the_mean_over_pairs_of_active_axes():
    assert "mean |cos| 0.40" in column_cosines(COSINES, ACTIVITY).axes[0].get_title(loc="left")
    everywhere = column_cosines(COSINES, ACTIVITY, active_above=0.0)
    assert "mean |cos| 0.23" in everywhere.axes[0].get_title(loc="left")


def test_values_are_written_and_an_undefined_one_is_a_dash():
    cosines = COSINES.copy()
    cosines[1, :] = cosines[:, 1] = np.nan
    axes = column_cosines(cosines, ACTIVITY).axes[0]
    assert [t.get_text() for t in axes.texts] == [
        "1.00", ".40", "–", ".40", "1.00", "–", "–", "–", "–",
    ]  # fmt: skip


def test_a_single_active_axis_has_no_pairs_to_sum_up():
    figure = column_cosines(COSINES, [1.0, 0.0, 0.0])
    assert figure.axes[0].get_title(loc="left") == "Jacobian columns: cosines"


@pytest.mark.parametrize("latents", [1, 2, 10, 18])
def test_labels_neither_overlap_nor_leave_the_figure(latents, assert_legible):
    columns = np.random.default_rng(0).normal(size=(latents, 50))
    columns /= np.linalg.norm(columns, axis=1, keepdims=True)
    assert_legible(column_cosines(np.abs(columns @ columns.T), np.arange(latents) * 0.004))


@pytest.mark.parametrize(
    ("cosines", "message"),
    [
        (np.ones((3, 2)), "`cosines` must be square"),
        (-COSINES, r"`cosines` must lie in \[0, 1\]"),
        (COSINES * 2, r"`cosines` must lie in \[0, 1\]"),
        (np.triu(COSINES), "`cosines` must be symmetric"),
        (np.eye(2), "`activity` must have one entry for each of the 2 latents"),
    ],
)
def test_wrong_input_is_refused_by_name(cosines, message):
    with pytest.raises(ValueError, match=message):
        column_cosines(cosines, ACTIVITY)
