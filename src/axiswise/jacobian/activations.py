"""Activations whose forward derivatives PyTorch lacks, or cannot differentiate again.

Each is written in operations of which it can: values and derivatives are the same.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


def _hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:  # noqa: ARG001
    return F.relu6(input + 3) / 6


def _glu(input: Tensor, dim: int = -1) -> Tensor:
    value, gate = input.chunk(2, dim)
    return value * gate.sigmoid()


def _rrelu(
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    if training:
        return F.rrelu(input, lower, upper, training, inplace)
    return F.leaky_relu(input, (lower + upper) / 2, inplace)


def _silu(input: Tensor, inplace: bool = False) -> Tensor:  # noqa: ARG001
    return input * input.sigmoid()


def _mish(input: Tensor, inplace: bool = False) -> Tensor:  # noqa: ARG001
    return input * F.softplus(input).tanh()


# Without a first derivative in forward mode, one that can be batched, or a gradient of it.
ACTIVATIONS: dict[Callable[..., Any], Callable[..., Tensor]] = {
    F.hardsigmoid: _hardsigmoid,
    F.glu: _glu,
    F.mish: _mish,
    F.rrelu: _rrelu,
}
_TWICE: dict[Callable[..., Any], Callable[..., Tensor]] = {F.silu: _silu}


class TwiceDifferentiable(TorchFunctionMode):
    """Within it, activations whose second derivatives need recorded gradients do without."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Answer a call of PyTorch's that is made within."""
        return _TWICE.get(func, func)(*args, **(kwargs or {}))
