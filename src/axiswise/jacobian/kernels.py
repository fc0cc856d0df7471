"""What PyTorch's operators do while a generator is differentiated.

Some have a wrong derivative in forward mode, some have none, and some samples' outputs depend on
the whole batch. The dispatcher asks here first, so that it does not matter how an operator is
called: by `torch.nn.functional`, `torch.ops.aten`, an exported graph or TorchScript. Outside of
`Kernels` all operators are as they were.
"""

import threading
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from axiswise.jacobian import activations, lengths, matrices, norms
from axiswise.jacobian.attention import attention
from axiswise.jacobian.constants import NEED_MEMORY, on_memory

Given = dict[str, Any]
# What an operator returns, and more that is left off; None to let PyTorch's own kernel run.
Outputs = tuple[Any, ...] | None
Kernel = Callable[["Kernels", Given], Outputs]

# A key of PyTorch's own tests, above those of autograd and of torch.func. Operators without a
# kernel for it are dispatched as without it, at no cost.
_KEY = "TESTING_ONLY_GenericMode"
_PARSED = cast(torch._C.DispatchKey, torch._C._parse_dispatch_key(_KEY))
_now = threading.local()
_INNERMOST = (torch.channels_last, torch.channels_last_3d)


class Kernels(TorchFunctionMode):
    """Within it, operators have the kernels of this file.

    A mode for functions, too, since attention layers take no fast path without derivatives there.

    Args:
        batch: Number of samples in the pass.
        order: How many derivatives are taken. At 0, as by finite differences, PyTorch's own kernels
            are right, and faster.
    """

    def __init__(self, batch: int, order: int) -> None:
        super().__init__()
        self.batch, self.order = batch, order

    def __enter__(self) -> None:
        self._outer = getattr(_now, "kernels", None)
        _now.kernels = self
        self._guard = torch._C._IncludeDispatchKeyGuard(_PARSED)
        self._guard.__enter__()
        super().__enter__()

    def __exit__(self, *exc_info: Any) -> None:
        super().__exit__(*exc_info)
        self._guard.__exit__(*exc_info)
        _now.kernels = self._outer

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Answer a call of PyTorch's that is made within."""
        if func in NEED_MEMORY:
            return on_memory(func, *args, **(kwargs or {}))
        try:
            return func(*args, **(kwargs or {}))
        except RuntimeError:
            if not kwargs or kwargs.get("memory_format") not in _INNERMOST:
                raise
        # torch.func.vmap refuses to lay channels innermost: the axes do the same.
        others = {name: value for name, value in kwargs.items() if name != "memory_format"}
        return func(*args, **others).movedim(1, -1).contiguous().movedim(-1, 1)


def _layer_norm(kernels: Kernels, given: Given) -> Outputs:
    if kernels.order == 0:
        return None
    shape, weight, bias = given["normalized_shape"], given["weight"], given["bias"]
    return norms.layer_norm(given["input"], shape, weight, bias, given["eps"])


def _rms_norm(kernels: Kernels, given: Given) -> Outputs:
    return None if kernels.order == 0 else norms.rms_norm(**given)


def _group_norm(kernels: Kernels, given: Given) -> Outputs:
    if kernels.order == 0:
        return None
    groups = given["num_groups"] if "num_groups" in given else given["group"]
    return norms.group_norm(given["input"], groups, given["weight"], given["bias"], given["eps"])


def _instance_norm(kernels: Kernels, given: Given) -> Outputs:
    """Running statistics are never updated."""
    x, weight, bias, eps = given["input"], given["weight"], given["bias"], given["eps"]
    mean, variance = given["running_mean"], given["running_var"]
    if not given["use_input_stats"]:
        return (torch.batch_norm(x, weight, bias, mean, variance, False, 0.0, eps, False),)
    # On a CPU, the gradients of PyTorch's own for one sample with channels last are wrong (2.13).
    if kernels.order == 0 and mean is None and x.shape[0] > 1:
        return None
    return (norms.instance_norm(x, weight, bias, eps),)


def _batch_norm(kernels: Kernels, given: Given) -> Outputs:
    """Refused over the batch, not in a single row of all samples' channels: an instance norm."""
    if not given.get("training", True):
        return None
    x, statistics = given["input"], (given.get("running_mean"), given.get("running_var"))
    if kernels.batch == 1 or x.shape[0] > 1 or x.shape[1] % kernels.batch:
        raise ValueError(
            "generator must treat samples independently, but its batch norm "
            + (
                "has no running statistics and normalises over the batch, in eval mode too: make "
                "it with track_running_stats=True, or take another norm"
                if statistics[0] is None
                else "is in train mode and normalises over the batch; call .eval() first"
            )
        )
    eps = given["eps"] if "eps" in given else given["epsilon"]
    return *norms.batch_norm(x, given["weight"], given["bias"], eps), *statistics


def _attention(kernels: Kernels, given: Given) -> Outputs:
    if kernels.order == 0:
        return None
    mask = given["attn_mask"] if "attn_mask" in given else given.get("attn_bias")
    output = attention(
        given["query"],
        given["key"],
        given["value"],
        mask,
        given["dropout_p"],
        given["is_causal"],
        given["scale"],
        given.get("enable_gqa", False),
    )
    return output, *[None] * 8


def _vector_norm(kernels: Kernels, given: Given) -> Outputs:
    if kernels.order < 2:
        return None
    x = given["self"] if given.get("dtype") is None else given["self"].to(given["dtype"])
    p = given["ord"] if "ord" in given else given["p"]
    axes, keepdim = given.get("dim"), given.get("keepdim", False)
    length = lengths.vector_norm(x, 2.0 if p is None else float(p), axes, keepdim)
    return None if length is None else (length,)


def _distance(kernels: Kernels, given: Given) -> Outputs:
    if kernels.order < 2:
        return None
    return (torch.linalg.vector_norm(given["self"] - given["other"], given["p"]),)


def _deviation(kernels: Kernels, given: Given) -> Outputs:
    if kernels.order < 2:
        return None
    x, axes, keepdim = given["self"], given["dim"], given["keepdim"]
    variance, mean = torch.var_mean(x, axes, correction=given["correction"], keepdim=keepdim)
    return lengths.root(variance, 2.0), mean


def _solve(kernels: Kernels, given: Given) -> Outputs:
    return matrices.solve(given["A"], given["B"], given["left"]) if kernels.order else None


def _det(kernels: Kernels, given: Given) -> Outputs:
    return matrices.det(given["A"]) if kernels.order else None


def _slogdet(kernels: Kernels, given: Given) -> Outputs:
    return matrices.slogdet(given["A"]) if kernels.order else None


def _activation(function: Callable[..., Tensor], order: int = 1) -> Kernel:
    """The kernel of a function of one tensor, from a number of derivatives up."""

    def kernel(kernels: Kernels, given: Given) -> Outputs:
        if kernels.order < order or given.pop("training", False):
            return None
        given.pop("generator", None)  # of random numbers
        return (function(given.pop("self"), **given),)

    return kernel


def _in_place(kernel: Kernel) -> Kernel:
    def overwriting(kernels: Kernels, given: Given) -> Outputs:
        x = given["self"]
        outputs = kernel(kernels, given | {"self": x.clone()})  # which its backward pass may need
        return None if outputs is None else (x.copy_(outputs[0]),)

    return overwriting


def _mean_over_places(kernels: Kernels, given: Given) -> Outputs:
    """PyTorch's own restrides what has its channels innermost, one sample of vmap's at a time."""
    size = given["output_size"]
    if kernels.order == 0 or set(size) != {1}:
        return None
    return (given["self"].mean(list(range(-len(size), 0)), keepdim=True),)


def _householder_product(kernels: Kernels, given: Given) -> Outputs:
    if kernels.order == 0:
        return None
    return (matrices.householder_product(given["input"], given["tau"]),)


def _select_scatter(kernels: Kernels, given: Given) -> Outputs:
    """PyTorch's own has a wrong gradient of what is put in, in forward mode."""
    if kernels.order == 0:
        return None
    whole, axis = given["self"], given["dim"]
    place = given["index"] % whole.shape[axis]
    part = given["src"].unsqueeze(axis % whole.dim())
    return (torch.slice_scatter(whole, part, axis, place, place + 1),)


_ACTIVATIONS = {
    "hardsigmoid": _activation(activations.hardsigmoid),
    "mish": _activation(activations.mish),
    "rrelu": _activation(activations.mean_rrelu),
    "silu": _activation(activations.silu, order=2),
}
_KERNELS: dict[str, Kernel] = {
    **_ACTIVATIONS,
    **{f"{name}_": _in_place(kernel) for name, kernel in _ACTIVATIONS.items()},
    "glu": _activation(activations.glu),
    "layer_norm": _layer_norm,
    "native_layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "_fused_rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "native_group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "batch_norm": _batch_norm,
    "native_batch_norm": _batch_norm,
    "_native_batch_norm_legit": _batch_norm,
    "_native_batch_norm_legit.no_stats": _batch_norm,
    "_native_batch_norm_legit_functional": _batch_norm,
    "cudnn_batch_norm": _batch_norm,
    "miopen_batch_norm": _batch_norm,
    "adaptive_avg_pool2d": _mean_over_places,
    "adaptive_avg_pool3d": _mean_over_places,
    "linalg_vector_norm": _vector_norm,
    "norm.Scalar": _vector_norm,
    "norm.ScalarOpt_dtype": _vector_norm,
    "norm.ScalarOpt_dim": _vector_norm,
    "norm.ScalarOpt_dim_dtype": _vector_norm,
    "dist": _distance,
    "std.correction": _deviation,
    "std_mean.correction": _deviation,
    "_linalg_solve_ex": _solve,
    "_linalg_det": _det,
    "_linalg_slogdet": _slogdet,
    "linalg_householder_product": _householder_product,
    "select_scatter": _select_scatter,
    "scaled_dot_product_attention": _attention,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_cudnn_attention": _attention,
}


def _at_key(op: Any, kernel: Kernel) -> Callable[..., Any]:
    """The kernel as the dispatcher calls it."""
    schema = op._schema
    names = [argument.name for argument in schema.arguments]
    defaults = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
    count = len(schema.returns)

    def run(*args: Any, **named: Any) -> Any:
        outputs = None
        if (kernels := getattr(_now, "kernels", None)) is not None:
            outputs = kernel(kernels, {**defaults, **dict(zip(names, args, strict=False)), **named})
        if outputs is None:
            with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(_PARSED)):
                return op(*args, **named)
        return outputs[0] if count == 1 else outputs[:count]

    return run


def _register() -> list[torch.library.Library]:
    everywhere, aten = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    everywhere.fallback(torch.library.fallthrough_kernel, _KEY)
    # Those of higher order, such as custom functions under torch.func, are dispatched in Python.
    torch._ops._HIGHER_ORDER_OP_DEFAULT_FALLTHROUGH_DISPATCH_KEYS.append(_PARSED)
    for known in torch._ops._higher_order_ops.values():
        known.fallthrough(_PARSED)
    for name, kernel in _KERNELS.items():
        packet, _, overload = name.partition(".")
        if hasattr(torch.ops.aten, packet):  # not in all versions
            op = getattr(getattr(torch.ops.aten, packet), overload or "default")
            aten.impl(name, _at_key(op, kernel), _KEY)
    return [everywhere, aten]


_REGISTERED = _register()  # for as long as it is kept
