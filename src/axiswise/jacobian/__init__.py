"""The Jacobian of any generator: columns, products with probes, Gram matrix, second derivatives."""

from axiswise.jacobian.checks import Generator, Method, check_latents, described
from axiswise.jacobian.of_generator import (
    Jacobian,
    JacobianOptions,
    as_jacobian,
    jacobian_columns,
    jacobian_gram,
    jacobian_products,
)
from axiswise.jacobian.operators import (
    Along,
    Derivatives,
    Index,
    JacobianOperator,
    KnownJacobian,
    Latents,
    Probes,
    each,
    flat_outputs,
    gram,
)

__all__ = [
    "Along",
    "Derivatives",
    "Generator",
    "Index",
    "Jacobian",
    "JacobianOperator",
    "JacobianOptions",
    "KnownJacobian",
    "Latents",
    "Method",
    "Probes",
    "as_jacobian",
    "check_latents",
    "described",
    "each",
    "flat_outputs",
    "gram",
    "jacobian_columns",
    "jacobian_gram",
    "jacobian_products",
]
