"""Refusal of what cannot be differentiated, with the argument's name."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

Outputs = Tensor | Sequence[Tensor]
Generator = Callable[..., Outputs]
Method = Literal["forward", "finite"]


def check_latents(z: Tensor) -> None:
    """Refuse a z that is not a floating tensor (batch, *latent) without empty axes."""
    if not isinstance(z, Tensor):
        raise TypeError(f"z must be a tensor, got {type(z).__name__}")
    if not z.is_floating_point():
        raise TypeError(f"z must be floating, got {z.dtype}")
    if z.dim() < 2 or 0 in z.shape:
        raise ValueError(f"z must be (batch, *latent), no axis empty, got {tuple(z.shape)}")


def check_settings(method: str, epsilon: float | None, chunk_size: int | None) -> None:
    """Refuse settings out of range."""
    if method not in get_args(Method):
        raise ValueError(f"method must be 'forward' or 'finite', got {method!r}")
    if epsilon is not None and not epsilon > 0:  # so that NaN is refused too
        raise ValueError(f"epsilon must be > 0, got {epsilon}")
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")


def check_rows(
    rows: Tensor, shape: torch.Size, what: str = "probes must be (probe, batch, *latent)"
) -> None:
    """Refuse what is not (row, *shape), at least one row."""
    if rows.shape[1:] != shape or len(rows) == 0:
        sizes = ", ".join(map(str, shape))
        raise ValueError(f"{what} = (≥ 1, {sizes}), got {tuple(rows.shape)}")


def checked_columns(
    columns: Tensor | Sequence[int] | None, batch: int, latent: int, device: torch.device
) -> Tensor | None:
    """A user's indices, (k,) or (batch, k), as (batch, k), int64; None stays None."""
    if columns is None:
        return None
    index = torch.as_tensor(columns, device=device)
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


def checked_weights(layers: Mapping[str, float]) -> tuple[float, ...]:
    """How much each layer counts, in order."""
    weights = tuple(float(weight) for weight in layers.values())
    if not all(0 <= weight < math.inf for weight in weights):
        raise ValueError(f"weights of layers must be finite and ≥ 0, got {dict(layers)}")
    return weights


def checked_activations(output: object, batch: int) -> tuple[Tensor, ...]:
    """What a generator returned, as a tuple of tensors with a row for each sample."""
    activations = (output,) if isinstance(output, Tensor) else output
    if not isinstance(activations, tuple | list) or not activations:
        raise TypeError(
            "generator must return a tensor, or a tuple or list of tensors, "
            f"got {described(output)}"
        )
    for activation in activations:
        if (
            not isinstance(activation, Tensor)
            or not activation.is_floating_point()
            or activation.layout != torch.strided
            or activation.is_nested
        ):
            raise TypeError(f"generator must return floating tensors, got {described(activation)}")
        if activation.dim() == 0 or activation.shape[0] != batch:
            raise ValueError(
                f"generator must return one row for each of the {batch} latents, "
                f"got shape {tuple(activation.shape)}"
            )
    return tuple(activations)


def described(output: object) -> str:
    """What a generator returned instead of a floating tensor, and what it can return of that."""
    kind = type(output).__name__
    if isinstance(output, Tensor):
        if output.is_complex():
            return f"{output.dtype}: return torch.view_as_real(…) of it"
        if output.layout != torch.strided:
            return f"{output.layout}: return its .to_dense()"
        return "a nested tensor: return a padded one" if output.is_nested else str(output.dtype)
    if type(output).__module__ == "numpy":
        return f"{kind}: return torch.from_numpy(…) of it, with differences for derivatives"
    fields = output if isinstance(output, Mapping) else getattr(output, "__dict__", {})
    for name, value in fields.items():
        if isinstance(value, Tensor):
            named = getattr(output, str(name), None) is value
            return f"{kind}: return one tensor of it, {f'.{name}' if named else f'[{name!r}]'}"
    return kind
