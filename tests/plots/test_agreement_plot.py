"""The matrix of how well sets of directions match."""

import numpy as np
import pytest
import torch

from axiswise.plots import agreement


def test_each_cell_has_its_value_and_that_of_random_directions():
    values = torch.tensor([[1.0, 0.25], [0.25, 1.0]])
    chance = torch.tensor([[1.0, 0.5], [0.5, 1.0]])
    axes, bar = agreement(values, chance, ["first", "second"]).axes
    texts = {
        (round(text.get_position()[0]), round(text.get_position()[1]), text.get_text())
        for text in axes.texts
    }
    assert texts == {
        (0, 0, "1.00"),
        (1, 1, "1.00"),
        *((*place, text) for place in ((0, 1), (1, 0)) for text in ("0.25", "random 0.50")),
    }
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second"]
    np.testing.assert_array_equal(axes.images[0].get_array(), values)
    assert axes.images[0].get_clim() == (0, 1)
    assert "mean |cos|" in bar.get_ylabel()


@pytest.mark.parametrize(
    ("count", "name"),
    [(1, "a"), (1, "x" * 70), (2, "a"), (5, "x" * 70), (8, "my_generator-Net-jacobian-svd-seed0")],
)
def test_texts_neither_overlap_nor_leave_the_figure(count, name, assert_legible):
    matrix = np.full((count, count), 0.5)
    assert_legible(agreement(matrix, matrix, [f"{name}{i}" for i in range(count)]))


@pytest.mark.parametrize(
    ("values", "phrase"),
    [
        (np.ones((3, 3)), r"must be \(2, 2\), a row for each of `names`"),
        (np.ones((2, 3)), "must be square"),
        (np.full((2, 2), -0.1), r"must lie in \[0, 1\]"),
        (np.full((2, 2), 1.1), r"must lie in \[0, 1\]"),
        (np.full((2, 2), np.nan), "must be finite"),
    ],
)
def test_what_is_no_such_matrix_is_refused(values, phrase):
    with pytest.raises(ValueError, match=phrase):
        agreement(values, np.ones((2, 2)), ["a", "b"])
