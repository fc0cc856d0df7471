"""Averaging images down: against block means, and against brute force where sizes do not divide."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from axiswise.data.resizing import shrink


def test_a_divisor_gives_the_means_of_blocks() -> None:
    images = torch.rand(3, 2, 12, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(shrink(images, 4), functional.avg_pool2d(images, 3))


@settings(max_examples=20, deadline=None)
@given(side=st.integers(1, 12), data=st.data())
def test_any_size_weighs_pixels_by_the_area_they_share(side: int, data: st.DataObject) -> None:
    """Each pixel cut into size × size equal ones, then averaged in blocks of whole ones."""
    size = data.draw(st.integers(1, side))
    image = torch.rand(1, side, side, generator=torch.Generator().manual_seed(side))
    fine = image.repeat_interleave(size, 1).repeat_interleave(size, 2)
    expected = functional.avg_pool2d(fine, side)
    torch.testing.assert_close(shrink(image, size), expected)


def test_the_same_size_is_left_alone() -> None:
    image = torch.rand(1, 5, 5)
    assert shrink(image, 5) is image


@pytest.mark.parametrize(("shape", "size"), [((1, 4, 6), 2), ((1, 4, 4), 5), ((1, 4, 4), 0)])
def test_other_shapes_and_sizes_are_refused(shape: tuple[int, ...], size: int) -> None:
    with pytest.raises(ValueError, match=f"got {size} for {shape[1]} × {shape[2]}"):
        shrink(torch.zeros(shape), size)
