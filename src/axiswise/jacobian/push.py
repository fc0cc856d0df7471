"""Directional derivatives of a pass, by the fast road, forward mode or differences, in chunks."""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from axiswise.jacobian.agreement import Trust, check_derivative, check_repeats
from axiswise.jacobian.checks import Method, checked_activations
from axiswise.jacobian.differentiation import Activations, Pushed, finite, forward, pull
from axiswise.jacobian.failures import explained
from axiswise.jacobian.kernels import Kernels
from axiswise.jacobian.layers import Pass
from axiswise.jacobian.script import scripted, unoptimized
from axiswise.jacobian.stack import calls, plain_layers, push_forward
from axiswise.support.precision import full_precision
from axiswise.support.replay import Replay

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
    trust = Trust(part, z, (order, method, *sorted(conditioning))) if plain is None else None
    modes = contextlib.nullcontext if trust is None else _modes(part, method, trust)

    def activations(z: Tensor, conditioning: dict[str, Any], keep: bool = keep) -> Pushed:
        z = z.clone()  # since the first layer may work in place
        with Kernels(len(z), order if method == "forward" else 0), modes():
            if keep:
                output, kept = part.both(z, **conditioning)
                outputs = checked_activations(kept, z.shape[0])
                several[:] = [not isinstance(output, Tensor), not isinstance(kept, Tensor)]
            else:
                output = part.differentiated(z, **conditioning)
                several[:] = several or [not isinstance(output, Tensor), False]
        found = checked_activations(output, z.shape[0])
        # Not within: `detach` is a sign of derivatives that get lost.
        return found, outputs if keep else tuple(each.detach() for each in found)

    def run(z: Tensor, probes: tuple[Tensor], conditioning: dict[str, Any]) -> Pushed:
        (some,), z = probes, z.contiguous()  # forward mode refuses an expanded z
        if plain is not None:
            several[:] = [bool(part.layers), False]
            values, derivatives = push_forward(plain.layers, z, some, plain.differentiated, order)
            return tuple(derivatives), (values[plain.kept],)
        at = functools.partial(activations, conditioning=conditioning)
        if method == "finite":
            return finite(at, z, some, order, epsilon, Replay(part.callables, z.device))
        return forward(at, z, some, order)

    probes = probes.to(z)

    def one_chunk() -> tuple[Tensor, Activations]:
        first, given = _first_chunk(z, (probes,), conditioning, chunk_size)
        return first, functools.partial(activations, conditioning=given, keep=False)

    with explained(part, z, one_chunk, forward=method == "forward"):
        derivatives, outputs = in_chunks(run, z, (probes,), conditioning, chunk_size)
    if trust is not None:
        trust.suspects = trust.suspects or method == "finite"
        trust.settle(lambda: _check(part, *one_chunk(), order, method), derivatives)
    derivatives = _without_hidden_nan(derivatives, outputs)
    return Found(derivatives, several[0], outputs if keep else (), several[1])


def _without_hidden_nan(
    derivatives: tuple[Tensor, ...], outputs: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """NaN for samples whose outputs are NaN, which derivatives may hide, as that of z + NaN."""
    if torch.compiler.is_compiling() or any(map(torch._C._functorch.is_batchedtensor, outputs)):
        return derivatives
    for output in outputs:
        # A GPU would have to be waited for; in training the loop finds what is no number.
        if output.device.type == "cpu" or not torch.is_grad_enabled():
            lost = output.detach().isnan()
            if lost.any():
                rows = lost.flatten(1).any(1) if lost.dim() > 1 else lost
                derivatives = tuple(
                    each.masked_fill(rows.view(-1, *[1] * (each.dim() - 2)), math.nan)
                    for each in derivatives
                )
    return derivatives


def _modes(
    part: Pass, method: Method, trust: Trust
) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """What else must be other than usual in a pass, so that its derivatives are right."""
    script = scripted(part.callables) if method == "forward" else []

    @contextlib.contextmanager
    def modes() -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            if script:
                stack.enter_context(unoptimized(script))
            stack.enter_context(trust.watch())
            yield

    return modes


def _check(part: Pass, z: Tensor, at: Activations, order: Literal[1, 2], method: Method) -> None:
    """Refuse a generator whose differences would be noise, or whose tangents are lost."""
    replay = Replay(part.callables, z.device)
    if method == "finite":
        check_repeats(lambda z: at(z)[0], z, replay)
        return

    def along(z: Tensor, probe: Tensor, order: int) -> tuple[Tensor, ...]:
        return (
            at(z)[0] if order == 0 else tuple(p[0] for p in forward(at, z, probe[None], order)[0])
        )

    def derivative(
        z: Tensor, probe: Tensor, _central: tuple[Tensor, ...], order: int
    ) -> tuple[Tensor, ...]:
        return along(z, probe, order)

    for degree in range(1, order + 1):  # of what has lost its first derivative the second is zero
        check_derivative(
            functools.partial(along, order=degree - 1),
            functools.partial(derivative, order=degree),
            z,
            replay,
            flat_is_lost=degree == 1,
            advice="or use method='finite'",
        )


def pull_checked(
    part: Pass,
    z: Tensor,
    probes: tuple[Tensor, ...],
    conditioning: dict[str, Any],
    chunk_size: int | None,
) -> Tensor:
    """Products Jᵀu at z, (probe, batch, *latent), of a generator that loses no gradients."""

    def activations(z: Tensor, given: dict[str, Any]) -> Pushed:
        return checked_activations(part.differentiated(z.clone(), **given), len(z)), ()

    def one_chunk() -> tuple[Tensor, Activations]:
        first, given = _first_chunk(z, probes, conditioning, chunk_size)
        return first, functools.partial(activations, given=given)

    def check() -> None:
        first, given = _first_chunk(z, probes, conditioning, chunk_size)

        def pulled_back(
            z: Tensor, probe: Tensor, central: tuple[Tensor, ...]
        ) -> tuple[Tensor, ...]:
            """The part of the differences that comes back: for c, all of it is |c|² = (Jᵀc)ᵀv."""
            flat = [full_precision(c).flatten(1) for c in central]
            energy = sum(c.square().sum(1) for c in flat)
            (pulled,), _ = pull(part, z, tuple(c[None] for c in central), given)
            share = full_precision(pulled[0] * probe).flatten(1).sum(1) / energy
            return tuple(
                (c * share[:, None]).view_as(like) for c, like in zip(flat, central, strict=True)
            )

        check_derivative(
            lambda z, _: activations(z, given)[0],
            pulled_back,
            first,
            Replay(part.callables, z.device),
            flat_is_lost=True,
            advice="or take columns with method='finite'",
        )

    trust = Trust(part, z, ("transposed", *sorted(conditioning)))
    with trust.watch(), explained(part, z, one_chunk, forward=False):
        (pulled,), _ = in_chunks(functools.partial(pull, part), z, probes, conditioning, chunk_size)
    trust.settle(check, [pulled])
    return pulled


def _first_chunk(
    z: Tensor, probes: tuple[Tensor, ...], conditioning: dict[str, Any], chunk_size: int | None
) -> tuple[Tensor, dict[str, Any]]:
    """Latents, cut off their graph, and conditioning, few enough for `chunk_size`."""
    row = next(_chunks(z.detach().contiguous(), probes, conditioning, chunk_size or len(z)))
    return row[0][0], row[0][2]


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
