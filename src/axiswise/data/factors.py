"""What the library asks of data: an :class:`ImageSource` to train on, or :class:`FactorData`.

Both are protocols: your own class needs these members and no base class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from axiswise.support.progress import Progress, no_progress


@runtime_checkable
class ImageSource(Protocol):
    """Images to train on, drawn in two steps.

    `draw` chooses which images, cheaply; `render` makes them. So several processes can draw the
    same whole batch from the same generator, and each renders only its share of it.
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channel, height, width) of every image."""
        ...

    def draw(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Choose `n` images at random.

        Args:
            n: Number of images, 0 or more.
            rng: Source of the randomness; None is torch's global generator on the CPU.

        Returns:
            Integers, (n, ...), on the device of `rng`.
        """
        ...

    def render(self, draws: Tensor, /) -> Tensor:
        """Make the images that `draw` chose.

        Args:
            draws: Rows of what `draw` returned, all or some, on any device.

        Returns:
            (n, channel, height, width), float32 in [0, 1], on the device of `draws`.
        """
        ...


@runtime_checkable
class FactorData(ImageSource, Protocol):
    """Images whose factors of variation are known: `draw` gives factors, `render` takes them."""

    @property
    def factor_sizes(self) -> tuple[int, ...]:
        """Number of values of each factor: factor i is an integer in 0 ... factor_sizes[i] − 1."""
        ...

    @property
    def factor_names(self) -> tuple[str, ...]:
        """A name for each factor."""
        ...

    def sample_factors(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Draw `n` rows of factors, each factor uniform and independent; the same as `draw`.

        Args:
            n: Number of rows, 0 or more.
            rng: Source of the randomness; None is torch's global generator on the CPU.

        Returns:
            (n, factor), int64, on the device of `rng`.
        """
        ...


@runtime_checkable
class Fetched(Protocol):
    """A source whose files may have to be fetched."""

    def is_here(self) -> bool | None:
        """Whether the files are on this computer; None where there are none to fetch."""
        ...


@runtime_checkable
class Loadable(Protocol):
    """A source whose images have to be read, downloaded or decoded before the first is rendered."""

    def load(self, progress: Progress = no_progress) -> object:
        """Make the images ready, if that has not been done."""
        ...


@runtime_checkable
class Settled(Protocol):
    """A source whose images decide some of its arguments, where they are left open."""

    def settled(self) -> dict[str, object]:
        """Those arguments by name, once the images have been read."""
        ...


def is_here(source: ImageSource) -> bool | None:
    """Whether the files of any source are on this computer; None where there are none to fetch."""
    return source.is_here() if isinstance(source, Fetched) else None


def load(source: ImageSource, progress: Progress = no_progress) -> None:
    """Make the images of any source ready, if that has not been done."""
    if isinstance(source, Loadable):
        source.load(progress)


def settled(source: ImageSource) -> dict[str, object]:
    """The arguments of any source that its images have decided, by name."""
    return source.settled() if isinstance(source, Settled) else {}


class Source:
    """The base of our data sets, with nothing to fetch or to read."""

    shape: tuple[int, int, int]

    def is_here(self) -> bool | None:
        """Whether the files are on this computer; None where there are none to fetch."""
        return None

    def load(self, progress: Progress = no_progress) -> object:
        """Make the images ready, if that has not been done."""


class KnownFactors(Source):
    """`sample_factors` and `draw` of data sets whose factors are uniform and independent."""

    factor_sizes: tuple[int, ...]
    factor_names: tuple[str, ...]
    unordered: tuple[str, ...] = ()  # names of factors whose many values have no order

    def sample_factors(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Draw `n` rows of factors: :func:`uniform_factors` of `factor_sizes`."""
        return uniform_factors(self.factor_sizes, n, rng)

    def draw(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Choose `n` images at random: `sample_factors`, once the images are ready."""
        self.load()
        return self.sample_factors(n, rng)


def uniform_factors(
    factor_sizes: Sequence[int], n: int, rng: torch.Generator | None = None
) -> Tensor:
    """Draw factors uniformly and independently.

    Args:
        factor_sizes: Number of values of each factor.
        n: Number of rows, 0 or more.
        rng: Source of the randomness; None is torch's global generator on the CPU.

    Returns:
        (n, factor), int64, column i in 0 ... factor_sizes[i] − 1, on the device of `rng`.

    Raises:
        ValueError: `n` is negative.
    """
    columns = [uniform_integers(size, n, rng) for size in factor_sizes]
    return torch.stack(columns, dim=1)


def uniform_integers(high: int, n: int, rng: torch.Generator | None = None) -> Tensor:
    """Draw `n` integers in 0 ... high − 1 with `rng`, on its device: (n,), int64."""
    if n < 0:
        raise ValueError(f"n must be 0 or more, got {n}")
    device = torch.device("cpu") if rng is None else rng.device
    return torch.randint(high, (n,), generator=rng, device=device, dtype=torch.int64)


def check_factors(factors: Tensor, factor_sizes: Sequence[int]) -> Tensor:
    """Check the factors that a caller gives to `render`; this waits for a CUDA device.

    Args:
        factors: (n, factor), any integer type, column i in 0 ... factor_sizes[i] − 1.
        factor_sizes: Number of values of each factor.

    Returns:
        The same factors as int64.

    Raises:
        TypeError: `factors` is not a tensor of integers.
        ValueError: `factors` has another shape, or a value out of range.
    """
    check_integers("factors", factors)
    if factors.ndim != 2 or factors.shape[1] != len(factor_sizes):
        raise ValueError(
            f"factors must have shape (n, {len(factor_sizes)}), one column for each factor, "
            f"got {tuple(factors.shape)}"
        )
    factors = factors.to(torch.int64)
    if len(factors) == 0:
        return factors
    lowest, highest = (int(value) for value in factors.aminmax())
    if lowest >= 0 and highest < min(factor_sizes):
        return factors
    for column, (values, size) in enumerate(zip(factors.unbind(1), factor_sizes, strict=True)):
        lowest, highest = (int(value) for value in values.aminmax())
        if lowest < 0 or highest >= size:
            raise ValueError(
                f"factors[:, {column}] must be in 0 ... {size - 1}, "
                f"got values from {lowest} to {highest}"
            )
    return factors


def check_integers(name: str, values: Tensor) -> None:
    """Refuse anything but a tensor of integers, with a TypeError."""
    if not isinstance(values, Tensor):
        raise TypeError(f"{name} must be a tensor of integers, got {type(values).__name__}")
    if values.dtype == torch.bool or values.is_floating_point() or values.is_complex():
        raise TypeError(f"{name} must be a tensor of integers, got {values.dtype}")
