"""Directional derivatives by PyTorch's forward mode, of any callable."""

import functools
import traceback
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

# Derivatives, one tensor for each activation, and the outputs of the generator that are kept.
Pushed = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]
# Of latents; the generator's outputs are not kept if keep=False.
Activations = Callable[..., Pushed]

# What PyTorch says of a custom function without the rules that jvp, or jvp under vmap, needs.
_NO_RULE = ("forward AD", "forward-mode", "autograd.Function", "does not have vmap support")


def forward(
    activations: Activations, z: Tensor, probes: Tensor, order: int, _epsilon: float
) -> Pushed:
    """The first or second derivative of t ↦ G(z + tv) at t = 0 for each probe v."""

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


@functools.cache
def _load_forward_rules() -> None:
    """Call jvp once with warnings off: PyTorch's first one calls what PyTorch deprecates."""
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
