"""TorchScript inside a generator that is differentiated in forward mode."""

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import torch
from torch import nn

from axiswise.support.replay import parts


def scripted(callables: Iterable[object]) -> list[Any]:
    """The TorchScript functions and methods among callables, their modules, and what those call."""
    found: list[Any] = []
    for each in callables:
        if isinstance(each, torch.jit.ScriptFunction | torch._C.ScriptMethod):
            found.append(each)
        elif isinstance(each, nn.Module):
            modules = list(each.modules())
            for module in modules:
                if isinstance(module, torch.jit.ScriptModule):
                    names = module._c._method_names()
                    found += [module._c._get_method(name) for name in names]
            for kind in {type(module) for module in modules}:
                found += _functions_of(kind)  # type: ignore[arg-type]  # classes do have a hash
    return found


@functools.cache
def _functions_of(kind: type) -> list[Any]:
    """TorchScript functions that methods of a class know by their global names."""
    if kind.__module__.startswith("torch."):
        return []
    methods = [method for method in vars(kind).values() if isinstance(method, FunctionType)]
    known = [part for method in methods for part in parts(method)]
    inherited = [part for base in kind.__bases__ for part in _functions_of(base)]
    return [p for p in known if isinstance(p, torch.jit.ScriptFunction)] + inherited


@contextmanager
def unoptimized(functions: Iterable[Any]) -> Iterator[None]:
    """Within it, TorchScript runs operation by operation.

    What its optimiser makes of a function after a first call loses forward derivatives without a
    word where weights need gradients (pytorch/pytorch#73972), and is kept: it is thrown away.
    """
    for function in functions:
        function._debug_flush_compilation_cache()
    with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        yield
