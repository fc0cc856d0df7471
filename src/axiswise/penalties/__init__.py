"""Penalties on the Jacobian of a generator: scalars that training adds to its loss.

Each works in three steps: differentiate the generator (`axiswise.jacobian`), reduce to one number
for each sample, score the batch. The numbers are summed over the activations of a generator that
returns several.
"""

from axiswise.penalties.family import PENALTIES, Penalty, penalty
from axiswise.penalties.hessian import hessian_penalty
from axiswise.penalties.ima import cosine_contrast, ima_contrast
from axiswise.penalties.jl1 import jl1_penalty, jl2_penalty
from axiswise.penalties.orojar import orojar_penalty
from axiswise.penalties.sampling import rademacher, sample_columns, sample_groups
from axiswise.penalties.scores import (
    Reduction,
    column_cosines,
    l1_lengths,
    off_diagonal_energy,
    orthogonality,
    safe_ratio,
    squared_lengths,
)

__all__ = [
    "PENALTIES",
    "Penalty",
    "Reduction",
    "column_cosines",
    "cosine_contrast",
    "hessian_penalty",
    "ima_contrast",
    "jl1_penalty",
    "jl2_penalty",
    "l1_lengths",
    "off_diagonal_energy",
    "orojar_penalty",
    "orthogonality",
    "penalty",
    "rademacher",
    "safe_ratio",
    "sample_columns",
    "sample_groups",
    "squared_lengths",
]
