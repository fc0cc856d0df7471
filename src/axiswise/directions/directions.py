"""What a search for directions returns: a matrix that is saved, restricted and applied."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from axiswise.nets.pretrained import digest_of
from axiswise.support.files import UnreadableFileError, write_atomically
from axiswise.support.locks import owning
from axiswise.support.precision import power_scaled
from axiswise.support.reading import read_json
from axiswise.support.tensors import load_safetensors, load_tensors

MATRIX = "directions.safetensors"
SETTINGS = "directions.json"
IMPORTANCE_UNIT = "L2 change of the image per unit of latent"


@dataclass(frozen=True, eq=False)
class Directions:
    """Directions in the latents of a generator.

    Attributes:
        matrix: (direction, latent), floating, a direction in each row; of length 1 if a search
            found it.
        importance: (direction,), ≥ 0, or NaN where it is not known: the effect on the image, in
            `importance_unit`: the mean length of the Jacobian's column along it.
        method: Name of the method that found them.
        settings: Of that method, and of the search: plain JSON values.
        importance_unit: Unit of `importance`.
    """

    matrix: Tensor
    importance: Tensor
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    importance_unit: str = IMPORTANCE_UNIT

    def __post_init__(self) -> None:
        if self.matrix.dim() != 2 or 0 in self.matrix.shape or not self.matrix.is_floating_point():
            raise ValueError(
                "matrix must be (direction, latent), floating, neither empty, got "
                f"{tuple(self.matrix.shape)}, {self.matrix.dtype}"
            )
        if not self.matrix.isfinite().all() or not self.matrix.any(1).all():
            raise ValueError("matrix must be finite, with no row of zeros")
        if self.importance.shape != self.matrix.shape[:1]:
            raise ValueError(
                f"importance must have one entry for each of the {len(self.matrix)} directions, "
                f"got {tuple(self.importance.shape)}"
            )
        if (self.importance < 0).any() or self.importance.isinf().any():
            raise ValueError("importance must be ≥ 0 and finite, or NaN where it is not known")

    def __len__(self) -> int:
        return len(self.matrix)

    @property
    def latent_dim(self) -> int:
        """Number of latents of the generator."""
        return self.matrix.shape[1]

    @property
    def digest(self) -> str:
        """SHA-256 over matrix and importance, in hexadecimal."""
        return digest_of({"matrix": self.matrix, "importance": self.importance})

    def apply(self, z: Tensor, index: int, amount: float | Tensor) -> Tensor:
        """Change latents along one direction.

        Args:
            z: Latents, (batch, latent).
            index: Which direction, 0…direction − 1.
            amount: How far, in units of latent; one number, or (batch,).

        Returns:
            (batch, latent).

        Raises:
            ValueError: If z or amount has another shape.
            IndexError: If there is no such direction.

        Example:
            >>> import torch, axiswise as aw
            >>> found = aw.find_directions(torch.nn.Linear(2, 3), "coordinates", latent_dim=2)
            >>> (found.apply(torch.zeros(1, 2), 0, 3.0)).abs().sum()
            tensor(3.)
        """
        self._check_latents(z)
        amounts = torch.as_tensor(amount, dtype=z.dtype, device=z.device)
        if amounts.dim() and amounts.shape != z.shape[:1]:
            raise ValueError(
                f"amount must be a number or ({len(z)},), got shape {tuple(amounts.shape)}"
            )
        return z + amounts.expand(len(z))[:, None] * self._rows([index]).to(z)

    def traverse(
        self,
        z: Tensor,
        indices: Sequence[int] | None = None,
        *,
        extent: float = 5.0,
        steps: int = 11,
        centre: bool = True,
    ) -> Tensor:
        """Latents from −extent to +extent along each direction.

        Args:
            z: Latents to start from, (batch, latent).
            indices: Which directions; None for all.
            extent: How far to either side, in units of latent, > 0; 5 as published.
            steps: Number of steps, at least 2.
            centre: Remove the component of z along the direction first, as published, so that all
                samples have the same component in the same step.

        Returns:
            (batch, direction, step, latent).

        Raises:
            ValueError: If an argument is out of range, or z has another width.
            IndexError: If there is no such direction.
        """
        self._check_latents(z)
        if not extent > 0:
            raise ValueError(f"extent must be > 0, got {extent}")
        if steps < 2:
            raise ValueError(f"steps must be at least 2, got {steps}")
        rows = self._rows(range(len(self)) if indices is None else indices).to(z)
        start = z[:, None].expand(-1, len(rows), -1)
        if centre:
            unit = unit_rows(rows)
            start = start - torch.einsum("bl,dl->bd", z, unit)[..., None] * unit
        amounts = torch.linspace(-extent, extent, steps, dtype=z.dtype, device=z.device)
        return start[:, :, None] + amounts[:, None] * rows[:, None]

    def restrict(self, indices: int | Sequence[int]) -> Self:
        """Some of the directions, in the given order; or the first n.

        Raises:
            ValueError: If none are named, or one is named twice.
            IndexError: If there is no such direction.
        """
        chosen = list(range(indices)) if isinstance(indices, int) else list(indices)
        if not chosen or len(set(chosen)) < len(chosen):
            raise ValueError(f"indices must name different directions, got {chosen}")
        return replace(self, matrix=self._rows(chosen), importance=self.importance[chosen])

    def save(self, folder: str | Path) -> None:
        """Write `directions.safetensors` and then `directions.json` into a folder, made if missing.

        Raises:
            BusyError: If another process writes into the folder.
            OSError: If it cannot be written.
            TypeError: If a setting is no JSON value; nothing is written then.
        """
        from safetensors.torch import save

        folder = Path(folder)
        tensors = {"matrix": self.matrix, "importance": self.importance}
        about = {
            "method": self.method,
            "settings": dict(self.settings),
            "importance_unit": self.importance_unit,
            "sha256": self.digest,
        }
        weights = {name: value.cpu().contiguous() for name, value in tensors.items()}
        written = (json.dumps(about, indent=2) + "\n").encode()  # first, since it may fail
        with owning(folder):
            write_atomically(folder / MATRIX, save(weights))
            write_atomically(folder / SETTINGS, written)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The directions, on the CPU, that `save` wrote into a folder.

        Raises:
            FileNotFoundError: If a file is missing.
            UnreadableFileError: If one is damaged or something else.
        """
        folder = Path(folder)
        try:
            tensors = load_safetensors(folder / MATRIX)
            about = read_json(folder / SETTINGS)
            found = cls(
                tensors["matrix"],
                tensors["importance"],
                str(about["method"]),
                dict(about["settings"]),
                str(about["importance_unit"]),
            )
            if about.get("sha256", found.digest) != found.digest:
                raise ValueError(f"{MATRIX} is not what {SETTINGS} was written with")
            return found
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UnreadableFileError(f"{folder} has no directions of axiswise: {error}") from error

    def _rows(self, indices: Sequence[int]) -> Tensor:
        for index in indices:
            if not 0 <= index < len(self):
                raise IndexError(f"index must be between 0 and {len(self) - 1}, got {index}")
        return self.matrix[list(indices)]

    def _check_latents(self, z: Tensor) -> None:
        if z.dim() != 2 or z.shape[1] != self.latent_dim or not z.is_floating_point():
            raise ValueError(
                f"z must be (batch, {self.latent_dim}), floating, got {tuple(z.shape)}, {z.dtype}"
            )


def load_published(
    path: str | Path, latent_dim: int = 120, start: int = 0, *, orthonormal: bool = True
) -> Directions:
    """Directions in the format of OroJaR's and the Hessian Penalty's BigGAN experiments.

    The file has a matrix that is not orthonormal: its rows are made so by Gram and Schmidt's way,
    and filled up with zeros on both sides, as their authors do before they use it.

    Args:
        path: A `.pt` file with a float tensor and nothing else, (direction, latent), of at least as
            many columns as rows: (120, 120), or (40, 40) for a third of z.
        latent_dim: Number of latents of the generator.
        start: First searched latent: 0, 40 or 80 for the coarse, mid and fine third.
        orthonormal: Make the rows orthonormal. Otherwise the matrix is as it is, of any number of
            rows and of any lengths: what a search with `--no_ortho` wrote, or the directions of
            Voynov & Babenko that come with the Hessian Penalty's.

    Returns:
        The directions; their importance is not in the file and is NaN.

    Raises:
        UnreadableFileError: If the file has anything else; code in it is not run.
        ValueError: If it does not fit `latent_dim` and `start`.
        OSError: If it cannot be read.
    """
    found = load_tensors(path)
    try:
        matrix = _published_matrix(found, orthonormal)
    except Exception as error:  # a sparse tensor, say, or one of eight bits, lacks operations
        raise UnreadableFileError(f"{path} has something else than directions: {error}") from error
    rows, width = matrix.shape
    if start < 0 or start + width > latent_dim:
        raise ValueError(f"start must leave room for {width} of {latent_dim} latents, got {start}")
    padded = torch.nn.functional.pad(matrix, (start, latent_dim - start - width))
    settings = {"file": Path(path).name, "subspace": [start, start + width]}
    return Directions(padded, torch.full((rows,), torch.nan), "published", settings)


def _published_matrix(found: object, orthonormal: bool) -> Tensor:
    if not isinstance(found, Tensor) or found.dim() != 2 or not found.is_floating_point():
        raise ValueError("it must be a float tensor (direction, latent)")
    matrix = found.detach().float()
    if not orthonormal:  # `Directions` refuses what has none, or zeros
        return matrix
    if not 0 < len(matrix) <= matrix.shape[1] or not matrix.isfinite().all():
        raise ValueError(f"it must be finite, its rows independent, got {tuple(matrix.shape)}")
    return orthonormalized(matrix)


def orthonormalized(matrix: Tensor) -> Tensor:
    """Orthonormal rows, each from the row it replaces and those before it (Gram and Schmidt).

    Raises:
        ValueError: If the rows are not independent.
    """
    q, r = torch.linalg.qr(matrix.double().T)
    diagonal = r.diagonal()
    if not diagonal.abs().min() > 1e-10 * diagonal.abs().max():  # so that NaN is refused too
        raise ValueError("matrix must have independent rows")
    return (q * diagonal.sign()).T.to(matrix.dtype)  # type: ignore[no-any-return]


def unit_rows(matrix: Tensor) -> Tensor:
    """Rows of any length but 0, each brought to length 1."""
    near, _ = power_scaled(matrix, 1)
    return near / near.norm(dim=1, keepdim=True)  # type: ignore[no-any-return]


def with_fixed_signs(matrix: Tensor) -> Tensor:
    """Each row or its opposite, so that its largest entry is positive: a direction is both."""
    largest = matrix.gather(1, matrix.abs().argmax(1, keepdim=True))
    return matrix * largest.sign() + 0.0
