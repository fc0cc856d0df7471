from . import data, directions, metrics, nets
from .directions import Directions, find_directions, match_directions
from .jacobian import (
    Jacobian,
    KnownJacobian,
    jacobian_columns,
    jacobian_gram,
    jacobian_products,
)
from .penalties import (
    hessian_penalty,
    ima_contrast,
    jl1_penalty,
    jl2_penalty,
    orojar_penalty,
    rademacher,
    sample_columns,
    sample_groups,
)

__all__ = [
    "Directions",
    "Jacobian",
    "KnownJacobian",
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

__version__: str
