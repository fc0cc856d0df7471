"""How far searches agree: the same directions, whatever the seed or the method?"""

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib.figure import Figure

from axiswise.plots._inputs import ArrayLike, as_cosines
from axiswise.plots._tiles import blank, place

# Lengths in pixels.
_CELL = 85
_CHARACTER = 8.2  # of a name
_LONGEST = 40  # characters of a name


def agreement(values: ArrayLike, chance: ArrayLike, names: Sequence[str]) -> Figure:
    """Draw how well sets of directions match each other, pair by pair.

    White is 0, dark is 1; each cell has its value, and beneath it what random directions score.

    Args:
        values: (set, set), in [0, 1]: mean |cos| after the best matching.
        chance: (set, set): the same of random directions.
        names: A name for each set.

    Raises:
        TypeError, ValueError: An array is not as described.
    """
    matrix = as_cosines(values, "values", "set")
    random = as_cosines(chance, "chance", "set")
    count = len(names)
    if matrix.shape != (count, count) or random.shape != (count, count):
        raise ValueError(
            f"`values` and `chance` must be ({count}, {count}), a row for each of `names`, got "
            f"{matrix.shape} and {random.shape}"
        )
    shown = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in names]
    margin = 30 + ceil(_CHARACTER * max(map(len, shown)))
    side = _CELL * max(count, 3)
    width, height = margin + side + 110, 40 + side + margin
    picture = blank(width, height)
    axes = place(picture, margin, 40, side, side)
    cells = axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
    bar = picture.colorbar(cells, cax=place(picture, margin + side + 25, 40, 16, side))
    bar.set_label("mean |cos|")
    for (row, column), value in np.ndenumerate(matrix):
        colour = "white" if value > 0.6 else "black"
        axes.text(column, row - 0.12, f"{value:.2f}", ha="center", va="center", color=colour)
        if row != column:
            note = f"random {random[row, column]:.2f}"
            axes.text(column, row + 0.22, note, ha="center", va="center", color=colour, fontsize=7)
    axes.set_xticks(range(count), shown, rotation=90, fontsize=9)
    axes.set_yticks(range(count), shown, fontsize=9)
    axes.tick_params(length=0)
    axes.set_title("Directions after matching", fontsize=11, loc="left")
    return picture
