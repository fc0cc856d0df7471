"""Directional derivatives of a pass, by the fast road, forward mode or differences, in chunks."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from axiswise.jacobian.checks import Method, checked_activations
from axiswise.jacobian.differentiation import Pushed, finite, forward
from axiswise.jacobian.layers import Pass
from axiswise.jacobian.norms import NormsForJacobians
from axiswise.jacobian.stack import calls, plain_layers, push_forward

_DERIVATIVES = {"forward": forward, "finite": finite}
Chunk = tuple[Tensor, tuple[Tensor, ...], dict[str, Any]]


class Found(NamedTuple):
    """What a pass gave: one tensor for each activation, and whether several were returned."""

    derivatives: tuple[Tensor, ...]
    several: bool
    outputs: tuple[Tensor, ...]
    several_outputs: bool


def push(
    part: Pass,
    z: Tensor,
    probes: Tensor,
    *,
    order: Literal[1, 2],
    method: Method,
    epsilon: float,
    chunk_size: int | None,
    conditioning: dict[str, Any],
    keep: bool,
) -> Found:
    """d/dt G(z + tv) at t = 0, or the second derivative in t, for each probe v; outputs if kept."""
    several: list[bool] = []
    plain = _plain_stack(part) if method == "forward" and not conditioning else None

    def activations(z: Tensor, conditioning: dict[str, Any], keep: bool = keep) -> Pushed:
        z = z.clone()  # since the first layer may work in place
        with NormsForJacobians(values_only=method == "finite"):
            if keep:
                output, kept = part.both(z, **conditioning)
                outputs = checked_activations(kept, z.shape[0])
                several[:] = [not isinstance(output, Tensor), not isinstance(kept, Tensor)]
            else:
                output, outputs = part.differentiated(z, **conditioning), ()
                several[:] = several or [not isinstance(output, Tensor), False]
        return checked_activations(output, z.shape[0]), outputs

    def run(z: Tensor, probes: tuple[Tensor], conditioning: dict[str, Any]) -> Pushed:
        (some,), z = probes, z.contiguous()  # forward mode refuses an expanded z
        if plain is not None:
            several[:] = [bool(part.layers), False]
            values, derivatives = push_forward(plain.layers, z, some, plain.differentiated, order)
            return tuple(derivatives), (values[plain.kept],) if keep else ()
        at = functools.partial(activations, conditioning=conditioning)
        return _DERIVATIVES[method](at, z, some, order, epsilon)

    derivatives, outputs = in_chunks(run, z, (probes.to(z),), conditioning, chunk_size)
    return Found(derivatives, several[0], outputs, several[1])


class _Plain(NamedTuple):
    """A plain stack, and how many of its layers make what is differentiated and what is kept."""

    layers: list[nn.Module]
    differentiated: list[int]
    kept: int


def _plain_stack(part: Pass) -> _Plain | None:
    before = plain_layers(part.generator)
    after = [] if part.then is None else plain_layers(part.then)
    if before is None or after is None:
        return None
    layers = before + after
    if not part.layers or not isinstance(part.generator, nn.Module):
        return _Plain(layers, [len(layers)], len(before))
    ran = calls(part.generator)
    ends = [[end for module, end in ran if module is named] for named in part.layers.values()]
    if any(len(each) != 1 for each in ends):
        return None  # the general road says what is wrong
    return _Plain(layers, [end for (end,) in ends], len(layers))


def in_chunks(
    run: Callable[..., Pushed],
    z: Tensor,
    probes: tuple[Tensor, ...],
    conditioning: dict[str, Any],
    chunk_size: int | None,
) -> Pushed:
    """Run on slices of the batch and of the probes, each (probe, batch, …), and join the results.

    `chunk_size` bounds the batch times probes of a run; None for a single run.
    """
    if chunk_size is None or len(z) * len(probes[0]) <= chunk_size:
        return run(z, probes, conditioning)
    chunks = list(_chunks(z, probes, conditioning, chunk_size))
    if torch.is_grad_enabled():
        run = functools.partial(checkpoint, run, use_reentrant=False)
    return _joined([[run(*chunk) for chunk in row] for row in chunks])


def _chunks(
    z: Tensor, probes: tuple[Tensor, ...], conditioning: dict[str, Any], chunk_size: int
) -> Iterator[list[Chunk]]:
    """Rows of chunks: one row for each slice of the batch, in it one chunk for some probes."""
    batch = z.shape[0]
    rows = min(batch, chunk_size)
    together = chunk_size // rows
    for start in range(0, batch, rows):
        part = slice(start, start + rows)
        given = {
            name: value[part]
            if isinstance(value, Tensor) and value.dim() > 0 and value.shape[0] == batch
            else value
            for name, value in conditioning.items()
        }
        split = zip(*(each.split(together) for each in probes), strict=True)
        yield [(z[part], tuple(each[:, part] for each in some), given) for some in split]


def _joined(results: list[list[Pushed]]) -> Pushed:
    """Put together what came of chunks: rows for slices of the batch, in them parts for probes."""
    rows = [
        [torch.cat(parts) for parts in zip(*(d for d, _ in row), strict=True)] for row in results
    ]
    outputs = [row[0][1] for row in results]
    return (
        tuple(torch.cat(parts, 1) for parts in zip(*rows, strict=True)),
        tuple(torch.cat(parts) for parts in zip(*outputs, strict=True)),
    )
