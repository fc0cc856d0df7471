"""`find_directions`: every method through one call."""

import inspect
import zlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from axiswise.directions._learning import Progress, check_count, jacobians
from axiswise.directions.baselines import coordinates, random_directions
from axiswise.directions.directions import Directions, with_fixed_signs
from axiswise.directions.ganspace import ganspace
from axiswise.directions.generators import (
    ImageGenerator,
    SearchSpace,
    check_generator,
    frozen,
    latent_dim_of,
)
from axiswise.directions.hessian import hessian
from axiswise.directions.jacobian_svd import jacobian_svd
from axiswise.directions.jl1 import jl1
from axiswise.directions.orojar import orojar
from axiswise.directions.orojar_jl1 import orojar_jl1
from axiswise.directions.sefa import sefa_directions
from axiswise.jacobian import Method

# Each takes the space, a source of randomness and a progress function, and by keyword its settings.
METHODS: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {
        "orojar": orojar,
        "hessian": hessian,
        "jl1": jl1,
        "orojar+jl1": orojar_jl1,
        "sefa": sefa_directions,
        "ganspace": ganspace,
        "jacobian-svd": jacobian_svd,
        "random": random_directions,
        "coordinates": coordinates,
    }
)
_ORDERED = ("sefa", "ganspace", "jacobian-svd")  # by eigenvalues of their own
# Latents that importance is averaged over: as many as columns can be taken in a while.
_FEWEST, _MOST, _COLUMNS = 8, 64, 1024


def find_directions(
    generator: ImageGenerator,
    method: str = "orojar",
    directions: int | None = None,
    *,
    subspace: slice | Sequence[int] | None = None,
    latent_dim: int | None = None,
    derivative: Method = "forward",
    epsilon: float = 1e-3,
    chunk_size: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **settings: Any,
) -> Directions:
    """Find directions in the latents of a trained generator that each change one thing.

    Args:
        generator: Latents (batch, latent) → images (batch, *image): any callable. What else it may
            offer stands in `axiswise.directions.generators`.
        method: "orojar" (Wei et al. 2021), "hessian" (Peebles et al. 2020), "jl1" (after Rhodes &
            Lee 2021), "orojar+jl1", "sefa" (Shen & Zhou 2021), "ganspace" (Härkönen et al. 2020),
            "jacobian-svd", "random" or "coordinates".
        directions: Number n of directions: the first n. A square matrix is learned in any case,
            since a rectangular one settles on mixtures. None for as many as latents are searched.
        subspace: The latents that are searched, slice(start, stop) or (start, stop); None for all.
        latent_dim: Number of latents, where the generator does not say.
        derivative: "forward" for exact derivatives; "finite" for one-sided differences, which any
            black box has.
        epsilon: Step of the finite differences, > 0.
        chunk_size: Bound on the latents times directions in flight at once.
        seed: Fixes all that is random.
        progress: Called with what is done, what is to do, and the terms of the loss by name.
        **settings: The method's own; `axiswise discover --help --method NAME` lists them.

    Returns:
        Directions, sorted by importance; those of "sefa", "ganspace" and "jacobian-svd" by their
        eigenvalues, as published. Each has its largest entry positive.

    Raises:
        ValueError: On an unknown method or setting, a number out of range, or a generator that is
            in train mode, gives images that are not finite, not of one shape or not the same for
            the same latents, or does not depend on the latents.
        TypeError: If the generator returns no floating tensor, or is no `nn.Module` where a method
            needs one.
        NotImplementedError: If an operation has no forward-mode derivative; "finite" needs none.

    Example:
        >>> import torch, axiswise as aw
        >>> decoder = torch.nn.Linear(3, 8)
        >>> found = aw.find_directions(decoder, "jacobian-svd", directions=2, latent_dim=3)
        >>> found.matrix.shape
        torch.Size([2, 3])
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    check_settings(method, settings)
    if not callable(generator):
        raise TypeError(f"generator must be callable, got {type(generator).__name__}")
    if derivative not in ("forward", "finite"):
        raise ValueError(f"derivative must be 'forward' or 'finite', got {derivative!r}")
    latents = latent_dim_of(generator, latent_dim)
    space = SearchSpace(
        generator, latents, _slice(subspace, latents), derivative, epsilon, chunk_size
    )
    if directions is not None:
        check_count("directions", directions, space.size)
    if chunk_size is not None:
        check_count("chunk_size", chunk_size)
    # Each method starts from a rotation of its own: two that have hardly moved must not agree.
    rng = torch.Generator().manual_seed(seed + zlib.crc32(method.encode()))
    with frozen(generator):
        check_generator(space, rng)
        rows = METHODS[method](space, rng, progress, **settings).float().to(space.device)
        rows = with_fixed_signs(rows)
        if method in _ORDERED:
            if directions is not None:
                check_count("directions", directions, len(rows))  # GANSpace may find fewer
            rows = rows[:directions]
        importance = _importance(space, rows, rng, progress)
    if method not in _ORDERED:
        order = importance.argsort(descending=True, stable=True)[:directions]
        rows, importance = rows[order], importance[order]
    matrix = torch.zeros(len(rows), latents, device=rows.device)
    matrix[:, space.subspace] = rows
    about = {
        "seed": seed,
        "subspace": [space.subspace.start, space.subspace.stop],
        "derivative": derivative,
        **({"epsilon": epsilon} if derivative == "finite" else {}),
        **({} if chunk_size is None else {"chunk_size": chunk_size}),
        **{name: _plain(value) for name, value in (_defaults(method) | settings).items()},
    }
    return Directions(matrix.cpu(), importance.cpu(), method, about)


def check_settings(method: str, settings: Mapping[str, object]) -> None:
    """Refuse settings that a method does not have.

    Args:
        method: Its name.
        settings: By name.

    Raises:
        ValueError: If one is unknown.
    """
    known = _defaults(method)
    for name in settings:
        if name not in known:
            allowed = f"has {', '.join(known)}" if known else "has none"
            raise ValueError(f"settings must be the method's, {method!r} {allowed}; got {name!r}")


def _defaults(method: str) -> dict[str, Any]:
    return {
        name: parameter.default
        for name, parameter in inspect.signature(METHODS[method]).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


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
    space: SearchSpace, rows: Tensor, rng: torch.Generator, progress: Progress | None
) -> Tensor:
    """The mean length of the Jacobian's column along each direction."""
    samples = min(_MOST, max(_FEWEST, _COLUMNS // space.size))
    total = torch.zeros(len(rows), device=rows.device)
    for jacobian in jacobians(space, samples, rng, progress):
        total += torch.einsum("ds,bso->bdo", rows.to(jacobian), jacobian).norm(dim=2).sum(0)
    return total / samples
