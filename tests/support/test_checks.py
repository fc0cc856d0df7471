"""Checks of arguments."""

import numpy as np
import pytest

from axiswise.support.checks import check_count


def test_integers_within_the_range_are_returned_as_such() -> None:
    assert check_count("n", 1) == 1
    assert type(check_count("n", np.int64(3), most=3)) is int
    assert check_count("n", 0, least=0) == 0


@pytest.mark.parametrize(
    ("value", "least", "most", "error", "message"),
    [
        (0, 1, None, ValueError, "n must be at least 1, got 0"),
        (4, 1, 3, ValueError, "n must be between 1 and 3, got 4"),
        (1, 2, 3, ValueError, "n must be between 2 and 3, got 1"),
        (2.0, 1, None, TypeError, r"n must be an integer, got 2\.0"),
        ("2", 1, None, TypeError, "n must be an integer, got '2'"),
    ],
)
def test_others_are_refused_by_name(
    value: int, least: int, most: int | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_count("n", value, least, most)
