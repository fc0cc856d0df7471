"""Attention inside a generator that is differentiated."""

import torch
from torch import Tensor


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """What `torch.nn.functional.scaled_dot_product_attention` does, by PyTorch's plain kernel.

    The fused ones have no derivative in forward mode, and no second one.
    """
    whole = None
    if mask is not None:
        if mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill(~mask, -torch.inf)
        # A query that may look nowhere: the derivative of its softmax would be NaN.
        whole = (mask == -torch.inf).all(-1, keepdim=True)
        mask = mask.masked_fill(whole, 0)
    output, _ = torch.ops.aten._scaled_dot_product_attention_math(
        query, key, value, mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )
    return output if whole is None else output.masked_fill(whole, 0)  # type: ignore[no-any-return]
