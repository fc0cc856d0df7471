"""Directions in a trained generator: one method a file."""

from axiswise.directions.folding import first_layer, with_axes
from axiswise.directions.sefa import sefa

__all__ = ["first_layer", "sefa", "with_axes"]
