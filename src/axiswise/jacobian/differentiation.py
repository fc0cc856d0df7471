"""Three ways to differentiate a pass: forward mode, differences as published, reverse mode."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from axiswise.jacobian.checks import check_rows, checked_activations
from axiswise.jacobian.kernels import Kernels
from axiswise.jacobian.layers import Pass
from axiswise.support.precision import exact_convolutions
from axiswise.support.replay import Replay

# Derivatives, one tensor for each activation, and the outputs of the generator that are kept.
Pushed = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]
# Of latents; the generator's outputs are not kept if keep=False.
Activations = Callable[..., Pushed]


def forward(activations: Activations, z: Tensor, probes: Tensor, order: int) -> Pushed:
    """The first or second derivative of t ↦ G(z + tv) at t = 0 for each probe v."""

    def along(probe: Tensor) -> Pushed:
        differentiated = activations
        for _ in range(order):
            differentiated = functools.partial(_directional, differentiated, probe)
        return differentiated(z)

    if not torch.compiler.is_compiling():
        _load_forward_rules()
    if probes.shape[0] == 1:  # vmap over one probe costs time and gains nothing
        products, kept = along(probes[0])
        return tuple(product[None] for product in products), kept
    return torch.func.vmap(along, out_dims=(0, None), randomness="same")(  # type: ignore[arg-type]
        probes
    )


def finite(
    activations: Activations, z: Tensor, probes: Tensor, order: int, epsilon: float, replay: Replay
) -> Pushed:
    """(G(z + εv) − G(z))/ε for order 1, (G(z + εv) − 2G(z) + G(z − εv))/ε² for order 2."""

    def at(moved: Tensor) -> tuple[Tensor, ...]:
        with replay.again():
            return _copies(activations(moved, keep=False)[0])

    # Differences of numbers rounded to bfloat16 would be mostly rounding.
    with torch.autocast(z.device.type, enabled=False), exact_convolutions():
        here, kept = map(_copies, activations(z))
        differences = []
        for probe in probes:
            ahead = at(z + epsilon * probe)
            if order == 1:
                pairs = zip(ahead, here, strict=True)
                differences.append([(a - h) / epsilon for a, h in pairs])
            else:
                behind = at(z - epsilon * probe)
                triples = zip(ahead, here, behind, strict=True)
                differences.append([(a - 2 * h + b) / epsilon**2 for a, h, b in triples])
        return tuple(torch.stack(parts) for parts in zip(*differences, strict=True)), kept


def _copies(outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The outputs of a pass, which the next one may write over."""
    return tuple(output.clone() for output in outputs)


def pull(part: Pass, z: Tensor, probes: tuple[Tensor, ...], conditioning: dict[str, Any]) -> Pushed:
    """Products Jᵀu at z, (probe, batch, *latent); u (probe, batch, *output) of an activation."""
    recorded = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad(), Kernels(len(z), order=1):
        here = z if z.requires_grad else z.detach().clone().requires_grad_()
        outputs = part.differentiated(here.clone(), **conditioning)  # which may work in place
        activations = checked_activations(outputs, z.shape[0])
        _check_pulled(probes, activations)
        pairs = [pair for pair in zip(activations, probes, strict=True) if pair[0].requires_grad]
        if not pairs:
            raise ValueError(
                "generator must record gradients for transposed products, but its output has no "
                "way back to z: call it without torch.no_grad() and .detach()"
            )
        pulled = [
            torch.autograd.grad(
                [activation for activation, _ in pairs],
                here,
                [probe[row].to(activation) for activation, probe in pairs],
                create_graph=recorded,
                retain_graph=True,
                materialize_grads=True,
            )[0]
            for row in range(len(probes[0]))
        ]
        return (torch.stack(pulled),), ()


def _check_pulled(probes: tuple[Tensor, ...], activations: tuple[Tensor, ...]) -> None:
    if len(probes) != len(activations):
        raise ValueError(
            f"probes must be one for each of the generator's {len(activations)} tensors, "
            f"got {len(probes)}"
        )
    for probe, activation in zip(probes, activations, strict=True):
        check_rows(probe, activation.shape, "probes must be (probe, batch, *output)")


def _directional(function: Activations, probe: Tensor, z: Tensor) -> Pushed:
    result = torch.func.jvp(function, (z,), (probe,), has_aux=True)
    return result[1], result[2]  # type: ignore[misc]  # declared without has_aux


@functools.cache
def _load_forward_rules() -> None:
    """Call jvp once with warnings off: PyTorch's first one calls what PyTorch deprecates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.func.jvp(torch.sin, (torch.zeros(()),), (torch.zeros(()),))
