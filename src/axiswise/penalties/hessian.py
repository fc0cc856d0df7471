"""Peebles et al., The Hessian Penalty (ECCV 2020, arXiv 2008.10599)."""

from functools import partial
from typing import Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from axiswise.jacobian import (
    Generator,
    JacobianOperator,
    JacobianOptions,
    Latents,
    Probes,
    as_jacobian,
)
from axiswise.penalties.family import penalty
from axiswise.penalties.sampling import check_one_of, groups_of, probes_of, split_chance
from axiswise.penalties.scores import Reduction, reduced_with_outputs
from axiswise.support.precision import full_precision

_reduced = partial(reduced_with_outputs, "hessian_penalty")


@penalty("hessian")
def hessian_penalty(
    generator: Generator | JacobianOperator,
    z: Latents | None = None,
    probes: int | Probes | None = None,
    *,
    groups: int | Probes | None = None,
    correction: int = 1,
    reduction: Reduction = "mean",
    rng: torch.Generator | None = None,
    **options: Unpack[JacobianOptions],
) -> Float[Tensor, "..."]:
    """Hessian Penalty (Peebles et al. 2020, arXiv 2008.10599).

    For each output its Hessian H with respect to the latents should be diagonal. With `probes`, the
    paper's estimator: the unbiased variance over Rademacher probes v of vᵀHv.
    Without, its exact expectation 2·Σ_{i≠j} H_ij²; with `groups`, the unbiased estimator that
    `orojar_penalty` has, on vᵀHw instead of vᵀJᵀJw. Reduced over batch and outputs together.

    Args:
        generator: As in `jl1_penalty`; or its `Jacobian`, without z and options.
        z: Latents, (batch, *latent), floating.
        probes: As in `orojar_penalty`.
        groups: As in `orojar_penalty`.
        correction: As in `orojar_penalty`.
        reduction: "mean" or "max" over batch and outputs; None for each sample's mean over
            outputs.
        rng: Source of randomness; None for torch's global one.
        **options: Of the `Jacobian`; epsilon is 0.1 as published, with central differences.

    Returns:
        A scalar ≥ 0, or values, as `jl1_penalty`.

    Raises:
        ValueError: On fewer than two probes or groups, on both at once, on a correction that does
            not fit, or on bad arguments as `Jacobian`.
        TypeError: As `Jacobian`, or on an option beside a `Jacobian`.
        NotImplementedError: As `Jacobian`.

    Example:
        >>> import torch, axiswise as aw
        >>> product = lambda z: z[:, :1] * z[:, 1:]  # its Hessian is [[0, 1], [1, 0]]
        >>> float(aw.hessian_penalty(product, torch.randn(8, 2)))
        4.0
    """
    jacobian = as_jacobian(generator, z, options)
    check_one_of(probes=probes, groups=groups)
    if (own := probes_of(jacobian, probes, correction, rng)) is not None:
        curvatures = jacobian.curvatures(own)
        variance = partial(torch.var, dim=0, correction=correction)
        return _reduced(jacobian, curvatures, lambda c: variance(full_precision(c)), reduction)

    # uᵀHw from curvatures along u + w and u − w, so that both methods need one primitive only.
    if jacobian.latent == 1:
        shape = tuple(jacobian.shape)
        raise ValueError(f"z must have at least 2 latents for this penalty, got {shape}")
    drawn = jacobian.unit_probes(None) if groups is None else groups_of(jacobian, groups, rng)
    first, other = torch.triu_indices(drawn.shape[0], drawn.shape[0], 1)
    pairs = torch.cat([drawn[first] + drawn[other], drawn[first] - drawn[other]])
    split = split_chance(drawn.shape[0], jacobian.latent)

    def mixed(curvature: Tensor) -> Tensor:
        plus, minus = full_precision(curvature).chunk(2)
        return 4 / split * ((plus - minus) / 4).square().sum(0)

    return _reduced(jacobian, jacobian.curvatures(pairs), mixed, reduction)
