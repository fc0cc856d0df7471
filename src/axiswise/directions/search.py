"""`find_directions`: every method through one call."""

import zlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from axiswise.directions.directions import Directions, with_fixed_signs
from axiswise.directions.family import METHODS, Method
from axiswise.directions.solving import check_count, jacobians
from axiswise.directions.space import SearchSpace, check_generator
from axiswise.generators import ImageGenerator, frozen, latent_dim_of
from axiswise.jacobian import Method as Derivative
from axiswise.support.precision import power_scaled
from axiswise.support.progress import Progress, no_progress

# Latents that importance is averaged over: as many as columns can be taken in a while.
_FEWEST, _MOST, _COLUMNS = 8, 64, 1024


def find_directions(
    generator: ImageGenerator,
    method: str = "orojar",
    directions: int | None = None,
    *,
    subspace: slice | Sequence[int] | None = None,
    latent_dim: int | None = None,
    derivative: Derivative | None = None,
    epsilon: float | None = None,
    chunk_size: int | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
    **settings: Any,
) -> Directions:
    """Find directions in the latents of a trained generator that each change one thing.

    Args:
        generator: Latents (batch, latent) → images (batch, *image): any callable. What else it may
            offer is in `axiswise.generators.protocol`.
        method: Name of a method, `axiswise.directions.METHODS.names()`; or the import path,
            "module:name", of a function of yours with the same arguments.
        directions: Number n of directions: the first n. A square matrix is learned in any case,
            since a rectangular one settles on mixtures. None for as many as latents are searched.
        subspace: The latents that are searched, slice(start, stop) or (start, stop); None for all.
        latent_dim: Number of latents, where the generator has no such attribute.
        derivative: "forward" for exact derivatives; "finite" for one-sided differences, which need
            none of the generator. None for "forward", or what a method as published takes.
        epsilon: Step of the finite differences, > 0; None for 1e-3, of second derivatives 0.1.
        chunk_size: Bound on latents times directions differentiated at once.
        seed: Fixes all that is random.
        progress: Called with what is done, what is to do, and the terms of the loss by name.
        **settings: The method's own; `axiswise discover --help --method NAME` lists them.

    Returns:
        Directions, sorted by importance, or by eigenvalues where the method defines an order. Each
        has its largest entry positive.

    Raises:
        ValueError: On an unknown method or setting, a number out of range, or a generator that is
            in train mode, returns images that are not finite, not of one shape or not the same for
            the same latents, or does not depend on the latents.
        TypeError: If the generator returns no floating tensor, or is no `nn.Module` where a method
            needs one.
        ImportError: If there is nothing at an import path.
        NotImplementedError: If an operation has no forward-mode derivative; "finite" needs none.

    Example:
        >>> import torch, axiswise as aw
        >>> decoder = torch.nn.Linear(3, 8)
        >>> found = aw.find_directions(decoder, "jacobian-svd", directions=2, latent_dim=3)
        >>> found.matrix.shape
        torch.Size([2, 3])
    """
    chosen = METHODS.find(method)
    chosen.check_settings(settings)
    if not callable(generator):
        raise TypeError(f"generator must be callable, got {type(generator).__name__}")
    if derivative is None:
        derivative, epsilon = chosen.derivative, epsilon or chosen.epsilon
    if derivative not in ("forward", "finite"):
        raise ValueError(f"derivative must be 'forward' or 'finite', got {derivative!r}")
    latents = latent_dim_of(generator, latent_dim)
    part = _slice(subspace, latents)
    space = SearchSpace(generator, latents, part, derivative, epsilon, chunk_size)
    if directions is not None:
        check_count("directions", directions, space.size)
    if chunk_size is not None:
        check_count("chunk_size", chunk_size)
    rows, importance = _found(chosen, space, directions, seed, progress, settings)
    matrix = torch.zeros(len(rows), latents, device=rows.device)
    matrix[:, space.subspace] = rows
    about = {
        "seed": seed,
        "subspace": [space.subspace.start, space.subspace.stop],
        "derivative": derivative,
        **({} if epsilon is None or derivative == "forward" else {"epsilon": epsilon}),
        **({} if chunk_size is None else {"chunk_size": chunk_size}),
        **{name: _plain(value) for name, value in (chosen.settings | settings).items()},
    }
    return Directions(matrix.cpu(), importance.cpu(), method, about)


def _found(
    method: Method,
    space: SearchSpace,
    directions: int | None,
    seed: int,
    progress: Progress,
    settings: dict[str, Any],
) -> tuple[Tensor, Tensor]:
    """Directions (direction, size) in their order, and their importance."""
    # Each method starts from a rotation of its own, so that two that barely learn do not agree.
    rng = torch.Generator().manual_seed(seed + zlib.crc32(method.name.encode()))
    with frozen(space.generator):
        check_generator(space, rng)
        rows = method.search(space, rng, progress, **settings)
        if not isinstance(rows, Tensor) or rows.dim() != 2 or rows.shape[1] != space.size:
            given = tuple(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
            raise ValueError(
                f"method {method.name!r} must return (direction, {space.size}), got {given}"
            )
        if not rows.isfinite().all():
            raise ValueError(
                f"method {method.name!r} must return finite directions, got NaN or infinity"
            )
        rows = with_fixed_signs(rows.float().to(space.device))
        if method.ordered:
            if directions is not None:
                check_count("directions", directions, len(rows))  # GANSpace may find fewer
            rows = rows[:directions]
        importance = _importance(space, rows, rng, progress)
    if not method.ordered:
        order = importance.argsort(descending=True, stable=True)[:directions]
        rows, importance = rows[order], importance[order]
    return rows, importance


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, Tensor) else value


def _slice(subspace: slice | Sequence[int] | None, latent_dim: int) -> slice:
    if subspace is None:
        return slice(0, latent_dim)
    match subspace:
        case slice(start=int() | None as start, stop=int() | None as stop, step=None | 1) | (
            int() as start,
            int() as stop,
        ):
            start = 0 if start is None else start
            stop = latent_dim if stop is None else stop
            if 0 <= start < stop <= latent_dim:
                return slice(start, stop)
    raise ValueError(
        f"subspace must be (start, stop) with 0 ≤ start < stop ≤ {latent_dim}, got "
        + (f"{subspace.start}:{subspace.stop}" if isinstance(subspace, slice) else repr(subspace))
    )


def _importance(
    space: SearchSpace, rows: Tensor, rng: torch.Generator, progress: Progress
) -> Tensor:
    """The mean length of the Jacobian's column along each direction."""
    samples = min(_MOST, max(_FEWEST, _COLUMNS // space.size))
    total = torch.zeros(len(rows), device=rows.device)
    for jacobian in jacobians(space, samples, rng, progress):
        along, power = power_scaled(torch.einsum("ds,bso->bdo", rows.to(jacobian), jacobian), 2)
        total += (along.norm(dim=2) * power[..., 0]).sum(0)
    return total / samples
