"""What several tests of pictures need."""

from collections.abc import Callable
from itertools import combinations

import pytest
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def _tick_labels(axis: Axis) -> list[Text]:
    """Tick labels that are drawn: a locator also makes some beyond the view."""
    low, high = sorted(axis.get_view_interval())
    ticks = [t for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
    return [label for tick in ticks for label in (tick.label1, tick.label2)]


def _texts(figure: Figure) -> list[Text]:
    found = [*figure.texts]
    for legend in figure.legends:
        found += legend.get_texts()
    for axes in figure.axes:
        found += [axes.title, axes._left_title, axes._right_title, *axes.texts]
        for axis in (axes.xaxis, axes.yaxis):
            found += [axis.label, *_tick_labels(axis)]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


@pytest.fixture
def assert_legible() -> Callable[[Figure], None]:
    """Check that no text leaves the figure and no two texts touch."""

    def check(figure: Figure) -> None:
        figure.draw_without_rendering()
        boxes = {text: text.get_window_extent() for text in _texts(figure)}
        for text, box in boxes.items():
            inside = Bbox.from_extents(
                -0.5, -0.5, figure.bbox.width + 0.5, figure.bbox.height + 0.5
            )
            assert inside.containsx(box.x0), text
            assert inside.containsx(box.x1), text
            assert inside.containsy(box.y0), text
            assert inside.containsy(box.y1), text
        for (one, a), (other, b) in combinations(boxes.items(), 2):
            # Half a pixel off each side: boxes that only touch are legible.
            assert not a.padded(-0.5).overlaps(b.padded(-0.5)), (one, other)

    return check


@pytest.fixture
def headers() -> Callable[[Figure], list[str]]:
    """Return the labels above a figure's columns of tiles, left to right."""

    def read(figure: Figure) -> list[str]:
        figure.draw_without_rendering()
        return [
            label.get_text()
            for axes in figure.axes
            if axes.images
            for label in axes.get_xticklabels()
        ]

    return read
