"""How columns, probes and groups are drawn, for each sample its own."""

from collections.abc import Sequence
from numbers import Integral

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from axiswise.jacobian import Index, JacobianOperator, Probes


def sample_columns(
    batch: int,
    latent: int,
    count: int,
    *,
    rng: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> Int[Tensor, "{batch} {count}"]:
    """Random column indices without repeats.

    Args:
        batch: Number of samples.
        latent: Number of latents.
        count: Columns for each sample, 1…latent.
        rng: Source of randomness; None for torch's global one.
        device: Where the indices go; the draw itself is made on the rng's device.

    Returns:
        Indices, (batch, count), int64.

    Raises:
        ValueError: If count is not in 1…latent.
    """
    if not 1 <= count <= latent:
        raise ValueError(f"columns must be between 1 and the {latent} latents, got {count}")
    source = rng.device if rng is not None else device
    order = torch.rand(batch, latent, generator=rng, device=source).argsort(1)
    return order[:, :count].to(device)


def rademacher(
    shape: Sequence[int],
    *,
    rng: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Random signs ±1.

    Args:
        shape: Shape of the result.
        rng: Source of randomness; None for torch's global one.
        device: Where the signs go; the draw itself is made on the rng's device.
        dtype: Their type; None for torch's default.

    Returns:
        A tensor of ±1.
    """
    source = rng.device if rng is not None else device
    bits = torch.randint(0, 2, tuple(shape), generator=rng, device=source)
    return (2 * bits - 1).to(device=device, dtype=dtype or torch.get_default_dtype())


def sample_groups(
    batch: int,
    latent: int,
    groups: int,
    *,
    rng: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "{groups} {batch} {latent}"]:
    """Signed probes of a random split of the latents into groups.

    Args:
        batch: Number of samples.
        latent: Number of latents.
        groups: Number of groups, 2…latent; their sizes differ by one at most.
        rng: As in `rademacher`.
        device: As in `rademacher`.
        dtype: As in `rademacher`.

    Returns:
        (group, batch, latent), entries 0 or ±1, each latent in exactly one group.

    Raises:
        ValueError: If groups is not in 2…latent.
    """
    if not 2 <= groups <= latent:
        raise ValueError(f"groups must be between 2 and the {latent} latents, got {groups}")
    order = sample_columns(batch, latent, latent, rng=rng, device=device)
    member = F.one_hot(order % groups, groups).permute(2, 0, 1)
    signs = rademacher((batch, latent), rng=rng, device=device, dtype=dtype)
    return member.to(signs) * signs


def split_chance(groups: int, latent: int) -> float:
    """Chance that `sample_groups` puts two different latents into different groups."""
    large, more = divmod(latent, groups)
    sizes = [large + 1] * more + [large] * (groups - more)
    return 1 - sum(size * (size - 1) for size in sizes) / (latent * (latent - 1))


def columns_of(
    jacobian: JacobianOperator,
    columns: int | Index | None,
    rng: torch.Generator | None,
) -> Int[Tensor, "batch k"] | None:
    """Indices (batch, k), drawn or given; None for all."""
    if isinstance(columns, int):
        batch, latent = jacobian.batch, jacobian.latent
        return sample_columns(batch, latent, columns, rng=rng, device=jacobian.device)
    return jacobian.checked_index(columns)


def probes_of(
    jacobian: JacobianOperator,
    probes: int | Probes | None,
    correction: int,
    rng: torch.Generator | None,
) -> Tensor | None:
    """At least two probes (probe, batch, *latent), drawn or given, if any are wanted."""
    if probes is None:
        check_correction(correction, None)
        return None
    count = probes if isinstance(probes, int) else probes.shape[0]
    if count < 2:
        raise ValueError(f"probes must be at least 2, since their variance is taken, got {count}")
    check_correction(correction, count)
    if isinstance(probes, int):
        shape = (count, *jacobian.shape)
        return rademacher(shape, rng=rng, device=jacobian.device, dtype=jacobian.dtype)
    return probes


def groups_of(
    jacobian: JacobianOperator, groups: int | Probes, rng: torch.Generator | None
) -> Tensor:
    """Probes of at least two groups, (group, batch, *latent), drawn or given."""
    if isinstance(groups, int):
        size, like = (jacobian.batch, jacobian.latent, groups), jacobian
        flat = sample_groups(*size, rng=rng, device=like.device, dtype=like.dtype)
        drawn: Tensor = flat.unflatten(2, jacobian.shape[1:])
        return drawn
    if groups.shape[0] < 2:
        raise ValueError(f"groups must be at least 2, got {groups.shape[0]}")
    return groups


def check_correction(correction: int, probes: int | None) -> None:
    """Refuse a correction of the variance over probes that there is no such variance for."""
    if probes is None and correction != 1:
        raise ValueError(
            f"correction must go with probes, whose variance it is of; got {correction} without"
        )
    if probes is not None and not (isinstance(correction, Integral) and 0 <= correction < probes):
        raise ValueError(
            f"correction must be an integer, at least 0 and less than the {probes} probes, "
            f"got {correction!r}"
        )


def check_one_of(**given: object) -> None:
    """Refuse options that exclude each other."""
    chosen = [name for name, value in given.items() if value is not None]
    if len(chosen) > 1:
        raise ValueError(f"give one of {', '.join(given)}, got {' and '.join(chosen)}")
