"""Values inside a generator that leave PyTorch, though they do not depend on the latents."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_pop_interpreter_stack
from torch.autograd import forward_ad

# Of PyTorch's, those that need the memory itself, which a tensor wrapped by `torch.func` lacks.
NEED_MEMORY: tuple[Any, ...] = (Tensor.numpy, Tensor.__array__)


def on_memory(func: Callable[..., Any], tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Call a function that needs memory on a tensor without the wrappers that any operation adds.

    A tensor that depends on the latents keeps them, and PyTorch refuses: what becomes of it
    elsewhere has no derivative.
    """
    functorch = torch._C._functorch
    if functorch.peek_interpreter_stack() is None:
        return func(tensor, *args, **kwargs)
    if functorch.is_functorch_wrapped_tensor(tensor):
        if functorch.is_batchedtensor(tensor) or forward_ad.unpack_dual(tensor).tangent is not None:
            return func(tensor, *args, **kwargs)
        tensor = functorch.get_unwrapped(tensor)
    with temporarily_pop_interpreter_stack():
        return on_memory(func, tensor, *args, **kwargs)
