"""Latent axes that each change one thing: train them, check them, look at them."""

from axiswise import data, directions, metrics, nets
from axiswise.directions import Directions, find_directions, match_directions
from axiswise.jacobian import (
    jacobian_columns,
    jacobian_gram,
    jacobian_products,
    rademacher,
    sample_columns,
)
from axiswise.penalties import (
    hessian_penalty,
    ima_contrast,
    jl1_penalty,
    jl2_penalty,
    orojar_penalty,
    sample_groups,
)
from axiswise.shared_pass import SharedPass

__all__ = [
    "Directions",
    "SharedPass",
    "data",
    "directions",
    "find_directions",
    "hessian_penalty",
    "ima_contrast",
    "jacobian_columns",
    "jacobian_gram",
    "jacobian_products",
    "jl1_penalty",
    "jl2_penalty",
    "match_directions",
    "metrics",
    "nets",
    "orojar_penalty",
    "rademacher",
    "sample_columns",
    "sample_groups",
]

__version__ = "0.1.0"
