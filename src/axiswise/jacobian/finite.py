"""Directional derivatives by differences, as the papers' code takes them."""

import torch
from torch import Tensor

from axiswise.jacobian.forward import Activations, Pushed
from axiswise.support.precision import exact_convolutions


def finite(
    activations: Activations, z: Tensor, probes: Tensor, order: int, epsilon: float
) -> Pushed:
    """(G(z + εv) − G(z))/ε for order 1, (G(z + εv) − 2G(z) + G(z − εv))/ε² for order 2."""
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
