"""The Jacobian of any generator: columns, products with probes, and the Gram matrix.

A *generator* is any callable that turns latents (batch, latent) into a tensor (batch, *output), or
into a tuple or list of such tensors (several activations). Each sample's output must depend on its
own latents alone. Conditioning goes in by closure, or by keyword: a keyword argument that is a
tensor with one row for each sample is split along with the batch where `chunk_size` splits it; what
a closure holds is not. A generator that checkpoints itself (`torch.utils.checkpoint`) needs
`method="finite"`, or `chunk_size` in place of its own checkpoints.

Results are differentiable with respect to the generator's parameters.
"""

import functools
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from axiswise.normalization import NormsForJacobians
from axiswise.shared_pass import SharedPass
from axiswise.stack import calls, plain_layers, push_forward
from axiswise.support.precision import exact_convolutions, full_precision

Generator = Callable[..., Tensor | Sequence[Tensor]]
Method = Literal["forward", "finite"]


def jacobian_columns(
    generator: Generator,
    z: Tensor,
    columns: Tensor | Sequence[int] | None = None,
    *,
    method: Method = "forward",
    epsilon: float = 1e-3,
    detach: bool = True,
    chunk_size: int | None = None,
    **conditioning: Any,
) -> Tensor | tuple[Tensor, ...]:
    """Columns of the generator's Jacobian: what a small move along each latent axis does.

    Args:
        generator: Callable (batch, latent) → (batch, *output), or a tuple or list of such.
        z: Latents, (batch, latent), floating.
        columns: Indices of the wanted columns, (k,), or (batch, k) for each sample its own; None
            for all.
        method: "forward" for exact forward-mode derivatives; "finite" for one-sided differences
            (G(z + εe_i) − G(z))/ε, the published way of JL1-VAE (arXiv 2106.02923).
        epsilon: Step of the finite differences, > 0. The published code has 1e-3.
        detach: Cut the graph at z, as both papers' code does.
        chunk_size: Bound on the batch times columns that are pushed through the generator at
            once; the result does not change. While gradients are recorded, each chunk is run once
            more in the backward pass instead of being kept.
        **conditioning: Passed on to the generator.

    Returns:
        (batch, k, *output); a tuple of such tensors where the generator returns several.

    Raises:
        ValueError: On a wrong shape, an index out of range, epsilon ≤ 0, chunk_size < 1, an unknown
            method, or a generator in which samples depend on each other (batch norm in train
            mode).
        TypeError: If z is not floating, or the generator returns something else than tensors.
        NotImplementedError: If an operation of the generator has no forward-mode derivative.

    Example:
        >>> import torch, axiswise as aw
        >>> weight = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        >>> aw.jacobian_columns(lambda z: z @ weight.T, torch.zeros(1, 2))[0]
        tensor([[1., 3., 5.],
                [2., 4., 6.]])
    """
    check_latents(z)
    probes = unit_probes(z, checked_columns(z, columns))
    products = jacobian_products(
        generator,
        z,
        probes,
        method=method,
        epsilon=epsilon,
        detach=detach,
        chunk_size=chunk_size,
        **conditioning,
    )
    if isinstance(products, Tensor):
        return products.transpose(0, 1)
    return tuple(product.transpose(0, 1) for product in products)


def jacobian_products(
    generator: Generator,
    z: Tensor,
    probes: Tensor,
    *,
    method: Method = "forward",
    epsilon: float = 1e-3,
    detach: bool = True,
    chunk_size: int | None = None,
    **conditioning: Any,
) -> Tensor | tuple[Tensor, ...]:
    """Products Jv of the generator's Jacobian with probes v.

    Args:
        generator: As in `jacobian_columns`.
        z: Latents, (batch, latent), floating.
        probes: Latent directions, (probe, batch, latent).
        method: "forward", or "finite" for (G(z + εv) − G(z))/ε.
        epsilon: Step of the finite differences, > 0.
        detach: Cut the graph at z.
        chunk_size: As in `jacobian_columns`.
        **conditioning: Passed on to the generator.

    Returns:
        (probe, batch, *output); a tuple of such tensors where the generator returns several.

    Raises:
        ValueError: As `jacobian_columns`, or if probes is not (probe, batch, latent).
        TypeError: As `jacobian_columns`.
        NotImplementedError: As `jacobian_columns`.
    """
    products, several = push(
        generator,
        z,
        probes,
        order=1,
        method=method,
        epsilon=epsilon,
        detach=detach,
        chunk_size=chunk_size,
        conditioning=conditioning,
    )
    return products if several else products[0]


def jacobian_gram(
    generator: Generator,
    z: Tensor,
    *,
    method: Method = "forward",
    epsilon: float = 1e-3,
    detach: bool = True,
    chunk_size: int | None = None,
    **conditioning: Any,
) -> Tensor | tuple[Tensor, ...]:
    """Gram matrix JᵀJ of the columns, for each sample.

    Args:
        generator: As in `jacobian_columns`.
        z: Latents, (batch, latent), floating.
        method: As in `jacobian_columns`.
        epsilon: As in `jacobian_columns`.
        detach: As in `jacobian_columns`.
        chunk_size: As in `jacobian_columns`.
        **conditioning: Passed on to the generator.

    Returns:
        (batch, latent, latent); a tuple of such tensors where the generator returns several.

    Raises:
        ValueError: As `jacobian_columns`.
        TypeError: As `jacobian_columns`.
        NotImplementedError: As `jacobian_columns`.
    """
    columns = jacobian_columns(
        generator,
        z,
        method=method,
        epsilon=epsilon,
        detach=detach,
        chunk_size=chunk_size,
        **conditioning,
    )
    if isinstance(columns, Tensor):
        return gram(columns)
    return tuple(gram(activation) for activation in columns)


def gram(columns: Tensor) -> Tensor:
    """Inner products of columns or products that are at hand.

    Args:
        columns: (batch, k, *output).

    Returns:
        (batch, k, k).
    """
    # Without this, bfloat16 autocast would round inner products of thousands of terms.
    with torch.autocast(columns.device.type, enabled=False):
        flat = full_precision(flat_outputs(columns))
        return flat @ flat.transpose(1, 2)


def sample_columns(
    batch: int,
    latent: int,
    count: int,
    *,
    rng: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Random column indices, for each sample its own, without repeats.

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


def unit_probes(z: Tensor, columns: Tensor | None) -> Tensor:
    """Probes whose products are columns of the Jacobian.

    Args:
        z: Latents, (batch, latent).
        columns: Indices (batch, k) of the wanted columns, not checked; None for all.

    Returns:
        (k, batch, latent), each entry 0 or 1.
    """
    batch, latent = z.shape
    units = torch.eye(latent, dtype=z.dtype, device=z.device)
    return units[:, None].expand(-1, batch, -1) if columns is None else units[columns.T]


def flat_outputs(derivatives: Tensor) -> Tensor:
    """All axes of the output in one.

    Args:
        derivatives: (probe, batch, *output) or (batch, k, *output).

    Returns:
        The same with one last axis in place of *output, of length 1 if there was none. Its entries
        are in the order that the memory has them in: penalties do not ask for another.
    """
    if derivatives.dim() == 5 and derivatives.stride(2) == 1:  # channels last
        derivatives = derivatives.movedim(2, 4)
    return derivatives.flatten(2) if derivatives.dim() > 2 else derivatives[..., None]


def push(
    generator: Generator,
    z: Tensor,
    probes: Tensor,
    *,
    order: Literal[1, 2],
    method: Method,
    epsilon: float,
    detach: bool,
    chunk_size: int | None,
    conditioning: dict[str, Any],
) -> tuple[tuple[Tensor, ...], bool]:
    """Directional derivatives of the generator along probes: what all else here is made of.

    Args:
        generator: As in `jacobian_columns`.
        z: Latents, (batch, latent).
        probes: Directions, (probe, batch, latent).
        order: 1 for d/dt G(z + tv) at t = 0, 2 for the second derivative in t.
        method: "forward", or "finite": one-sided differences for order 1, central second
            differences (G(z + εv) − 2G(z) + G(z − εv))/ε² for order 2.
        epsilon: Step of the finite differences.
        detach: Cut the graph at z.
        chunk_size: Bound on the rows in flight, or None.
        conditioning: Keyword arguments for the generator.

    Returns:
        A (probe, batch, *output) tensor for each activation; and whether the generator returns
        several (a tuple or list) rather than one tensor.

    Raises:
        ValueError: As `jacobian_columns`.
        TypeError: As `jacobian_columns`.
        NotImplementedError: As `jacobian_columns`.
    """
    check_latents(z)
    if probes.dim() != 3 or probes.shape[1:] != z.shape or probes.shape[0] == 0:
        raise ValueError(
            f"probes must be (probe, batch, latent) = (≥ 1, {z.shape[0]}, {z.shape[1]}), "
            f"got {tuple(probes.shape)}"
        )
    if method not in ("forward", "finite"):
        raise ValueError(f"method must be 'forward' or 'finite', got {method!r}")
    if not epsilon > 0:  # so that NaN is refused too
        raise ValueError(f"epsilon must be > 0, got {epsilon}")
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")

    here = z.detach() if detach else z
    if isinstance(generator, SharedPass) and z.requires_grad and detach:
        here.requires_grad_()  # its output needs a way back to z even if the penalty has none
    several: list[bool] = []
    plain = _plain_stack(generator) if method == "forward" else None

    def activations(z: Tensor, conditioning: dict[str, Any], keep: bool = True) -> Pushed:
        z = z.clone()  # since the first layer may work in place
        with NormsForJacobians(values_only=method == "finite"):
            if isinstance(generator, SharedPass) and keep:
                output, kept = generator.split(z, **conditioning)
                outputs = _checked_activations(kept, z.shape[0])
            else:
                output, kept, outputs = generator(z, **conditioning), (), ()
        if keep:
            several[:] = [not isinstance(output, Tensor), not isinstance(kept, Tensor)]
        return _checked_activations(output, z.shape[0]), outputs

    def run(z: Tensor, probes: Tensor, conditioning: dict[str, Any]) -> Pushed:
        z = z.contiguous()  # forward mode refuses an expanded z
        if plain is not None and not conditioning:
            several[:] = [isinstance(generator, SharedPass) and bool(generator.layers), False]
            values, derivatives = push_forward(plain.layers, z, probes, plain.differentiated, order)
            return tuple(derivatives), (values[plain.kept],)
        at = functools.partial(activations, conditioning=conditioning)
        return _DERIVATIVES[method](at, z, probes, order, epsilon)

    chunks = list(_chunks(here, probes.to(z), conditioning, chunk_size))
    if len(chunks) == 1 and len(chunks[0]) == 1:
        derivatives, outputs = run(*chunks[0][0])
    else:
        if torch.is_grad_enabled():
            run = functools.partial(checkpoint, run, use_reentrant=False)
        derivatives, outputs = _joined([[run(*chunk) for chunk in row] for row in chunks])
    if isinstance(generator, SharedPass):
        generator.keep(outputs, several[1], z, here)
    return derivatives, several[0]


class _Plain(NamedTuple):
    """A plain stack, and how many of its layers make what is differentiated and what is kept."""

    layers: list[nn.Module]
    differentiated: list[int]
    kept: int


def _plain_stack(generator: Generator) -> _Plain | None:
    if not isinstance(generator, SharedPass):
        layers = plain_layers(generator)
        return None if layers is None else _Plain(layers, [len(layers)], len(layers))
    before = plain_layers(generator.generator)
    after = [] if generator.then is None else plain_layers(generator.then)
    if before is None or after is None:
        return None
    layers = before + after
    if not generator.layers or not isinstance(generator.generator, nn.Module):
        return _Plain(layers, [len(layers)], len(before))
    ran = calls(generator.generator)
    ends = [[end for module, end in ran if module is named] for named in generator.layers.values()]
    if any(len(each) != 1 for each in ends):
        return None  # the general road says what is wrong
    return _Plain(layers, [end for (end,) in ends], len(layers))


# Derivatives, one tensor for each activation, and the outputs of the generator that are kept.
Pushed = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]


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


Chunk = tuple[Tensor, Tensor, dict[str, Any]]


def _chunks(
    z: Tensor, probes: Tensor, conditioning: dict[str, Any], chunk_size: int | None
) -> Iterator[list[Chunk]]:
    """Rows of chunks: one row for each slice of the batch, in it one chunk for some probes."""
    batch = z.shape[0]
    rows = min(batch, chunk_size or batch)
    together = max(1, chunk_size // rows) if chunk_size else probes.shape[0]
    for start in range(0, batch, rows):
        part = slice(start, start + rows)
        given = {
            name: value[part]
            if isinstance(value, Tensor) and value.dim() > 0 and value.shape[0] == batch
            else value
            for name, value in conditioning.items()
        }
        yield [(z[part], some[:, part], given) for some in probes.split(together)]


# Of latents; the generator's outputs are not wanted if keep=False.
Activations = Callable[..., Pushed]


def _forward(
    activations: Activations, z: Tensor, probes: Tensor, order: int, _epsilon: float
) -> Pushed:
    def along(probe: Tensor) -> Pushed:
        differentiated = activations
        for _ in range(order):
            differentiated = functools.partial(_directional, differentiated, probe)
        return differentiated(z)

    if not torch.compiler.is_compiling():
        _load_forward_rules()
    try:
        if probes.shape[0] == 1:  # vmap over one probe costs time and gains nothing
            products, kept = along(probes[0])
            return tuple(product[None] for product in products), kept
        return torch.func.vmap(along, out_dims=(0, None), randomness="same")(  # type: ignore[arg-type]
            probes
        )
    except NotImplementedError as error:
        raise NotImplementedError(_no_forward_derivative(error)) from error
    except RuntimeError as error:
        if "would mutate a captured Tensor" in str(error):
            raise ValueError(
                "generator must leave the tensors that it holds as they are, but changes one in "
                "place (batch norm in train mode does: call .eval() first)"
            ) from error
        if not any(phrase in str(error) for phrase in _NO_RULE):
            raise
        raise NotImplementedError(_no_forward_derivative(error)) from error


def _directional(function: Activations, probe: Tensor, z: Tensor) -> Pushed:
    result = torch.func.jvp(function, (z,), (probe,), has_aux=True)
    return result[1], result[2]  # type: ignore[misc]  # declared without has_aux


def _finite(
    activations: Activations, z: Tensor, probes: Tensor, order: int, epsilon: float
) -> Pushed:
    # Differences of numbers rounded to bfloat16 would be mostly rounding.
    with torch.autocast(z.device.type, enabled=False), exact_convolutions():
        here, kept = activations(z)
        differences = []
        for probe in probes:
            ahead, _ = activations(z + epsilon * probe, keep=False)
            if order == 1:
                pairs = zip(ahead, here, strict=True)
                differences.append([(a - h) / epsilon for a, h in pairs])
            else:
                behind, _ = activations(z - epsilon * probe, keep=False)
                triples = zip(ahead, here, behind, strict=True)
                differences.append([(a - 2 * h + b) / epsilon**2 for a, h, b in triples])
        return tuple(torch.stack(parts) for parts in zip(*differences, strict=True)), kept


_DERIVATIVES = {"forward": _forward, "finite": _finite}


# What PyTorch says of a custom function without the rules that jvp, or jvp under vmap, needs.
_NO_RULE = ("forward AD", "forward-mode", "autograd.Function", "does not have vmap support")


@functools.cache
def _load_forward_rules() -> None:
    """Take PyTorch's first jvp out of the way: it warns of deprecated calls of PyTorch's own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.func.jvp(torch.sin, (torch.zeros(()),), (torch.zeros(()),))


def _no_forward_derivative(error: Exception) -> str:
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    owners = (frame.f_locals.get("cls") for frame in frames)
    custom = [c.__name__ for c in owners if isinstance(c, type(torch.autograd.Function))]
    name = f" {custom[0]}" if custom else ""
    return (
        f"the generator uses an operation{name} without a forward-mode derivative (or without one "
        "that torch.func.vmap can batch); use method='finite', or replace the operation (fused "
        "attention: run it under torch.nn.attention.sdpa_kernel(SDPBackend.MATH)). PyTorch says: "
        + str(error).splitlines()[0]
    )


def checked_columns(z: Tensor, columns: Tensor | Sequence[int] | None) -> Tensor | None:
    """Column indices, given by a user, as (batch, k).

    Args:
        z: Latents, (batch, latent).
        columns: Integers 0…latent − 1, (k,) or (batch, k); None for all.

    Returns:
        (batch, k), int64; None for all.

    Raises:
        ValueError: If the indices are not integers, out of range, or of another shape.
    """
    if columns is None:
        return None
    batch, latent = z.shape
    index = torch.as_tensor(columns, device=z.device)
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise ValueError(f"columns must be integer indices, got {index.dtype}")
    if index.dim() == 1:
        index = index.expand(batch, -1)
    if index.dim() != 2 or index.shape[0] != batch or index.shape[1] == 0:
        raise ValueError(
            f"columns must be (k,) or (batch, k) = ({batch}, k) with k ≥ 1, "
            f"got {tuple(torch.as_tensor(columns).shape)}"
        )
    if index.min() < 0 or index.max() >= latent:
        raise ValueError(
            f"columns must be between 0 and {latent - 1}, "
            f"got {int(index.min())} to {int(index.max())}"
        )
    return index.long()


def check_latents(z: Tensor) -> None:
    """Refuse what are no latents.

    Args:
        z: Latents, (batch, latent), floating, neither axis empty.

    Raises:
        TypeError: If z is no floating tensor.
        ValueError: If z has another shape.
    """
    if not isinstance(z, Tensor):
        raise TypeError(f"z must be a tensor, got {type(z).__name__}")
    if not z.is_floating_point():
        raise TypeError(f"z must be floating, got {z.dtype}")
    if z.dim() != 2 or 0 in z.shape:
        raise ValueError(f"z must be (batch, latent), neither empty, got {tuple(z.shape)}")


def _checked_activations(output: object, batch: int) -> tuple[Tensor, ...]:
    activations = (output,) if isinstance(output, Tensor) else output
    if not isinstance(activations, tuple | list) or not activations:
        raise TypeError(
            "generator must return a tensor, or a tuple or list of tensors, "
            f"got {type(output).__name__}"
        )
    for activation in activations:
        if not isinstance(activation, Tensor) or not activation.is_floating_point():
            kind = activation.dtype if isinstance(activation, Tensor) else type(activation).__name__
            raise TypeError(f"generator must return floating tensors, got {kind}")
        if activation.dim() == 0 or activation.shape[0] != batch:
            raise ValueError(
                f"generator must return one row for each of the {batch} latents, "
                f"got shape {tuple(activation.shape)}"
            )
    return tuple(activations)
