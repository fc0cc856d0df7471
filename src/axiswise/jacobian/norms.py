"""Normalisation layers inside a generator whose Jacobian is taken."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from axiswise.jacobian.activations import ACTIVATIONS
from axiswise.jacobian.constants import NEED_MEMORY, on_memory
from axiswise.support.precision import full_precision


class NormsForJacobians(TorchFunctionMode):
    """Within it, norms over the batch are refused, and two others are taken apart.

    Batch norm in train mode couples the samples, so that no sample has a Jacobian of its own.

    Instance and layer norm have correct forward-mode derivatives, but PyTorch takes the mean and
    variance in those for constants: without a word, gradients of the Jacobian and second
    derivatives come out wrong (pytorch/pytorch#196699). Written in plain arithmetic they are right.
    Values and first derivatives of PyTorch's own are right, and faster.
    With `values_only` nothing is differentiated in forward mode, as by finite differences.
    """

    def __init__(self, values_only: bool = False) -> None:
        super().__init__()
        self.values_only = values_only

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Answer a call of PyTorch's that is made within."""
        kwargs = kwargs or {}
        if func is F.instance_norm and not (self.values_only and _is_safe(*args, **kwargs)):
            return instance_norm(*args, **kwargs)
        if (func is F.layer_norm or func is torch.layer_norm) and not self.values_only:
            return layer_norm(*args, **kwargs)
        if func is F.batch_norm or func is torch.batch_norm:
            training = kwargs.get("training", args[5] if len(args) > 5 else False)
            if training:
                place = 1 if func is F.batch_norm else 3
                statistics = kwargs.get("running_mean", args[place] if len(args) > place else None)
                raise ValueError(
                    "generator must treat samples independently, but its batch norm "
                    + (
                        "has no running statistics and normalises over the batch, in eval mode "
                        "too: make it with track_running_stats=True, or take another norm"
                        if statistics is None
                        else "is in train mode and normalises over the batch; call .eval() first"
                    )
                )
        if func in ACTIVATIONS and not self.values_only:
            return ACTIVATIONS[func](*args, **kwargs)
        if func in NEED_MEMORY:
            return on_memory(func, *args, **kwargs)
        return func(*args, **kwargs)


def _is_safe(input: Tensor, running_mean: Tensor | None = None, *_: Any, **__: Any) -> bool:
    """Whether PyTorch's own instance norm changes nothing, and has right gradients.

    On a CPU those of one sample with channels last are wrong (seen in 2.13).
    """
    return running_mean is None and input.shape[0] > 1


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """What `torch.nn.functional.instance_norm` does; running statistics are never updated."""
    if not use_input_stats:
        return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    space = list(range(2, input.dim()))
    per_channel = (-1, *[1] * len(space))
    return _normalized(
        input,
        space,
        None if weight is None else weight.view(per_channel),
        None if bias is None else bias.view(per_channel),
        eps,
    )


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,  # noqa: ARG001
) -> Tensor:
    """What `torch.nn.functional.layer_norm` does."""
    return _normalized(input, list(range(-len(normalized_shape), 0)), weight, bias, eps)


def standardized(x: Tensor, axes: list[int], eps: float) -> tuple[Tensor, Tensor]:
    """The tensor at mean 0 and variance 1 over the axes, in float32 or better; and the factor."""
    x = full_precision(x)
    centred = x - x.mean(axes, keepdim=True)
    factor = (centred.square().mean(axes, keepdim=True) + eps).rsqrt()
    return centred * factor, factor


def _normalized(
    x: Tensor, axes: list[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    y, _ = standardized(x, axes, eps)
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias
    return y.to(x.dtype)
