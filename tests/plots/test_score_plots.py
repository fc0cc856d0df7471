"""Scores against radius, losses, recipes side by side."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from axiswise.plots import comparison, loss_curves, scores_against_radius

RADII = [0.1, 0.2, 0.3, 0.6, 1.0]
MIG = [0.25, 0.21, 0.17, 0.12, 0.08]
MODULARITY = [0.95, 0.94, 0.93, 0.9, 0.85]
CURVES = {
    "jl1": {
        "local MIG": (RADII, MIG, [0.03] * 5),
        "local modularity": (RADII, MODULARITY, [0] * 5),
    },
    "beta": {"local MIG": (RADII, [0.05] * 5, [0.01] * 5)},
}


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def line(axes, label):
    (found,) = [one for one in axes.lines if one.get_label() == label]
    return found


def test_each_score_has_a_panel_with_a_line_for_each_model():
    figure = scores_against_radius(CURVES)
    assert titles(figure) == ["local MIG", "local modularity"]
    mig, modularity = figure.axes
    np.testing.assert_allclose(line(mig, "jl1").get_xydata(), np.stack([RADII, MIG], 1))
    assert [one.get_label() for one in modularity.lines] == ["jl1"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["jl1", "beta"]


def test_many_scores_go_on_in_further_rows_and_stay_legible():
    """Four panels in a row, each as large as where there are few."""
    few = scores_against_radius({"jl1": {"a": (RADII, MIG, [0] * 5)}})
    many = scores_against_radius({"jl1": {str(i): (RADII, MIG, [0] * 5) for i in range(9)}})
    assert [many.axes[i].get_subplotspec().rowspan.start for i in (0, 3, 4, 8)] == [0, 0, 1, 2]
    width, height = few.get_size_inches()
    assert tuple(many.get_size_inches()) == (4 * width, 3 * height)


def test_the_band_is_one_standard_deviation_to_each_side():
    mig = scores_against_radius(CURVES).axes[0]
    corners = mig.collections[0].get_paths()[0].vertices
    at_first_radius = corners[corners[:, 0] == RADII[0], 1]
    assert at_first_radius.min() == pytest.approx(0.22)
    assert at_first_radius.max() == pytest.approx(0.28)


def test_a_reference_is_dashed_and_has_its_models_colour():
    figure = scores_against_radius(
        CURVES, {"beta": {"local MIG": ([0.1], [0.054])}, "paper": {"local MIG": ([0.1], [0.123])}}
    )
    mig = figure.axes[0]
    reference = line(mig, "beta (reference)")
    assert reference.get_linestyle() == "--"
    assert reference.get_color() == line(mig, "beta").get_color()
    colours = {to_hex(one.get_color()) for one in mig.lines}
    assert len(colours) == 3
    assert "paper (reference)" in [t.get_text() for t in figure.legends[0].get_texts()]


def test_the_scale_starts_at_zero_only_where_the_values_reach_far_down():
    mig, modularity = scores_against_radius(CURVES).axes
    assert mig.get_ylim()[0] == 0
    assert modularity.get_ylim()[0] > 0.8


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ({}, "`curves` must have at least one score"),
        ({"a": {}}, "`curves` must have at least one score"),
        ({"a": {"m": ([0.1], [0.2, 0.3], [0.1])}}, r"`curves\['a'\]\['m'\] mean` must have 1 entr"),
        ({"a": {"m": ([0.1], [0.2], [-0.1])}}, r"`curves\['a'\]\['m'\] std` must not be negative"),
        ({"a": {"m": ([0.1], [np.nan], [0.1])}}, r"`curves\['a'\]\['m'\] mean` must be finite"),
    ],
)
def test_wrong_curves_are_refused_by_name(curves, message):
    with pytest.raises(ValueError, match=message):
        scores_against_radius(curves)


def test_every_logged_column_has_a_panel_against_the_step():
    figure = loss_curves({"step": [0, 10, 20], "loss": [3.0, 2.0, 1.0], "kl": [0.0, 1.0, 2.0]})
    assert titles(figure) == ["loss", "kl"]
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xydata(), [[0, 3], [10, 2], [20, 1]])


def test_rows_in_which_a_column_was_not_logged_are_left_out():
    nan, inf = float("nan"), float("inf")
    figure = loss_curves({"step": [0, 1, 2, 3], "loss": [3, nan, 1, inf], "dead": [nan] * 4})
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xydata(), [[0, 3], [2, 1]])
    assert figure.axes[1].texts[0].get_text() == "no finite values"


def test_a_logarithmic_scale_is_taken_only_for_positive_values_of_many_sizes():
    figure = loss_curves(
        {"step": [0, 1], "wide": [100.0, 1.0], "narrow": [10.0, 1.0], "signed": [100.0, -1.0]}
    )
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear", "linear"]


def test_the_running_mean_is_centred_on_its_window():
    """A straight line is its own running mean, if that is drawn at the right steps."""
    steps = np.arange(1000.0)
    raw, mean = loss_curves({"step": steps, "loss": 5 + 2 * steps}).axes[0].lines
    assert len(raw.get_xdata()) == 1000
    np.testing.assert_allclose(mean.get_ydata(), 5 + 2 * mean.get_xdata(), atol=1 + 1e-9)
    assert len(mean.get_xdata()) == 1000 - 20 + 1


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ({"loss": [1.0]}, "`history` must have a column 'step'"),
        ({"step": [1.0]}, "and at least one other"),
        ({"step": [1.0, 2.0], "loss": [1.0]}, r"`history\['loss'\]` must have 2 entries, got 1"),
        ({"step": [np.nan], "loss": [1.0]}, r"`history\['step'\]` must be finite"),
    ],
)
def test_wrong_history_is_refused_by_name(history, message):
    with pytest.raises(ValueError, match=message):
        loss_curves(history)


def test_comparison_shows_every_seed_the_mean_and_the_spread():
    figure = comparison({"jl1": {"MIG": [0.2, 0.3, 0.4]}, "beta": {"MIG": [0.05], "SAP": [0.1]}})
    assert titles(figure) == ["MIG", "SAP"]
    mig, sap = figure.axes
    assert [t.get_text() for t in mig.get_yticklabels()] == ["jl1", "beta"]
    bar, mean, dots = mig.lines[:3]
    np.testing.assert_array_equal(dots.get_xydata(), [[0.2, 0], [0.3, 0], [0.4, 0]])
    np.testing.assert_allclose(bar.get_xdata(), [0.2, 0.4])  # 0.3 ± 0.1
    np.testing.assert_allclose(mean.get_xdata(), [0.3, 0.3])
    assert [t.get_text() for t in mig.texts] == ["0.3 ± 0.1  (n = 3)", "0.05  (n = 1)"]
    # jl1 has no SAP: its row is empty, beta's keeps its place.
    assert [t.get_text() for t in sap.texts] == ["0.1  (n = 1)"]
    assert set(sap.lines[-1].get_ydata()) == {1}


def test_a_reference_is_a_diamond_in_its_recipes_row():
    groups = {"jl1": {"MIG": [0.2]}, "beta": {"MIG": [0.05], "SAP": [0.1]}}
    mig, sap = comparison(groups, {"beta": {"MIG": 0.07}, "other": {"MIG": 0.9}}).axes
    [diamond] = [line for line in mig.lines if line.get_marker() == "D"]
    np.testing.assert_array_equal(diamond.get_xydata(), [[0.07, 1]])
    assert all(line.get_marker() != "D" for line in sap.lines)


def test_boxes_span_the_quartiles_with_the_median_and_leave_the_seeds():
    values = [0.1, 0.2, 0.4, 0.5, 1.5]  # the last lies beyond 1.5 boxes
    axes = comparison({"a": {"MIG": [0.3]}, "b": {"MIG": values}}, boxes=True).axes[0]
    spans = [sorted(set(line.get_xdata())) for line in axes.lines if max(line.get_ydata()) >= 1]
    assert [0.2, 0.5] in spans  # the box
    assert [0.4] in spans  # the median
    assert [0.1, 0.2] in spans  # the whisker
    assert values in spans  # the seeds themselves
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b"]
    assert axes.texts[1].get_text() == "0.54 ± 0.56  (n = 5)"


def test_equal_seeds_still_count_as_seeds():
    axes = comparison({"a": {"MIG": [0.5, 0.5]}}).axes[0]
    assert axes.texts[0].get_text() == "0.5 ± 0  (n = 2)"


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({}, "`groups` must have at least one score"),
        ({"a": {"MIG": []}}, r"`groups\['a'\]\['MIG'\]` must have shape"),
        ({"a": {"MIG": [np.nan]}}, r"`groups\['a'\]\['MIG'\]` must be finite"),
    ],
)
def test_wrong_groups_are_refused_by_name(groups, message):
    with pytest.raises(ValueError, match=message):
        comparison(groups)


def test_labels_neither_overlap_nor_leave_the_figures(assert_legible):
    many = {
        f"three-dots-with-a-long-name-{i}": {"MIG": [0.1 * i, 0.2], "SAP": [0.3]} for i in range(4)
    }
    steps = np.arange(0, 300_000, 1000.0)
    history = {"step": steps} | {f"column_{i}": steps**2 * 10.0**-i + 1 for i in range(5)}
    references = {f"paper {i}": {"local MIG": ([0.1], [0.1])} for i in range(3)}
    for figure in (
        scores_against_radius(CURVES, references),
        scores_against_radius({"jl1": {"local MIG": CURVES["jl1"]["local MIG"]}}),
        loss_curves(history),
        comparison(many),
        comparison({"a": {"MIG": [0.5]}}),
        comparison({"a": {"MIG": [0.5]}, "b": {"MIG": [0.4]}}, {"a": {"MIG": 0.6}}),
    ):
        assert_legible(figure)
