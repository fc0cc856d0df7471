"""Activations whose forward derivatives PyTorch lacks, or cannot differentiate again.

Each is written in operations of which it can: values and derivatives are the same.
"""

from torch import Tensor
from torch.nn import functional as F


def hardsigmoid(x: Tensor) -> Tensor:
    """What `torch.nn.functional.hardsigmoid` does."""
    return F.relu6(x + 3) / 6


def glu(x: Tensor, dim: int = -1) -> Tensor:
    """What `torch.nn.functional.glu` does."""
    value, gate = x.chunk(2, dim)
    return value * gate.sigmoid()


def mean_rrelu(x: Tensor, lower: float = 1 / 8, upper: float = 1 / 3) -> Tensor:
    """What `torch.nn.functional.rrelu` does outside of training."""
    return F.leaky_relu(x, (lower + upper) / 2)


def silu(x: Tensor) -> Tensor:
    """What `torch.nn.functional.silu` does."""
    return x * x.sigmoid()


def mish(x: Tensor) -> Tensor:
    """What `torch.nn.functional.mish` does."""
    return x * F.softplus(x).tanh()
