"""SeFa: closed-form directions from a generator's weights (Shen & Zhou, CVPR 2021)."""

import torch
from torch import Tensor, nn

from axiswise.directions.directions import with_fixed_signs
from axiswise.directions.family import method
from axiswise.directions.folding import first_layer, latent_matrix, layer_named
from axiswise.directions.space import SearchSpace
from axiswise.support.precision import power_scaled
from axiswise.support.progress import Progress


def sefa(*layers: nn.Module) -> tuple[Tensor, Tensor]:
    """Directions that layers stretch most: the eigenvectors of AᵀA (arXiv 2007.06600, Eq. 7).

    Args:
        layers: The layers that take the latents, each an `nn.Linear`, or an `nn.Conv2d` or
            `nn.ConvTranspose2d` with the latents as channels; A is their weights (output, latent),
            one below the other.

    Returns:
        The directions, (latent, latent), orthonormal rows, of the largest eigenvalue first, each
        with its largest entry positive; and the eigenvalues, (latent,), ≥ 0. In the weight's type.

    Raises:
        TypeError: If a layer is of another kind.
        ValueError: If there is none, they take different numbers of inputs, or weights are NaN or
            infinite.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 2, bias=False)
        >>> layer.weight.data = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
        >>> directions, eigenvalues = sefa(layer)
        >>> directions.tolist(), eigenvalues.tolist()
        ([[0.0, 1.0], [1.0, 0.0]], [9.0, 1.0])
    """
    matrices = [latent_matrix(layer).detach() for layer in layers]
    widths = {matrix.shape[1] for matrix in matrices}
    if len(widths) != 1:
        raise ValueError(
            f"layers must take the same latents, got layers of {sorted(widths)} inputs"
        )
    return _stretched(torch.cat(matrices))


@method("sefa", ordered=True)
def sefa_directions(
    space: SearchSpace,
    rng: torch.Generator,
    _progress: Progress,
    *,
    layer: str | None = None,
) -> Tensor:
    """`sefa` on layers of a generator by their names.

    Args:
        layer: Name of the layer that takes the latents, as in `named_modules()`, or names separated
            by commas; the first linear or convolutional one if None.

    Returns:
        (size, size), a direction in each row, of the largest eigenvalue first.

    Raises:
        TypeError: If the generator is no `nn.Module`, or the layer of another kind.
        ValueError: If there is no such layer, or it takes neither all latents nor those searched.
    """
    generator = module_of(space, "sefa")
    names = [first_layer(generator, space.latent_dim)] if layer is None else layer.split(",")
    matrices = []
    for name in names:
        layer_ = layer_named(generator, name)
        matrix = latent_matrix(layer_).detach()
        if matrix.shape[1] == space.latent_dim:
            matrix = matrix[:, space.subspace]
        elif matrix.shape[1] != space.size or not _takes_searched(space, layer_, rng):
            raise ValueError(
                f"layer must take the {space.latent_dim} latents, or the {space.size} that are "
                f"searched, but {name!r} takes {matrix.shape[1]} other inputs"
            )
        matrices.append(matrix)
    return _stretched(torch.cat(matrices))[0]


def module_of(space: SearchSpace, method: str) -> nn.Module:
    """The generator of a search that looks at its layers; a TypeError if it is no `nn.Module`."""
    if not isinstance(space.generator, nn.Module):
        raise TypeError(
            f"generator must be an nn.Module for method {method!r}, which looks at its layers, got "
            f"{type(space.generator).__name__}"
        )
    return space.generator


@torch.no_grad()
def _takes_searched(space: SearchSpace, layer: nn.Module, rng: torch.Generator) -> bool:
    """Whether the input of a layer is the searched latents."""
    given: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].clone()))
    try:
        (batch,) = space.batches(1, 1, rng)
        space.generator(batch.z.clone(), **batch.conditioning)
    finally:
        handle.remove()
    return len(given) == 1 and torch.equal(given[0].flatten(), batch.searched.flatten())


def _stretched(matrix: Tensor) -> tuple[Tensor, Tensor]:
    if not matrix.isfinite().all():
        raise ValueError("layers must have finite weights, got NaN or infinity")
    wide, power = power_scaled(matrix.double(), (0, 1))
    values, vectors = torch.linalg.eigh(wide.T @ wide)
    rows = with_fixed_signs(vectors.flip(1).T)
    values = values.flip(0).clamp(min=0) * power[0] * power[0]
    return rows.to(matrix.dtype), values.to(matrix.dtype)
