"""Directions in a trained generator: one method a file."""

from axiswise.directions.directions import Directions, load_published
from axiswise.directions.folding import first_layer, with_axes
from axiswise.directions.matching import Matching, match_directions
from axiswise.directions.search import METHODS, find_directions
from axiswise.directions.sefa import sefa

__all__ = [
    "METHODS",
    "Directions",
    "Matching",
    "find_directions",
    "first_layer",
    "load_published",
    "match_directions",
    "sefa",
    "with_axes",
]
