"""What any Jacobian offers, be it a generator's, of some directions, or at hand as columns."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from axiswise.jacobian.checks import check_rows, checked_columns
from axiswise.support.precision import full_precision

Derivatives = Tensor | tuple[Tensor, ...]
Index = Int[Tensor, " k"] | Int[Tensor, "batch k"] | Sequence[int]
Latents = Float[Tensor, "batch *latent"]
Probes = Float[Tensor, "probe batch *latent"]
Directions = Float[Tensor, "direction *latent"]
# Of one tensor, or of each of several.
Products = Float[Tensor, "probe batch ..."] | tuple[Float[Tensor, "probe batch ..."], ...]
Columns = Float[Tensor, "batch k ..."] | tuple[Float[Tensor, "batch k ..."], ...]
Grams = Float[Tensor, "batch k k"] | tuple[Float[Tensor, "batch k k"], ...]
Pulled = Float[Tensor, "probe batch *latent"]


class JacobianOperator(ABC):
    """A Jacobian for each sample of a batch, (*output) × (*latent), known by what it does.

    Attributes:
        shape: (batch, *latent).
        dtype: Of the latents.
        device: Of the latents.
        weights: How much each of several tensors counts in a penalty's sum; None for all alike.
    """

    shape: torch.Size
    dtype: torch.dtype
    device: torch.device
    weights: tuple[float, ...] | None = None

    @property
    def batch(self) -> int:
        """Number of samples."""
        return self.shape[0]

    @property
    def latent(self) -> int:
        """Number of latents, whatever their shape."""
        return math.prod(self.shape[1:])

    @abstractmethod
    def products(self, probes: Probes, *, step: float = 1e-3) -> Products:
        """Products Jv with probes v, (probe, batch, *latent) → (probe, batch, *output)."""

    @abstractmethod
    def curvatures(self, probes: Probes, *, step: float = 0.1) -> Products:
        """Second derivatives vᵀHv of each output along probes v, (probe, batch, *output)."""

    @abstractmethod
    def transposed_products(self, probes: Tensor | Sequence[Tensor]) -> Pulled:
        """Products Jᵀu, (probe, batch, *output) → (probe, batch, *latent)."""

    @abstractmethod
    def along(self, directions: Directions) -> "JacobianOperator":
        """The Jacobian of w ↦ G(z + wA) at w = 0 for directions A, (direction, *latent)."""

    def columns(self, index: Index | None = None, *, step: float = 1e-3) -> Columns:
        """Columns of the Jacobian: what an infinitesimal change of each latent does.

        Args:
            index: Which columns, counted over *latent in C order: (k,), or (batch, k) for each
                sample its own; None for all.
            step: Of finite differences, where the Jacobian has no epsilon of its own.

        Returns:
            (batch, k, *output); a tuple of such where the generator returns several tensors.
        """
        return self.columns_at(self.checked_index(index), step=step)

    def columns_at(self, index: Int[Tensor, "batch k"] | None, *, step: float = 1e-3) -> Columns:
        """The same for indices that are known to be right; None for all."""
        products = self.products(self.unit_probes(index), step=step)
        return each(products, lambda product: product.transpose(0, 1))

    def gram(self) -> Grams:
        """Gram matrix JᵀJ of the columns, (batch, latent, latent); a tuple for several tensors."""
        return each(self.columns(), gram)

    def unit_probes(self, index: Int[Tensor, "batch k"] | None) -> Float[Tensor, "k batch *latent"]:
        """Probes (k, batch, *latent) whose products are the columns of (batch, k); None: all."""
        flat = torch.eye(self.latent, dtype=self.dtype, device=self.device)
        units: Tensor = flat.unflatten(1, self.shape[1:])
        if index is None:
            return units[:, None].expand(-1, self.batch, *self.shape[1:])
        return units[index.T]

    def checked_index(self, index: Index | None) -> Int[Tensor, "batch k"] | None:
        """A user's indices of columns as (batch, k)."""
        return checked_columns(index, self.batch, self.latent, self.device)


class Along(JacobianOperator):
    """A Jacobian times the transposed directions, that of w ↦ G(z + wA) at w = 0.

    Attributes:
        jacobian: That of the generator at z.
        directions: A, (direction, *latent).
    """

    def __init__(self, jacobian: JacobianOperator, directions: Directions) -> None:
        _check_directions(directions, jacobian.shape)
        self.jacobian = jacobian
        self.directions = directions.to(jacobian.device, jacobian.dtype)
        self.shape = torch.Size((jacobian.batch, len(directions)))
        self.dtype, self.device = jacobian.dtype, jacobian.device
        self.weights = jacobian.weights

    def products(self, probes: Probes, *, step: float = 1e-3) -> Products:
        """See `JacobianOperator.products`."""
        return self.jacobian.products(self._combined(probes), step=step)

    def curvatures(self, probes: Probes, *, step: float = 0.1) -> Products:
        """See `JacobianOperator.curvatures`."""
        return self.jacobian.curvatures(self._combined(probes), step=step)

    def transposed_products(self, probes: Tensor | Sequence[Tensor]) -> Pulled:
        """See `JacobianOperator.transposed_products`."""
        pulled = self.jacobian.transposed_products(probes)
        return pulled.flatten(2) @ self.directions.flatten(1).T

    def columns_at(self, index: Int[Tensor, "batch k"] | None, *, step: float = 1e-3) -> Columns:
        """See `JacobianOperator.columns_at`."""
        products = self.jacobian.products(self.chosen(index), step=step)
        return each(products, lambda product: product.transpose(0, 1))

    def along(self, directions: Directions) -> "Along":
        """See `JacobianOperator.along`."""
        _check_directions(directions, self.shape)
        return Along(
            self.jacobian, torch.tensordot(directions.to(self.directions), self.directions, 1)
        )

    def chosen(self, index: Int[Tensor, "batch k"] | None) -> Float[Tensor, "k batch *latent"]:
        """Directions by their indices, (batch, k) → (k, batch, *latent); None for all."""
        if index is None:
            return self.directions[:, None].expand(-1, *self.jacobian.shape)
        return self.directions[index.T]

    def _combined(self, probes: Tensor) -> Tensor:
        check_rows(probes, self.shape)
        flat = probes.to(self.directions) @ self.directions.flatten(1)
        combined: Tensor = flat.unflatten(2, self.jacobian.shape[1:])
        return combined


class KnownJacobian(JacobianOperator):
    """A Jacobian whose columns are at hand: all that is linear is read off them.

    Args:
        columns: (batch, latent, *output), floating.

    Raises:
        ValueError: If columns has fewer than two axes or an empty one.

    Example:
        >>> import torch, axiswise as aw
        >>> known = aw.KnownJacobian(aw.jacobian_columns(torch.sin, torch.randn(2, 3)))
        >>> float(aw.orojar_penalty(known.along(torch.eye(3))))
        0.0
    """

    def __init__(self, columns: Float[Tensor, "batch latent ..."]) -> None:
        if columns.dim() < 2 or 0 in columns.shape:
            raise ValueError(
                "columns must be (batch, latent, *output), no axis empty, "
                f"got {tuple(columns.shape)}"
            )
        self._columns = columns
        self.shape, self.dtype, self.device = columns.shape[:2], columns.dtype, columns.device

    def products(
        self,
        probes: Probes,
        *,
        step: float = 1e-3,  # noqa: ARG002
    ) -> Float[Tensor, "probe batch ..."]:
        """See `JacobianOperator.products`."""
        check_rows(probes, self.shape)
        return torch.einsum("pbl,bl...->pb...", probes.to(self._columns), self._columns)

    def curvatures(self, probes: Probes, *, step: float = 0.1) -> Products:  # noqa: ARG002
        """Refused: columns at hand say nothing of second derivatives."""
        raise TypeError("generator must be given for second derivatives, got a KnownJacobian")

    def transposed_products(self, probes: Tensor | Sequence[Tensor]) -> Pulled:
        """See `JacobianOperator.transposed_products`."""
        (u,) = (probes,) if isinstance(probes, Tensor) else probes
        return torch.einsum(
            "pbo,blo->pbl", flat_outputs(u.to(self._columns)), flat_outputs(self._columns)
        )

    def columns_at(
        self,
        index: Int[Tensor, "batch k"] | None,
        *,
        step: float = 1e-3,  # noqa: ARG002
    ) -> Columns:
        """See `JacobianOperator.columns_at`."""
        if index is None:
            # A view for each caller, whose gradients are then summed before those of another.
            return self._columns[:]
        return self._columns[torch.arange(self.batch, device=self.device)[:, None], index]

    def along(self, directions: Directions) -> "KnownJacobian":
        """See `JacobianOperator.along`."""
        _check_directions(directions, self.shape)
        moved = torch.einsum("ds,bs...->db...", directions.to(self._columns), self._columns)
        return KnownJacobian(moved.transpose(0, 1))


def _check_directions(directions: Tensor, shape: torch.Size) -> None:
    check_rows(directions, shape[1:], "directions must be (direction, *latent)")


def each(derivatives: Derivatives, of_one: Callable[[Tensor], Tensor]) -> Derivatives:
    """The same for each activation of a generator that returns several."""
    if isinstance(derivatives, Tensor):
        return of_one(derivatives)
    return tuple(of_one(derivative) for derivative in derivatives)


def gram(columns: Float[Tensor, "batch k ..."]) -> Float[Tensor, "batch k k"]:
    """Inner products of columns that are at hand, (batch, k, *output) → (batch, k, k)."""
    # Without this, bfloat16 autocast would round inner products of thousands of terms.
    with torch.autocast(columns.device.type, enabled=False):
        flat = full_precision(flat_outputs(columns))
        return flat @ flat.transpose(1, 2)


def flat_outputs(derivatives: Float[Tensor, "a b ..."]) -> Float[Tensor, "a b output"]:
    """All axes of the output in one, of length 1 if there was none, in the memory's order."""
    if derivatives.dim() == 5 and derivatives.stride(2) == 1:  # channels last
        derivatives = derivatives.movedim(2, 4)
    return derivatives.flatten(2) if derivatives.dim() > 2 else derivatives[..., None]
