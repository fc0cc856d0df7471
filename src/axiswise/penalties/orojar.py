"""Wei et al., Orthogonal Jacobian Regularization (ICCV 2021, arXiv 2108.07668)."""

from functools import partial
from typing import Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from axiswise.jacobian import (
    Along,
    Generator,
    Index,
    JacobianOperator,
    JacobianOptions,
    Latents,
    Probes,
    as_jacobian,
)
from axiswise.penalties.family import penalty
from axiswise.penalties.sampling import (
    check_one_of,
    columns_of,
    groups_of,
    probes_of,
    split_chance,
)
from axiswise.penalties.scores import Reduction, orthogonality, reduced, variance_of_squares
from axiswise.support.precision import power_scaled

_EPSILON = 0.1  # of the published differences
_reduced = partial(reduced, "orojar_penalty")


@penalty("orojar")
def orojar_penalty(
    generator: Generator | JacobianOperator,
    z: Latents | None = None,
    probes: int | Probes | None = None,
    *,
    groups: int | Probes | None = None,
    columns: int | Index | None = None,
    all_pairs: bool = False,
    normalize: bool = False,
    correction: int = 1,
    reduction: Reduction = "mean",
    rng: torch.Generator | None = None,
    **options: Unpack[JacobianOptions],
) -> Float[Tensor, "..."]:
    """Orthogonal Jacobian Regularization (Wei et al. 2021, arXiv 2108.07668).

    Four forms on one scale, so that a weight carries over. With none of `probes`, `groups` and
    `columns` the exact value 2·Σ_{i≠j} (J_iᵀJ_j)². With `probes`, the paper's estimator: the
    unbiased variance over Rademacher probes v of ‖Jv‖², whose expectation is the exact value.
    With `groups`, a second unbiased estimator, of lower variance from three products up: the
    latents are split at random into m groups as equal as possible, each group a gets one signed
    probe u_a, and the value is (4/p)·Σ_{a<b} (u_aᵀJᵀJu_b)² with p the chance that a pair of
    latents is split; exact at m = latent.
    With `columns`, the exact form over k random columns, scaled up to all pairs: unbiased as well,
    of the highest variance, but the one form that can be sampled scale-free.

    Args:
        generator: As in `jl1_penalty`; or its `Jacobian`, without z and options.
        z: Latents, (batch, *latent), floating.
        probes: Number k ≥ 2 (the paper has 2), or probes of your own, (k, batch, *latent).
        groups: Number of groups, 2…latent, or probes of your own, (group, batch, *latent), as
            `sample_groups` draws them.
        columns: Number k of random columns for each sample, 2…latent, or indices of your own, (k,)
            or (batch, k).
        all_pairs: Compare each of the `columns`, one of them at least, with all others instead of
            with each other. For learning directions, a `Jacobian.along` them: one backward pass
            gives JᵀJa_i, and with it the products of column i with all. Gradients go to the
            directions only, by a_i alone and doubled: by symmetry, with the right expectation.
        normalize: The scale-free form 2·Σ_{i≠j} cos²(J_i, J_j), which shrinking J does not lower;
            exact or over columns; pairs with a column of length zero count 0.
        correction: Of the variance over `probes`, 0…k − 1; the published TensorFlow code has 0.
        reduction: "mean" or "max" over the batch; the paper's GAN code and published GAN weights
            have "max". None for a value for each sample.
        rng: Source of randomness; None for torch's global one.
        **options: Of the `Jacobian`; epsilon is 0.1 as published.

    Returns:
        A scalar ≥ 0, or values, as `jl1_penalty`. It grows with the fourth power of J: not
        finite or 0, with a RuntimeWarning on the CPU, where its type holds no such number.

    Raises:
        ValueError: On fewer than two probes, groups or columns, on two of these at once, on
            normalize, all_pairs or correction where they do not fit, or as `Jacobian`.
        TypeError: As `Jacobian`, or on an option beside a `Jacobian`.
        NotImplementedError: As `Jacobian`.

    Example:
        >>> import torch, axiswise as aw
        >>> rotation = torch.linalg.qr(torch.randn(4, 4)).Q  # orthonormal columns
        >>> float(aw.orojar_penalty(lambda z: z @ rotation.T, torch.randn(8, 4))) < 1e-10
        True
    """
    jacobian = as_jacobian(generator, z, options)
    check_one_of(probes=probes, groups=groups, columns=columns)
    if normalize and (probes is not None or groups is not None or all_pairs):
        raise ValueError(
            "normalize must go with columns or the exact form: leave out probes, groups, all_pairs"
        )
    own = probes_of(jacobian, probes, correction, rng)
    if all_pairs:
        return _all_pairs(jacobian, columns, rng, reduction)
    if own is not None:
        products = jacobian.products(own, step=_EPSILON)
        return _reduced(jacobian, products, lambda p: variance_of_squares(p, correction), reduction)
    if groups is not None:
        return _of_groups(jacobian, groups_of(jacobian, groups, rng), reduction)
    return _of_columns(jacobian, columns, normalize, rng, reduction)


def _of_groups(jacobian: JacobianOperator, drawn: Tensor, reduction: Reduction) -> Tensor:
    """The form over groups of latents, whose probes were drawn."""
    split = split_chance(drawn.shape[0], jacobian.latent)
    products = jacobian.products(drawn, step=_EPSILON)
    return _reduced(
        jacobian, products, lambda p: orthogonality(p.transpose(0, 1)) / split, reduction
    )


def _of_columns(
    jacobian: JacobianOperator,
    columns: int | Index | None,
    normalize: bool,
    rng: torch.Generator | None,
    reduction: Reduction,
) -> Tensor:
    """The form over all columns, or over some of them scaled up."""
    index, latent, scale = columns_of(jacobian, columns, rng), jacobian.latent, 1.0
    if index is not None:
        count = index.shape[1]
        if count < 2:
            raise ValueError(f"columns must be at least 2, of which pairs are made, got {count}")
        scale = latent * (latent - 1) / (count * (count - 1))
    found = jacobian.columns_at(index, step=_EPSILON)
    return _reduced(
        jacobian, found, lambda column: scale * orthogonality(column, normalize), reduction
    )


def _all_pairs(
    jacobian: JacobianOperator,
    columns: int | Index | None,
    rng: torch.Generator | None,
    reduction: Reduction,
) -> Tensor:
    """2·Σ_{i≠j} (a_iᵀJᵀJa_j)² over some directions i and all j, scaled up to all i."""
    index = columns_of(jacobian, columns, rng)
    if not isinstance(jacobian, Along) or index is None:
        raise ValueError("all_pairs must go with columns of a Jacobian along directions")
    matrix, some = jacobian.directions, jacobian.chosen(index)
    found = jacobian.jacobian.products(some)
    if not isinstance(found, Tensor):
        raise ValueError(f"all_pairs must go with one tensor, but the generator gives {len(found)}")
    if not found.requires_grad:
        raise ValueError(
            "generator must record gradients where directions are learned from fresh latents, but "
            "does not: call it without torch.no_grad() and .detach(), or take the solver jacobi"
        )
    (pulled,) = torch.autograd.grad(found, some, found.detach())
    products = pulled.flatten(2) @ matrix.flatten(1).T  # (k, batch, direction)
    others, power = power_scaled(products.scatter(2, index.T[..., None], 0), (0, 2))
    value = 2 * len(matrix) / len(some) * others.square().sum((0, 2)) * power[0, :, 0].square()
    # twice its gradient
    return _reduced(jacobian, value, lambda each: 2 * each - each.detach(), reduction)
