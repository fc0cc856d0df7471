"""Transposed products by reverse mode."""

from typing import Any

import torch
from torch import Tensor

from axiswise.jacobian.checks import checked_activations
from axiswise.jacobian.forward import Pushed
from axiswise.jacobian.layers import Pass
from axiswise.jacobian.norms import NormsForJacobians


def pull(part: Pass, z: Tensor, probes: tuple[Tensor, ...], conditioning: dict[str, Any]) -> Pushed:
    """Products Jᵀu at z, (probe, batch, *latent), for an activation's (probe, batch, *output) each.

    Raises:
        ValueError: If the probes do not fit the activations, or no activation has a graph.
    """
    recorded = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad(), NormsForJacobians():
        here = z if z.requires_grad else z.detach().clone().requires_grad_()
        outputs = part.differentiated(here.clone(), **conditioning)  # which may work in place
        activations = checked_activations(outputs, z.shape[0])
        _check(probes, activations)
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


def _check(probes: tuple[Tensor, ...], activations: tuple[Tensor, ...]) -> None:
    if len(probes) != len(activations):
        raise ValueError(
            f"probes must be one for each of the generator's {len(activations)} tensors, "
            f"got {len(probes)}"
        )
    for probe, activation in zip(probes, activations, strict=True):
        if probe.shape[1:] != activation.shape or len(probe) == 0:
            raise ValueError(
                "probes must be (probe, batch, *output) = (≥ 1, "
                f"{', '.join(map(str, activation.shape))}), got {tuple(probe.shape)}"
            )
