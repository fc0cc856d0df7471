"""The last step of a penalty: one number for each sample becomes the batch's."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from axiswise.jacobian import Derivatives, flat_outputs

Reduction = Literal["mean", "max"] | None


def reduced(
    derivatives: Derivatives, per_sample: Callable[[Tensor], Tensor], reduction: Reduction
) -> Tensor:
    """Score each activation's samples, reduce over the batch, sum the activations."""
    if reduction not in ("mean", "max", None):
        raise ValueError(f"reduction must be 'mean', 'max' or None, got {reduction!r}")
    if isinstance(derivatives, Tensor):
        return _over_batch(per_sample(derivatives), reduction)
    values = torch.stack([per_sample(activation) for activation in derivatives])
    return values if reduction is None else _over_batch(values.T, reduction).sum()


def reduced_with_outputs(
    derivatives: Derivatives, per_output: Callable[[Tensor], Tensor], reduction: Reduction
) -> Tensor:
    """The same over batch and outputs together."""

    def per_sample(derivative: Tensor) -> Tensor:
        values = per_output(flat_outputs(derivative)).flatten(1)
        return values.amax(1) if reduction == "max" else values.mean(1)

    return reduced(derivatives, per_sample, reduction)


def _over_batch(values: Tensor, reduction: Reduction) -> Tensor:
    """(batch, …) → (…), or as it is."""
    if reduction is None:
        return values
    return values.mean(0) if reduction == "mean" else values.amax(0)
