"""Names of `axiswise.directions`."""

from .directions import Directions, load_published
from .family import METHODS, method
from .folding import first_layer, with_axes
from .matching import Matching, match_directions
from .methods.sefa import sefa
from .search import find_directions

__all__ = [
    "METHODS",
    "Directions",
    "Matching",
    "find_directions",
    "first_layer",
    "load_published",
    "match_directions",
    "method",
    "sefa",
    "with_axes",
]
