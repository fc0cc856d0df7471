"""Colour scales."""

from typing import Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from axiswise.plots._inputs import Floats
from axiswise.plots._tiles import place

SIGNED = colormaps["RdBu_r"].resampled(65)
"""Blue is negative, near-white zero, red positive.

The number is odd, so that zero is in the middle of a colour; so few keep PNGs small, and yet no
steps are seen.
"""

ROBUST_PERCENTILE = 99.9
"""Where a signed colour scale ends, so that a few extreme pixels do not bleach all others."""

SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours of lines and dots, distinct with every common form of colour vision (Okabe, Ito)."""


def symmetric_norm(values: Floats) -> Normalize:
    """A scale centred at zero that ends at the `ROBUST_PERCENTILE` of the absolute values.

    Where that is zero it ends at the largest of them, or at 1.
    """
    sizes = np.abs(values)
    limit = float(np.percentile(sizes, ROBUST_PERCENTILE)) or float(sizes.max()) or 1.0
    return Normalize(-limit, limit)


def signed_bar(picture: Figure, left: int, top: int, height: int, norm: Normalize) -> Colorbar:
    """The colour bar of a signed scale at this place."""
    return colour_bar(picture, left, top, height, norm, SIGNED, "both")


def colour_bar(
    picture: Figure,
    left: int,
    top: int,
    height: int,
    norm: Normalize,
    colours: Colormap,
    extend: Literal["both", "max"],
) -> Colorbar:
    """A colour bar, 14 pixels wide, at this place."""
    axes = place(picture, left, top, 14, height)
    bar = picture.colorbar(ScalarMappable(norm, colours), cax=axes, extend=extend, extendfrac=0.03)
    bar.ax.tick_params(labelsize=9, length=2)
    bar.outline.set_linewidth(0.5)
    return bar
