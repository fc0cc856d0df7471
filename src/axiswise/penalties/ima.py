"""Gresele et al., Independent Mechanism Analysis (NeurIPS 2021, arXiv 2106.05200)."""

from typing import Literal, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from axiswise.jacobian import (
    Generator,
    JacobianOperator,
    JacobianOptions,
    Latents,
    as_jacobian,
    flat_outputs,
    gram,
)
from axiswise.penalties.family import penalty
from axiswise.penalties.scores import Reduction, column_cosines, reduced, scale_free


@penalty("ima")
def ima_contrast(
    generator: Generator | JacobianOperator,
    z: Latents | None = None,
    *,
    zero_columns: Literal["error", "drop"] = "error",
    reduction: Reduction = "mean",
    **options: Unpack[JacobianOptions],
) -> Float[Tensor, "..."]:
    """Independent Mechanism Analysis contrast (Gresele et al. 2021, arXiv 2106.05200).

    Σ_i log‖J_i‖ − ½ log det(JᵀJ), the paper's local contrast, computed as −½ log det of the matrix
    of column cosines: ≥ 0, and 0 exactly when the columns are orthogonal.

    Args:
        generator: With at least as many outputs as latents; else as in `jl1_penalty`.
        z: Latents, (batch, *latent), floating.
        zero_columns: What becomes of a column of length zero: "error", or "drop" to leave it out
            (for that sample).
        reduction: "mean" or "max" over the batch; None for a value for each sample.
        **options: Of the `Jacobian`.

    Returns:
        As `jl1_penalty`; very large or infinite where columns are linearly dependent.

    Raises:
        ValueError: On a column of length zero unless it is dropped, on fewer outputs than latents,
            or on bad arguments as `Jacobian`.
        TypeError: As `Jacobian`, or on an option beside a `Jacobian`.
        NotImplementedError: As `Jacobian`.
    """
    if zero_columns not in ("error", "drop"):
        raise ValueError(f"zero_columns must be 'error' or 'drop', got {zero_columns!r}")
    jacobian = as_jacobian(generator, z, options)

    def contrast(columns: Tensor) -> Tensor:
        outputs = flat_outputs(columns).shape[2]
        if outputs < jacobian.latent:
            raise ValueError(
                f"generator must have at least as many outputs as the {jacobian.latent} latents, "
                f"got {outputs}"
            )
        products = gram(scale_free(columns))
        zero = products.diagonal(dim1=1, dim2=2) == 0
        if zero_columns == "error" and zero.any():
            raise ValueError(
                f"column {int(zero.any(0).nonzero()[0])} of the generator's Jacobian has length "
                "zero; zero_columns='drop' leaves such columns out"
            )
        return cosine_contrast(column_cosines(products))

    return reduced("ima_contrast", jacobian, jacobian.columns(), contrast, reduction)


def cosine_contrast(cosines: Float[Tensor, "*batch k k"]) -> Float[Tensor, "*batch"]:
    """−½ log det of matrices of cosines, (…, k, k) → (…); a zero column counts nothing."""
    # It becomes a unit vector orthogonal to all others, which adds log 1.
    zero = (cosines.diagonal(dim1=-2, dim2=-1) == 0).to(cosines.dtype)
    whole = cosines + torch.diag_embed(zero)
    return -0.5 * torch.linalg.slogdet(whole).logabsdet  # type: ignore[no-any-return]
