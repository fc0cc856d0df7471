"""Pictures of axes, model beside model: what is drawn where, and what is refused."""

import numpy as np
import pytest

from axiswise.plots import Axis, heat_maps, hessians, traversals_beside

VALUES = np.broadcast_to(np.array([-2.0, 0.0, 2.0]), (3, 3))


def axes(*activity):
    return Axis(np.array(activity), 0.05)


def rows(drawn):
    return [label.get_text() for label in drawn.get_yticklabels()]


def columns(drawn):
    return [label.get_text() for label in drawn.get_xticklabels()]


def test_each_model_has_a_panel_whose_rows_are_its_axes_by_activity():
    frames = np.random.default_rng(0).random((3, 3, 1, 8, 8))
    models = {"one": frames, "two": frames}
    orders = {"one": axes(0.1, 0.3, 0.01), "two": axes(0.3, 0.2, 0.1)}
    picture = traversals_beside(models, dict.fromkeys(models, VALUES), orders)
    first, second = picture.axes
    assert rows(first) == ["z1\n0.3", "z0\n0.1", "z2\n0.01"]
    assert rows(second) == ["z0\n0.3", "z1\n0.2", "z2\n0.1"]
    assert columns(first) == ["−2", "0", "+2"]
    assert [tick.get_color() for tick in first.get_yticklabels()] == ["black", "black", "0.5"]
    shown = first.images[0].get_array()
    assert shown[3, 3, 0] == pytest.approx(frames[1, 0, 0, 0, 0])


def test_many_models_go_below_each_other_and_stay_on_the_picture():
    frames = np.zeros((3, 3, 3, 64, 64))
    models = {f"model {number}": frames for number in range(9)}
    orders = dict.fromkeys(models, axes(3, 2, 1))
    picture = traversals_beside(models, dict.fromkeys(models, VALUES), orders)
    boxes = [drawn.get_position() for drawn in picture.axes]
    assert len({round(box.y0, 3) for box in boxes}) > 1
    assert all(0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1 for box in boxes)
    assert picture.bbox.width <= 1800


def test_maps_share_a_scale_from_zero_and_go_by_activity():
    maps = {"one": np.full((2, 3, 8, 8), 0.5), "two": np.zeros((2, 1, 8, 8))}
    maps["one"][1] = 1.0
    picture = heat_maps(maps, {"one": axes(0.1, 0.3), "two": axes(0.2, 0.01)})
    first, second, bar = picture.axes
    assert columns(first) == ["z1\n0.3", "z0\n0.1"]
    assert rows(first) + rows(second) == ["one", "two"]
    norms = [drawn.images[0].norm for drawn in (first, second)]
    assert norms[0] is norms[1]
    assert (norms[0].vmin, norms[0].vmax) == (0, 1)
    assert bar.get_ylabel() == "standard deviation of intensity"


def test_hessians_stand_beside_each_other_with_their_share():
    matrix = np.array([[2.0, 1.0], [1.0, 4.0]])
    picture = hessians({"one": matrix, "two": 0 * matrix}, {"one": 0.75, "two": 0.5})
    first, second = picture.axes
    assert first.images[0].get_array().tolist() == [[0.5, 0.25], [0.25, 1.0]]
    assert [text.get_text() for text in first.texts] == ["one (75 %)"]
    assert second.get_position().x0 > first.get_position().x1


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="`models` must have at least one model"):
        heat_maps({}, {})
    with pytest.raises(ValueError, match=r"`models\['a'\]` must not be negative, got -1"):
        heat_maps({"a": -np.ones((1, 1, 4, 4))}, {"a": axes(1)})
    with pytest.raises(ValueError, match=r"`models\['a'\]` must have shape"):
        hessians({"a": np.ones(3)}, {"a": 1.0})
    with pytest.raises(ValueError, match="steps"):
        traversals_beside({"a": np.zeros((3, 2, 1, 4, 4))}, {"a": VALUES}, {"a": axes(1, 2, 3)})
