"""SeFa: closed-form directions from a generator's first layer (Shen & Zhou, CVPR 2021)."""

import torch
from torch import Tensor, nn

from axiswise.directions.folding import latent_matrix


def sefa(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Directions that a layer stretches most: the eigenvectors of AᵀA (arXiv 2007.06600, Eq. 7).

    Args:
        layer: The layer that takes the latents, an `nn.Linear`, or an `nn.Conv2d` or
            `nn.ConvTranspose2d` whose channels they are; A is its weight, (output, latent).

    Returns:
        The directions, (latent, latent), orthonormal rows, of the largest eigenvalue first, each
        with its largest entry positive; and the eigenvalues, (latent,), ≥ 0. In the weight's type.

    Raises:
        TypeError: If the layer is of another kind.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 2, bias=False)
        >>> layer.weight.data = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
        >>> directions, eigenvalues = sefa(layer)
        >>> directions.tolist(), eigenvalues.tolist()
        ([[0.0, 1.0], [1.0, 0.0]], [9.0, 1.0])
    """
    matrix = latent_matrix(layer).detach().double()
    values, vectors = torch.linalg.eigh(matrix.T @ matrix)
    rows = vectors.flip(1).T
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    rows = rows * largest.sign()  # a direction and its opposite are one: fix which
    kind = next(layer.parameters()).dtype
    return (rows + 0.0).to(kind), values.flip(0).clamp(min=0).to(kind)
