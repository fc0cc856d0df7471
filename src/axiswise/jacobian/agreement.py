"""Checks of a generator, once for each, before its derivatives or differences are relied on."""

import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from axiswise.jacobian.layers import Pass
from axiswise.support.precision import (
    equal_up_to_rounding,
    exact_convolutions,
    full_precision,
)
from axiswise.support.replay import Replay

# A pass, or a derivative of one: latents to one tensor for each activation.
Function = Callable[[Tensor], tuple[Tensor, ...]]

_SHARE = 0.05  # of a difference that a derivative may miss
_CLEARLY = 4  # times the difference's own error
_SAMPLES = 0.25  # of a batch in which something must be lost
_WIDE = 5e-3  # of the latents' size: a step wide enough for the levels of an image of 8 bits

# Generators in calls of a kind, and whether they were checked or only seen.
_known: dict[tuple[tuple[weakref.ref[object], ...], Hashable], bool] = {}


class Trust:
    """Whether a generator's derivatives can be relied on without a check.

    A check costs some passes, and is made once: at the first call if there is a sign that something
    may be lost, otherwise at the second, so that a single question costs a single pass.

    Args:
        part: What is differentiated.
        z: The latents.
        kind: Of the call.
    """

    def __init__(self, part: Pass, z: Tensor, kind: Hashable) -> None:
        self._blind = (  # values are not at hand
            torch.compiler.is_compiling()
            or torch._C._functorch.peek_interpreter_stack() is not None
            or type(z) not in (Tensor, nn.Parameter)
            or z.is_meta
        )
        self._key, self._checked, self.suspects = None, False, True
        if self._blind:
            return
        callables = part.callables
        trained = [getattr(each, "training", None) for each in callables]
        call = (kind, z.shape[1:], z.dtype, z.device.type, torch.is_grad_enabled(), *trained)
        try:
            self._key = (tuple(map(weakref.ref, callables)), (*call, *part.layers))
            self._checked = _known.get(self._key, False)
        except TypeError:  # no weak references, or no hash: nothing to remember it by
            return
        self.suspects = self._key in _known or not any(map(_is_open, callables))

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Look, in a pass that is made within, for what loses derivatives."""
        if self._blind or self._checked or self.suspects:
            yield
            return
        with _Watch() as watch:
            yield
        self.suspects = self.suspects or watch.suspects

    def settle(self, check: Callable[[], None], derivatives: Iterable[Tensor] = ()) -> None:
        """Check now, if it is time to, and remember."""
        if self._blind or self._checked:
            return
        due = self.suspects or not all(bool(derivative.any()) for derivative in derivatives)
        if due:
            check()
        for key in list(_known):
            if None in [each() for each in key[0]]:
                _known.pop(key, None)
        if self._key is not None:
            _known[self._key] = due


def _is_open(part: object) -> bool:
    """Whether a pass shows what a part of a generator does: a module, not one that is compiled."""
    return isinstance(part, nn.Module) and not any(
        isinstance(module, torch.jit.ScriptModule) or type(module).__name__ == "OptimizedModule"
        for module in part.modules()
    )


class _Watch(TorchFunctionMode):
    """Notes calls of what takes values out of PyTorch's view, or is not PyTorch's own."""

    suspects = False

    def __init__(self) -> None:
        super().__init__()
        self._inference = torch.is_inference_mode_enabled()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Answer a call of PyTorch's that is made within."""
        owner = getattr(func, "__module__", None) or ""
        if torch.is_inference_mode_enabled() and not self._inference:
            self.suspects = True
        if func in _LOSING or (owner.startswith(_OPERATIONS) and owner != "torch._ops.aten"):
            self.suspects = True
        return func(*args, **(kwargs or {}))


_OPERATIONS = ("torch._ops.", "torch.ops.")
_LOSING = {
    Tensor.detach,
    Tensor.detach_,
    Tensor.data.__get__,  # type: ignore[attr-defined]
    Tensor.item,
    Tensor.tolist,
    Tensor.numpy,
    Tensor.__array__,
    Tensor.__float__,
    Tensor.__complex__,
    Tensor.data_ptr,
    Tensor.untyped_storage,
    Tensor.new_tensor,
    Tensor.__deepcopy__,
    torch.detach,
    torch.tensor,
}


def check_repeats(function: Function, z: Tensor, replay: Replay) -> None:
    """Refuse a generator of which differences would compare unlike passes."""
    if not _repeats(function, z, replay):
        raise ValueError(
            "generator must return the same for the same latents where differences are taken, but "
            "two passes differ although PyTorch's random state and all buffers of its modules are "
            "the same: give its noise (or what it counts) as an argument, draw it from PyTorch's "
            "own random state instead of a torch.Generator or NumPy, or use method='forward'"
        )


def check_derivative(
    function: Callable[[Tensor, Tensor], tuple[Tensor, ...]],
    derivative: Callable[[Tensor, Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]],
    z: Tensor,
    replay: Replay,
    *,
    flat_is_lost: bool,
    advice: str,
) -> None:
    """Refuse a generator whose derivative is lost on its way, wholly or in part.

    Args:
        function: What is differentiated, of latents and a probe like them.
        derivative: Of latents, a probe, and central differences along it: what these should be.
        z: Latents, (batch, *latent).
        replay: The conditions of the passes.
        flat_is_lost: Whether a derivative of exactly zero is lost wherever the function changes,
            by steps too.
        advice: What to do instead.
    """

    @contextmanager
    def exact() -> Iterator[None]:
        # As where differences are the method; the rounding of autocast would look like a loss.
        with torch.autocast(z.device.type, enabled=False), exact_convolutions():
            yield

    step = torch.finfo(z.dtype).eps ** (1 / 3)
    rng = torch.Generator().manual_seed(0)
    scale = full_precision(z).square().mean().sqrt().to(z.dtype)
    scale = torch.where(scale > 0, scale, 1)
    probe, shift = (
        (torch.randn(z.shape[1:], generator=rng).to(z) * scale).expand_as(z).contiguous()
        for _ in range(2)
    )

    def at(place: Tensor) -> tuple[Tensor, ...]:
        with exact():
            return _again(lambda z: function(z, probe), place, replay)

    for place in (z, z + step * shift):  # the second in case the first is just where it bends
        ahead, here, behind = (at(place + offset * probe) for offset in (step, 0.0, -step))
        central = tuple((a - b) / (2 * step) for a, b in zip(ahead, behind, strict=True))
        with exact(), replay.again():
            found = derivative(place, probe, central)
        each = zip(found, central, ahead, here, behind, strict=True)
        lost = any(_is_lost(*tensors, step) for tensors in each)
        if not lost and flat_is_lost and any(bool((_lengths(f) == 0).any()) for f in found):
            far, back = (at(place + offset * probe) for offset in (_WIDE, -_WIDE))
            lost = any(map(_is_flat, found, far, back))
        if not lost:
            return
    if _repeats(lambda z: function(z, probe), z, replay):
        raise NotImplementedError(
            "the generator loses derivatives on their way from the latents: its output changes "
            "with them, but the derivative does not say so, or not wholly. Look for .detach(), "
            ".data, .item(), NumPy, steps such as round(), torch.inference_mode(), operations of "
            f"your own and compiled code in it; {advice}"
        )


def _is_lost(
    found: Tensor, central: Tensor, ahead: Tensor, here: Tensor, behind: Tensor, step: float
) -> bool:
    """Whether a derivative misses what differences clearly show.

    Differences that jump or bend on one side only show nothing, and neither do those of zero: of
    values that are rounded in the forward pass only, the derivative is what their author wants.
    """
    rounding = 8 * torch.finfo(here.dtype).eps * _lengths(here) / step
    missed, size = _lengths(central - found), _lengths(central)
    lost = (missed > _SHARE * size) & (size > _SHARE * _lengths(found)) & (missed > rounding)
    lost &= missed > _CLEARLY * _lengths((ahead - 2 * here + behind) / step)
    return bool(lost.float().mean() >= _SAMPLES)


def _is_flat(found: Tensor, far: Tensor, back: Tensor) -> bool:
    """Whether a derivative is exactly zero where there are differences, and be it by steps."""
    rounding = 8 * torch.finfo(far.dtype).eps * _lengths(far)
    flat = (_lengths(found) == 0) & (_lengths(far - back) > rounding)
    return bool(flat.float().mean() >= _SAMPLES)


def _lengths(tensor: Tensor) -> Tensor:
    """The length of each sample, (batch,)."""
    return full_precision(tensor).flatten(1).norm(dim=1) if tensor.dim() > 1 else tensor.abs()


def _repeats(function: Function, z: Tensor, replay: Replay) -> bool:
    """Whether two passes under the same conditions give the same."""
    first, second = (_again(function, z, replay) for _ in range(2))
    return all(map(equal_up_to_rounding, first, second))


def _again(function: Function, z: Tensor, replay: Replay) -> tuple[Tensor, ...]:
    with replay.again():
        return tuple(each.detach().clone() for each in function(z))
