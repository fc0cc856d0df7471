"""Which values count as black and white: what is decided, what is said, and what is refused."""

import warnings
from typing import Any

import numpy as np
import pytest

from axiswise.data.levels import Levels, check_value_range, kind_of
from axiswise.support.files import UnreadableFileError


def scaled(values: Any, given: tuple[float, float] | None = None) -> Any:
    levels = Levels(given)
    levels.meet(kind_of(values.dtype), float(values.min()), float(values.max()))
    levels.settle("these")
    return levels.to_bytes(values)


@pytest.mark.parametrize(
    ("dtype", "lowest", "highest"),
    [
        (np.bool_, 0, 1),
        (np.uint8, 0, 255),
        (np.uint8, 0, 17),
        (np.uint16, 0, 65535),
        (np.uint16, 7, 16384),
        (">u2", 0, 40000),
        (np.int32, 0, 65535),
        (np.float16, 0, 1),
        (np.float32, -1e-4, 1 + 1e-4),
        (np.float64, 0.2, 0.3),
    ],
)
def test_what_the_type_says_by_itself_needs_no_word(
    dtype: Any, lowest: float, highest: float
) -> None:
    white = {"b": 1, "f": 1}.get(np.dtype(dtype).kind, 255 if dtype is np.uint8 else 65535)
    values = np.array([lowest, highest], dtype)
    found = scaled(values)
    expected = np.clip(values.astype(np.float64) / white, 0, 1) * 255
    assert found.dtype == np.uint8
    assert np.abs(found - expected).max() <= 0.5


@pytest.mark.parametrize(
    ("dtype", "lowest", "highest", "black", "white"),
    [
        (np.uint8, 0, 1, 0, 1),
        (np.uint16, 0, 1, 0, 1),
        (np.uint16, 0, 255, 0, 255),
        (np.int64, 3, 200, 0, 255),
        (np.uint16, 0, 1023, 0, 1023),
        (np.uint16, 0, 4095, 0, 4095),
        (">u2", 0, 3000, 0, 4095),
        (np.int32, 0, 16383, 0, 16383),
        (np.float32, -1, 1, -1, 1),
        (np.float64, -0.9, 0.7, -1, 1),
        (np.float32, 0, 255, 0, 255),
    ],
)
def test_a_guess_is_said_with_the_option_that_says_otherwise(
    dtype: Any, lowest: float, highest: float, black: float, white: float
) -> None:
    values = np.array([lowest, (lowest + highest) / 2, highest]).astype(dtype)
    option = rf'--data\.value_range "\[{black}, {white}\]"'
    with pytest.warns(UserWarning, match=rf"these: values go from .* {white} as white.*{option}"):
        found = scaled(values)
    share = (values.astype(np.float64) - black) / (white - black)
    assert np.abs(found - share * 255).max() <= 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(scaled(values, (black, white)), found)


@pytest.mark.parametrize(
    ("dtype", "highest"),
    [(np.uint8, 7), (np.float32, 1 / 255), (np.uint8, 15), (np.bool_, 0), (np.uint16, 0)],
)
def test_images_that_are_all_but_black_are_mentioned(dtype: Any, highest: float) -> None:
    values = np.array([0, highest]).astype(dtype)
    with pytest.warns(UserWarning, match=r"no value is above .*give value_range, as in --data"):
        scaled(values)


@pytest.mark.parametrize(
    ("dtype", "lowest", "highest"),
    [
        (np.int16, -5, 100),
        (np.int32, 0, 65536),
        (np.uint64, 0, 2**40),
        (np.float32, 0, 16),
        (np.float32, -0.1, 1),
        (np.float32, -3, 2.5),
        (np.float64, 0, 4095),
        (np.float32, 5, 5),
    ],
)
def test_values_of_no_usual_range_need_one(dtype: Any, lowest: float, highest: float) -> None:
    values = np.array([lowest, highest]).astype(dtype)
    with pytest.raises(UnreadableFileError, match=r"these: values from .* value_range must be giv"):
        scaled(values)
    given = (lowest, highest + 1)
    assert scaled(values, given)[0] == 0


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="values must be finite"):
        scaled(np.array([wrong]))


def test_what_is_beyond_a_given_range_is_cut_off_and_mentioned() -> None:
    with pytest.warns(UserWarning, match=r"from 0 to 5000; .*value_range, 0 to 4095, is cut off"):
        found = scaled(np.array([0, 4095, 5000], np.uint16), (0, 4095))
    assert found.tolist() == [0, 255, 255]


def test_images_of_several_kinds_are_taken_only_where_each_is_usual() -> None:
    levels = Levels(None)
    levels.meet("bytes", 0, 255)
    levels.meet("integers", 0, 60000)
    assert levels.settle("these") == set()
    assert levels.decided is None
    levels.meet("floats", -1, 1)
    with pytest.raises(
        UnreadableFileError, match="0 to 255 and 0 to 60000 and -1 to 1, have no ra"
    ):
        levels.settle("these")


@pytest.mark.parametrize("given", [(1, 1), (255, 0), (0, np.nan), (0, np.inf), (0, 1, 2), (5,), ()])
def test_other_ranges_are_refused_by_name(given: Any) -> None:
    with pytest.raises(ValueError, match="value_range must be the values of black and of white"):
        check_value_range(given)
