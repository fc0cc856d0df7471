"""Penalties on the Jacobian of a generator: scalars that training adds to its loss.

Each penalty works in three steps: differentiate the generator (`axiswise.jacobian`), reduce to one
number for each sample, score the batch. The numbers are summed over the activations of a generator
that returns several.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from axiswise.jacobian import (
    Generator,
    Method,
    check_latents,
    checked_columns,
    flat_outputs,
    gram,
    jacobian_columns,
    jacobian_products,
    push,
    rademacher,
    sample_columns,
    unit_probes,
)
from axiswise.support.precision import full_precision

Reduction = Literal["mean", "max"] | None


def jl1_penalty(
    generator: Generator,
    z: Tensor,
    columns: int | Tensor | Sequence[int] | None = None,
    *,
    normalize: bool = False,
    reduction: Reduction = "mean",
    method: Method = "forward",
    epsilon: float = 1e-3,
    detach: bool = True,
    chunk_size: int | None = None,
    rng: torch.Generator | None = None,
    **conditioning: Any,
) -> Tensor:
    """L1 cost on the Jacobian, Σ_i ‖J_i‖₁ (Rhodes & Lee 2021, arXiv 2106.02923).

    Args:
        generator: Callable (batch, latent) → (batch, *output), or a tuple or list of such.
        z: Latents, (batch, latent), floating.
        columns: None for all columns, exactly. A number k for k random ones for each sample,
            scaled by latent/k: unbiased, and k/latent of the work. Indices (k,) or (batch, k) for
            columns of your own, scaled likewise.
        normalize: The scale-free form Σ_i ‖J_i‖₁/‖J_i‖₂, which shrinking J does not lower; a
            column of length zero counts 0.
        reduction: "mean" or "max" over the batch; None for a value for each sample.
        method: "forward" for exact derivatives, "finite" for one-sided differences.
        epsilon: Step of the finite differences, > 0; 1e-3 as published.
        detach: Cut the graph at z, as published.
        chunk_size: Bound on the batch times columns in flight at once; the result does not change.
        rng: Source of randomness of sampled columns; None for torch's global one.
        **conditioning: Passed on to the generator.

    Returns:
        A scalar ≥ 0; with reduction=None a tensor (batch,), or (activation, batch) for a
        generator that returns several activations.

    Raises:
        ValueError: On bad arguments, as `jacobian_columns`.
        TypeError: As `jacobian_columns`.
        NotImplementedError: As `jacobian_columns`.

    Example:
        >>> import torch, axiswise as aw
        >>> decoder = torch.nn.Linear(3, 5)
        >>> penalty = aw.jl1_penalty(decoder, torch.zeros(2, 3))
        >>> torch.allclose(penalty, decoder.weight.abs().sum())
        True
    """

    def norms(column: Tensor) -> Tensor:
        length = column.abs().sum(2)
        return _safe_ratio(length, column.square().sum(2)) if normalize else length

    return _column_penalty(
        norms,
        generator,
        z,
        columns,
        reduction,
        rng,
        method=method,
        epsilon=epsilon,
        detach=detach,
        chunk_size=chunk_size,
        **conditioning,
    )


def jl2_penalty(
    generator: Generator,
    z: Tensor,
    columns: int | Tensor | Sequence[int] | None = None,
    *,
    reduction: Reduction = "mean",
    method: Method = "forward",
    epsilon: float = 1e-3,
    detach: bool = True,
    chunk_size: int | None = None,
    rng: torch.Generator | None = None,
    **conditioning: Any,
) -> Tensor:
    """Squared L2 cost on the Jacobian, Σ_i ‖J_i‖² (Rhodes & Lee 2021, appendix).

    Args:
        generator: As in `jl1_penalty`.
        z: Latents, (batch, latent), floating.
        columns: As in `jl1_penalty`.
        reduction: As in `jl1_penalty`.
        method: As in `jl1_penalty`.
        epsilon: As in `jl1_penalty`.
        detach: As in `jl1_penalty`.
        chunk_size: As in `jl1_penalty`.
        rng: As in `jl1_penalty`.
        **conditioning: Passed on to the generator.

    Returns:
        As `jl1_penalty`.

    Raises:
        ValueError: As `jl1_penalty`.
        TypeError: As `jl1_penalty`.
        NotImplementedError: As `jl1_penalty`.
    """
    return _column_penalty(
        lambda column: column.square().sum(2),
        generator,
        z,
        columns,
        reduction,
        rng,
        method=method,
        epsilon=epsilon,
        detach=detach,
        chunk_size=chunk_size,
        **conditioning,
    )


def orojar_penalty(
    generator: Generator,
    z: Tensor,
    probes: int | Tensor | None = None,
    *,
    groups: int | Tensor | None = None,
    columns: int | Tensor | Sequence[int] | None = None,
    normalize: bool = False,
    reduction: Reduction = "mean",
    method: Method = "forward",
    epsilon: float = 0.1,
    detach: bool = True,
    chunk_size: int | None = None,
    rng: torch.Generator | None = None,
    **conditioning: Any,
) -> Tensor:
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
        generator: Callable (batch, latent) → (batch, *output), or a tuple or list of such.
        z: Latents, (batch, latent), floating.
        probes: Number k ≥ 2 of Rademacher probes (the paper has 2), or probes of your own,
            (k, batch, latent).
        groups: Number of groups, 2…latent, or probes of your own, (group, batch, latent), as
            `sample_groups` draws them.
        columns: Number k of random columns for each sample, 2…latent, or indices of your own, (k,)
            or (batch, k).
        normalize: The scale-free form 2·Σ_{i≠j} cos²(J_i, J_j), which shrinking J does not lower;
            exact or over columns; pairs with a column of length zero count 0.
        reduction: "mean" over the batch; "max", which the paper's GAN code has and its published
            GAN weights belong to; None for a value for each sample.
        method: "forward", or "finite" for (G(z + εv) − G(z))/ε as published.
        epsilon: Step of the finite differences, > 0; 0.1 as published.
        detach: Cut the graph at z, as published.
        chunk_size: Bound on the batch times probes in flight at once; the result does not change.
        rng: Source of randomness; None for torch's global one.
        **conditioning: Passed on to the generator.

    Returns:
        A scalar ≥ 0; with reduction=None a tensor (batch,), or (activation, batch) for a
        generator that returns several activations.

    Raises:
        ValueError: On fewer than two probes, groups or columns, on two of these at once, on
            normalize with probes or groups, or on bad arguments as in `jacobian_columns`.
        TypeError: As `jacobian_columns`.
        NotImplementedError: As `jacobian_columns`.

    Example:
        >>> import torch, axiswise as aw
        >>> rotation = torch.linalg.qr(torch.randn(4, 4)).Q  # orthonormal columns
        >>> float(aw.orojar_penalty(lambda z: z @ rotation.T, torch.randn(8, 4))) < 1e-10
        True
    """
    check_latents(z)
    _one_of(probes=probes, groups=groups, columns=columns)
    if normalize and (probes is not None or groups is not None):
        raise ValueError(
            "normalize must go with columns or the exact form: leave out probes and groups"
        )
    settings = {
        "method": method,
        "epsilon": epsilon,
        "detach": detach,
        "chunk_size": chunk_size,
        **conditioning,
    }
    if probes is not None:
        drawn = _probes(probes, z, rng)
        products = jacobian_products(generator, z, drawn, **settings)
        return _reduced(products, _variance_of_squares, reduction)
    if groups is not None:
        drawn = _groups(groups, z, rng)
        split = _split_chance(drawn.shape[0], z.shape[1])
        products = jacobian_products(generator, z, drawn, **settings)
        return _reduced(
            products,
            lambda product: off_diagonal_energy(product.transpose(0, 1)) / split,
            reduction,
        )
    index, latent, scale = _columns(columns, z, rng), z.shape[1], 1.0
    if index is not None:
        count = index.shape[1]
        if count < 2:
            raise ValueError(f"columns must be at least 2, of which pairs are made, got {count}")
        scale = latent * (latent - 1) / (count * (count - 1))
    products = jacobian_products(generator, z, unit_probes(z, index), **settings)
    return _reduced(
        products,
        lambda product: scale * off_diagonal_energy(product.transpose(0, 1), normalize),
        reduction,
    )


def hessian_penalty(
    generator: Generator,
    z: Tensor,
    probes: int | Tensor | None = None,
    *,
    groups: int | Tensor | None = None,
    reduction: Reduction = "mean",
    method: Method = "forward",
    epsilon: float = 0.1,
    detach: bool = True,
    chunk_size: int | None = None,
    rng: torch.Generator | None = None,
    **conditioning: Any,
) -> Tensor:
    """Hessian Penalty (Peebles et al. 2020, arXiv 2008.10599).

    For each output its Hessian H with respect to the latents should be diagonal. With `probes`, the
    paper's estimator: the unbiased variance over Rademacher probes v of vᵀHv.
    Without, its exact expectation 2·Σ_{i≠j} H_ij²; with `groups`, the unbiased estimator that
    `orojar_penalty` has, on vᵀHw instead of vᵀJᵀJw. Reduced over batch and outputs together.

    Args:
        generator: Callable (batch, latent) → (batch, *output), or a tuple or list of such.
        z: Latents, (batch, latent), floating.
        probes: Number k ≥ 2 of Rademacher probes (the paper has 2), or probes of your own,
            (k, batch, latent).
        groups: Number of groups, 2…latent, or probes of your own, (group, batch, latent).
        reduction: "mean" or "max" over batch and outputs; None for each sample's mean over
            outputs.
        method: "forward" for exact second derivatives, "finite" for the published central
            differences (G(z + εv) − 2G(z) + G(z − εv))/ε².
        epsilon: Step of the finite differences, > 0; 0.1 as published.
        detach: Cut the graph at z, as published.
        chunk_size: Bound on the batch times probes in flight at once; the result does not change.
        rng: Source of randomness; None for torch's global one.
        **conditioning: Passed on to the generator.

    Returns:
        A scalar ≥ 0; with reduction=None a tensor (batch,), or (activation, batch) for a
        generator that returns several activations.

    Raises:
        ValueError: On fewer than two probes or groups, on both at once, or on bad arguments as in
            `jacobian_columns`.
        TypeError: As `jacobian_columns`.
        NotImplementedError: As `jacobian_columns`.

    Example:
        >>> import torch, axiswise as aw
        >>> product = lambda z: z[:, :1] * z[:, 1:]  # its Hessian is [[0, 1], [1, 0]]
        >>> float(aw.hessian_penalty(product, torch.randn(8, 2)))
        4.0
    """
    check_latents(z)
    _one_of(probes=probes, groups=groups)

    def second(directions: Tensor) -> Tensor | tuple[Tensor, ...]:
        derivatives, several = push(
            generator,
            z,
            directions,
            order=2,
            method=method,
            epsilon=epsilon,
            detach=detach,
            chunk_size=chunk_size,
            conditioning=conditioning,
        )
        return derivatives if several else derivatives[0]

    if probes is not None:
        curvatures = second(_probes(probes, z, rng))
        return _reduced_with_outputs(curvatures, lambda c: full_precision(c).var(0), reduction)

    # uᵀHw from curvatures along u + w and u − w, so that both methods need one primitive only.
    if z.shape[1] == 1:
        raise ValueError(f"z must have at least 2 latents for this penalty, got {tuple(z.shape)}")
    drawn = unit_probes(z, None) if groups is None else _groups(groups, z, rng)
    first, other = torch.triu_indices(drawn.shape[0], drawn.shape[0], 1)
    pairs = torch.cat([drawn[first] + drawn[other], drawn[first] - drawn[other]])
    split = _split_chance(drawn.shape[0], z.shape[1])

    def mixed(curvature: Tensor) -> Tensor:
        plus, minus = full_precision(curvature).chunk(2)
        return 4 / split * ((plus - minus) / 4).square().sum(0)

    return _reduced_with_outputs(second(pairs), mixed, reduction)


def ima_contrast(
    generator: Generator,
    z: Tensor,
    *,
    zero_columns: Literal["error", "drop"] = "error",
    reduction: Reduction = "mean",
    method: Method = "forward",
    epsilon: float = 1e-3,
    detach: bool = True,
    chunk_size: int | None = None,
    **conditioning: Any,
) -> Tensor:
    """Independent Mechanism Analysis contrast (Gresele et al. 2021, arXiv 2106.05200).

    Σ_i log‖J_i‖ − ½ log det(JᵀJ), the paper's local contrast, computed as −½ log det of the matrix
    of column cosines: ≥ 0, and 0 exactly when the columns are orthogonal.

    Args:
        generator: As in `jl1_penalty`; with at least as many outputs as latents.
        z: Latents, (batch, latent), floating.
        zero_columns: What becomes of a column of length zero: "error", or "drop" to leave it out
            (for that sample).
        reduction: As in `jl1_penalty`.
        method: As in `jl1_penalty`.
        epsilon: As in `jl1_penalty`.
        detach: As in `jl1_penalty`.
        chunk_size: As in `jl1_penalty`.
        **conditioning: Passed on to the generator.

    Returns:
        As `jl1_penalty`; very large or infinite where columns are linearly dependent.

    Raises:
        ValueError: On a column of length zero unless it is dropped, on fewer outputs than latents,
            or as `jl1_penalty`.
        TypeError: As `jl1_penalty`.
        NotImplementedError: As `jl1_penalty`.
    """
    if zero_columns not in ("error", "drop"):
        raise ValueError(f"zero_columns must be 'error' or 'drop', got {zero_columns!r}")
    columns = jacobian_columns(
        generator,
        z,
        method=method,
        epsilon=epsilon,
        detach=detach,
        chunk_size=chunk_size,
        **conditioning,
    )

    def contrast(column: Tensor) -> Tensor:
        outputs = flat_outputs(column).shape[2]
        if outputs < z.shape[1]:
            raise ValueError(
                f"generator must have at least as many outputs as the {z.shape[1]} latents, "
                f"got {outputs}"
            )
        products = gram(column)
        zero = products.diagonal(dim1=1, dim2=2) == 0
        if zero_columns == "error" and zero.any():
            raise ValueError(
                f"column {int(zero.any(0).nonzero()[0])} of the generator's Jacobian has length "
                "zero; zero_columns='drop' leaves such columns out"
            )
        # A dropped column becomes a unit vector orthogonal to all others: it adds log 1.
        cosines = _cosines(products) + torch.diag_embed(zero.to(products.dtype))
        return -0.5 * torch.linalg.slogdet(cosines).logabsdet  # type: ignore[no-any-return]

    return _reduced(columns, contrast, reduction)


def sample_groups(
    batch: int,
    latent: int,
    groups: int,
    *,
    rng: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Signed probes of a random split of the latents into groups, for each sample its own.

    Args:
        batch: Number of samples.
        latent: Number of latents.
        groups: Number of groups, 2…latent; their sizes differ by one at most.
        rng: Source of randomness; None for torch's global one.
        device: Where the probes go; the draw itself is made on the rng's device.
        dtype: Their type; None for torch's default.

    Returns:
        (group, batch, latent), entries 0 or ±1, each latent in exactly one group.

    Raises:
        ValueError: If groups is not in 2…latent.
    """
    if not 2 <= groups <= latent:
        raise ValueError(f"groups must be between 2 and the {latent} latents, got {groups}")
    order = sample_columns(batch, latent, latent, rng=rng, device=device)
    member = torch.nn.functional.one_hot(order % groups, groups).permute(2, 0, 1)
    signs = rademacher((batch, latent), rng=rng, device=device, dtype=dtype)
    return member.to(signs) * signs


def off_diagonal_energy(columns: Tensor, normalize: bool = False) -> Tensor:
    """Twice the sum of squared inner products of different columns, 2·Σ_{i≠j} (J_iᵀJ_j)².

    Args:
        columns: (batch, k, *output).
        normalize: Take cosines instead of products.

    Returns:
        (batch,).
    """
    products = gram(columns)
    if normalize:
        products = _cosines(products)
    # Not the whole minus the diagonal: between nearly orthogonal columns nothing but rounding
    # would be left.
    return 4 * products.triu(1).square().sum((1, 2))


def _column_penalty(
    norms: Callable[[Tensor], Tensor],
    generator: Generator,
    z: Tensor,
    columns: int | Tensor | Sequence[int] | None,
    reduction: Reduction,
    rng: torch.Generator | None,
    **settings: Any,
) -> Tensor:
    check_latents(z)

    def total(product: Tensor) -> Tensor:
        scale = z.shape[1] / product.shape[0]
        return scale * norms(full_precision(flat_outputs(product))).sum(0)

    products = jacobian_products(
        generator, z, unit_probes(z, _columns(columns, z, rng)), **settings
    )
    return _reduced(products, total, reduction)


def _variance_of_squares(products: Tensor) -> Tensor:
    return full_precision(flat_outputs(products)).square().sum(2).var(0)


def _cosines(products: Tensor) -> Tensor:
    """Gram matrices scaled to unit diagonal; rows and columns of length zero stay zero."""
    squares = products.diagonal(dim1=1, dim2=2)
    inverse = _safe_ratio(torch.ones_like(squares), squares)
    return products * inverse[:, :, None] * inverse[:, None, :]


def _safe_ratio(numerator: Tensor, square: Tensor) -> Tensor:
    """numerator/√square, and 0 with gradient 0 where square is 0."""
    positive = square > 0
    root = torch.where(positive, square, 1).sqrt()  # two wheres: one would leave NaN gradients
    return torch.where(positive, numerator / root, 0)


def _split_chance(groups: int, latent: int) -> float:
    """Chance that two different latents fall into different groups."""
    large, more = divmod(latent, groups)
    sizes = [large + 1] * more + [large] * (groups - more)
    return 1 - sum(size * (size - 1) for size in sizes) / (latent * (latent - 1))


def _one_of(**given: object) -> None:
    chosen = [name for name, value in given.items() if value is not None]
    if len(chosen) > 1:
        raise ValueError(f"give one of {', '.join(given)}, got {' and '.join(chosen)}")


def _columns(
    columns: int | Tensor | Sequence[int] | None, z: Tensor, rng: torch.Generator | None
) -> Tensor | None:
    """Indices (batch, k), drawn or given; None for all."""
    if isinstance(columns, int):
        batch, latent = z.shape
        return sample_columns(batch, latent, columns, rng=rng, device=z.device)
    return checked_columns(z, columns)


def _probes(probes: int | Tensor, z: Tensor, rng: torch.Generator | None) -> Tensor:
    count = probes if isinstance(probes, int) else probes.shape[0]
    if count < 2:
        raise ValueError(f"probes must be at least 2, since their variance is taken, got {count}")
    if isinstance(probes, int):
        return rademacher((count, *z.shape), rng=rng, device=z.device, dtype=z.dtype)
    return probes


def _groups(groups: int | Tensor, z: Tensor, rng: torch.Generator | None) -> Tensor:
    if isinstance(groups, int):
        batch, latent = z.shape
        return sample_groups(batch, latent, groups, rng=rng, device=z.device, dtype=z.dtype)
    if groups.shape[0] < 2:
        raise ValueError(f"groups must be at least 2, got {groups.shape[0]}")
    return groups


def _reduced(
    derivatives: Tensor | tuple[Tensor, ...],
    per_sample: Callable[[Tensor], Tensor],
    reduction: Reduction,
) -> Tensor:
    """Reduce each activation's derivatives to (batch,), score the batch, sum the activations."""
    if reduction not in ("mean", "max", None):
        raise ValueError(f"reduction must be 'mean', 'max' or None, got {reduction!r}")
    if isinstance(derivatives, Tensor):
        return _over_batch(per_sample(derivatives), reduction)
    values = torch.stack([per_sample(activation) for activation in derivatives])
    return values if reduction is None else _over_batch(values.T, reduction).sum()


def _reduced_with_outputs(
    curvatures: Tensor | tuple[Tensor, ...],
    per_output: Callable[[Tensor], Tensor],
    reduction: Reduction,
) -> Tensor:
    """As `_reduced`, over batch and outputs together."""

    def per_sample(curvature: Tensor) -> Tensor:
        values = per_output(flat_outputs(curvature)).flatten(1)
        return values.amax(1) if reduction == "max" else values.mean(1)

    return _reduced(curvatures, per_sample, reduction)


def _over_batch(values: Tensor, reduction: Reduction) -> Tensor:
    """(batch, …) → (…), or as it is."""
    if reduction is None:
        return values
    return values.mean(0) if reduction == "mean" else values.amax(0)
