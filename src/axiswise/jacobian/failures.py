"""What went wrong in a pass, in words that lead on."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from axiswise.jacobian.layers import Pass
from axiswise.support.replay import Replay

_OUR_OWN = ("generator must ", "layers must ", "probes must ")


@contextmanager
def explained(
    part: Pass,
    z: Tensor,
    chunk: Callable[[], tuple[Tensor, Callable[[Tensor], object]]],
    *,
    forward: bool,
) -> Iterator[None]:
    """Give errors that a generator raises within a name and a way out.

    Args:
        part: What is differentiated.
        z: The latents.
        chunk: Gives latents, and a pass without derivatives: what fails in it too is the
            generator's own fault.
        forward: Whether it is differentiated in forward mode.
    """
    try:
        yield
    except (torch.OutOfMemoryError, Warning):
        raise
    except Exception as error:
        if torch.compiler.is_compiling() or str(error).startswith(_OUR_OWN):
            raise
        if "would mutate a captured Tensor" in str(error):
            raise ValueError(
                "generator must leave its own tensors as they are, but changes one in place (batch "
                "norm in train mode does: call .eval() first); make a new one in each pass, or use "
                "method='finite'"
            ) from error
        failure = _failure(part, chunk)
        if isinstance(failure, RuntimeError) and (misfit := _misfit(part, z)):
            raise misfit from error
        if failure is not None and type(failure) is not type(error):
            raise failure from error
        if forward and failure is None:
            raise NotImplementedError(_no_forward_derivative(error)) from error
        raise


def _failure(
    part: Pass, chunk: Callable[[], tuple[Tensor, Callable[[Tensor], object]]]
) -> Exception | None:
    """What a pass without derivatives raises, if it does."""
    try:
        z, alone = chunk()
        with Replay(part.callables, z.device).again():
            alone(z)
    except Exception as error:  # anyone's code raises anything
        return error
    return None


def _misfit(part: Pass, z: Tensor) -> Exception | None:
    """What of the latents is other than the weights, if they are."""
    weights = [
        weight
        for each in part.callables
        if isinstance(each, nn.Module)
        for weight in each.parameters()
        if weight.is_floating_point()
    ]
    types, devices = {weight.dtype for weight in weights}, {weight.device for weight in weights}
    if weights and z.device not in devices:
        where = " and ".join(sorted(map(str, devices)))
        return ValueError(f"z must be on the generator's device, {where}, got {z.device}")
    if weights and z.dtype not in types:
        what = " and ".join(sorted(map(str, types)))
        return TypeError(
            f"z must be of the type of the generator's weights, {what}, got {z.dtype}: convert one "
            "of them, as by z.to(…) or generator.float()"
        )
    return None


def _no_forward_derivative(error: Exception) -> str:
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    owners = (frame.f_locals.get("cls") for frame in frames)
    custom = [c.__name__ for c in owners if isinstance(c, type(torch.autograd.Function))]
    name = f" {custom[0]}" if custom else ""
    return (
        f"the generator uses an operation{name} without a forward-mode derivative (or without one "
        "that torch.func.vmap can batch); use method='finite', or replace the operation. "
        "PyTorch says: " + (str(error).strip().splitlines() or [type(error).__name__])[0]
    )
