"""Several passes of a generator under the same conditions, random state and buffers."""

import functools
import random
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

_DEPTH = 4  # of closures, partial functions and owners within each other


def parts(generator: object, depth: int = _DEPTH) -> Iterator[object]:
    """What a callable is made of, as far as that shows: modules, functions' code, methods' owners.

    Args:
        generator: Any callable; of anything else nothing comes.
        depth: How many closures, partial functions, owners and attributes are looked into.
    """
    held: Iterable[object] = ()
    if depth == 0 or not callable(generator):
        return
    if isinstance(generator, functools.partial):
        held = (generator.func, *generator.args, *generator.keywords.values())
    elif isinstance(generator, types.MethodType):
        yield from _owner(generator.__self__, depth)
        held = (generator.__func__,)
    elif isinstance(generator, types.FunctionType):
        yield generator.__code__
        held = _seen_by(generator)
    else:
        yield from _owner(generator, depth)
    for each in held:
        yield from parts(each, depth - 1)


def _owner(owner: object, depth: int) -> Iterator[object]:
    """An object, and what its attributes call; a module alone, which names its own modules."""
    yield owner
    if not isinstance(owner, nn.Module):
        for attribute in list(getattr(owner, "__dict__", {}).values()):
            yield from parts(attribute, depth - 1)


def _seen_by(function: types.FunctionType) -> Iterator[object]:
    """What a function's closure and defaults hold, and the modules that it knows by global name."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for name in function.__code__.co_names:
        found = function.__globals__.get(name)
        if isinstance(found, nn.Module | torch.jit.ScriptFunction) or _is_plain(found):
            yield found


def _is_plain(found: object) -> bool:
    """Whether it is a function of somebody's own, not a library's that a generator calls anyway."""
    return isinstance(found, types.FunctionType) and not found.__module__.startswith("torch.")


class Replay:
    """Conditions of a pass, under which others can be made again.

    Random states of PyTorch, NumPy and Python, and the buffers of modules: power iterations and
    running statistics are kept in those. Whatever passes are made again, the conditions afterwards
    are those that the passes outside of `again` left.

    Args:
        callables: What is called, and what of it: `parts`.
        device: Where it draws random numbers, beside the CPU.

    Example:
        >>> import torch
        >>> replay = Replay([torch.rand], torch.device("cpu"))
        >>> first = torch.rand(3)
        >>> with replay.again():
        ...     second = torch.rand(3)
        >>> torch.equal(first, second), torch.equal(first, torch.rand(3))
        (True, False)
    """

    def __init__(self, callables: Iterable[object], device: torch.device) -> None:
        self._device = device
        self._random = _Random(device)
        modules = {
            module for part in callables if isinstance(part, nn.Module) for module in part.modules()
        }
        self._buffers = [
            (module, name, buffer, _version(buffer), buffer.detach().clone())
            for module in modules
            for name, buffer in module.named_buffers(recurse=False)
        ]

    @contextmanager
    def again(self) -> Iterator[None]:
        """Within it, conditions are those of the beginning."""
        now = _Random(self._device)
        changed = [each for each in self._buffers if _is_changed(*each)]
        after = [getattr(module, name) for module, name, *_ in changed]
        self._random.restore()
        for module, name, *_, before in changed:
            setattr(module, name, before.clone())
        try:
            yield
        finally:
            for (module, name, *_), value in zip(changed, after, strict=True):
                setattr(module, name, value)
            self._undo({(module, name) for module, name, *_ in changed})
            now.restore()

    @torch.no_grad()
    def _undo(self, known: set[tuple[nn.Module, str]]) -> None:
        """Take back what a pass has changed that none outside of `again` had changed before."""
        for each in self._buffers:
            module, name, buffer, _, before = each
            if (module, name) not in known and _is_changed(*each):
                setattr(module, name, buffer)
                buffer.copy_(before)


def _is_changed(
    module: nn.Module, name: str, buffer: Tensor, version: int | None, _before: Tensor
) -> bool:
    return getattr(module, name) is not buffer or version is None or buffer._version != version


def _version(buffer: Tensor) -> int | None:
    """How often it was changed in place; None for tensors of inference mode, which do not count."""
    return None if buffer.is_inference() else buffer._version


class _Random:
    """The state of all global random numbers: PyTorch's, NumPy's and Python's."""

    def __init__(self, device: torch.device) -> None:
        self._torch, self._numpy, self._python = (
            torch.get_rng_state(),
            np.random.get_state(),  # noqa: NPY002  # a generator may draw from it
            random.getstate(),
        )
        self._device = device
        self._own = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def restore(self) -> None:
        torch.set_rng_state(self._torch)
        np.random.set_state(self._numpy)  # noqa: NPY002
        random.setstate(self._python)
        if self._own is not None:
            torch.cuda.set_rng_state(self._own, self._device)
