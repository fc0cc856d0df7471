"""What a generator must offer for its latents to be searched, and what else it may.

A generator is a callable: latents (batch, latent) → images (batch, channel, height, width), each
sample's from its own latents alone. Of the attributes below it must have the first, unless the
number of latents is given with it; the others tell more where the defaults do not fit.

- `latent_dim`: number of latents.
- `sample_latents(n, rng)`: latents (n, latent) as the generator has seen them; standard normal if
  it has no such method.
- `sample_conditioning(z, rng)`: a dictionary of tensors with a row for each of these latents, that
  it is called with by keyword: classes, say.
- `image_range`: lowest and highest value of a pixel; if it has none, (−1, 1) where an image has
  negative pixels, and (0, 1) where none has.
- `hold(z, subspace, **conditioning)`: a function of w (batch, stop − start), the images of z with
  the latents of that slice replaced by w. A generator that offers it can compute everything once
  that does not depend on w.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from axiswise.jacobian import Method, flat_outputs, jacobian_columns, jacobian_products
from axiswise.support.precision import full_precision

ImageGenerator = Callable[..., Tensor]
_FARTHEST = 2.0  # a pixel of a generator whose range is guessed
_ROUNDING = 1e-3  # share of the largest pixel; float32 through dozens of layers stays far below


@runtime_checkable
class SamplesLatents(Protocol):
    """A generator that knows what its latents look like."""

    def sample_latents(self, n: int, rng: torch.Generator) -> Tensor:
        """Latents (n, latent)."""


@runtime_checkable
class SamplesConditioning(Protocol):
    """A generator that wants more than latents."""

    def sample_conditioning(self, z: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Keyword arguments, each with a row for each of the latents z."""


@runtime_checkable
class Holds(Protocol):
    """A generator that computes what does not depend on some of its latents only once."""

    def hold(self, z: Tensor, subspace: slice, **conditioning: Tensor) -> ImageGenerator:
        """Images as a function of the latents in the slice."""


def latent_dim_of(generator: object, given: int | None = None) -> int:
    """Number of latents of a generator.

    Args:
        generator: The generator.
        given: The number, where the generator does not say.

    Returns:
        It, ≥ 1.

    Raises:
        ValueError: If neither says, they differ, or it is no number of latents.
    """
    own = getattr(generator, "latent_dim", None)
    if own is None and given is None:
        raise ValueError(
            "latent_dim must be given, since the generator has no attribute of this name"
        )
    if own is not None and given is not None and own != given:
        raise ValueError(f"latent_dim must be the generator's own, {own}, got {given}")
    found = given if own is None else own
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ValueError(f"latent_dim must be an integer, at least 1, got {found!r}")
    return found


def device_of(generator: object) -> torch.device:
    """Where a generator works.

    Args:
        generator: The generator.

    Returns:
        The device of its first parameter or buffer; the CPU if it has none.
    """
    return _first_weight(generator).device


def draw(
    generator: ImageGenerator, latent_dim: int, n: int, rng: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Latents, and what the generator wants beside them.

    Args:
        generator: The generator.
        latent_dim: Its number of latents.
        n: How many.
        rng: Source of randomness, on any device.

    Returns:
        (n, latent) on the generator's device, and keyword arguments for it.

    Raises:
        ValueError: If what the generator samples does not fit.
    """
    weight = _first_weight(generator)
    if isinstance(generator, SamplesLatents):
        z = generator.sample_latents(n, rng)
        if not isinstance(z, Tensor) or z.shape != (n, latent_dim) or not z.is_floating_point():
            given = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
            raise ValueError(
                f"generator.sample_latents must return floating latents ({n}, {latent_dim}), "
                f"got {given}"
            )
        z = z.detach().to(weight.device)
    else:
        z = torch.randn(n, latent_dim, generator=rng, device=rng.device).to(weight)
    if not isinstance(generator, SamplesConditioning):
        return z, {}
    conditioning = generator.sample_conditioning(z, rng)
    if not isinstance(conditioning, dict):
        raise ValueError(
            "generator.sample_conditioning must return a dictionary of tensors, got "
            f"{type(conditioning).__name__}"
        )
    for name, value in conditioning.items():
        if not isinstance(value, Tensor) or value.shape[:1] != (n,):
            raise ValueError(
                f"generator.sample_conditioning must return tensors with {n} rows, {name!r} is none"
            )
    return z, {name: value.to(weight.device) for name, value in conditioning.items()}


def in_unit_range(generator: object, images: Tensor) -> Tensor:
    """Images as pictures have them.

    Args:
        generator: What made them; its `image_range` counts if it has one.
        images: (batch, channel, height, width).

    Returns:
        The same shape, in [0, 1]; what lies a little outside the range is cut off.

    Raises:
        ValueError: If the range is none, or has to be guessed and cannot be.
    """
    if getattr(generator, "image_range", None) is None and images.abs().max() > _FARTHEST:
        raise ValueError(
            "generator must have an attribute image_range, (low, high), where its pixels lie "
            f"neither in (0, 1) nor in (−1, 1), got {float(images.min()):.3g} to "
            f"{float(images.max()):.3g}"
        )
    low, high = getattr(generator, "image_range", None) or (-1.0 if images.min() < 0 else 0.0, 1.0)
    if not low < high:
        raise ValueError(f"generator.image_range must be (low, high), got {(low, high)}")
    return ((full_precision(images) - low) / (high - low)).clamp(0, 1)


@dataclass(frozen=True)
class SearchSpace:
    """The latents of a generator that directions are searched in.

    Attributes:
        generator: The generator.
        latent_dim: Its number of latents.
        subspace: The searched ones.
        derivative: "forward" for exact derivatives, "finite" for one-sided differences.
        epsilon: Step of the finite differences.
        chunk_size: Bound on the latents times directions in flight at once, or None.
    """

    generator: ImageGenerator
    latent_dim: int
    subspace: slice
    derivative: Method = "forward"
    epsilon: float = 1e-3
    chunk_size: int | None = None

    @property
    def size(self) -> int:
        """Number of searched latents."""
        return cast(int, self.subspace.stop - self.subspace.start)

    @property
    def device(self) -> torch.device:
        """Where the generator works."""
        return device_of(self.generator)

    def points(self, count: int, along: int, rng: torch.Generator) -> "Iterator[Point]":
        """Latents drawn at random, few enough at a time for `chunk_size`.

        Args:
            count: How many in all.
            along: How many directions each will be moved along.
            rng: Source of randomness.

        Yields:
            Points, of `count` latents together.

        Raises:
            ValueError: If what the generator samples does not fit.
        """
        z, conditioning = draw(self.generator, self.latent_dim, count, rng)
        most = count if self.chunk_size is None else self.chunk_size // along
        for rows in torch.arange(count, device=z.device).split(max(1, most)):
            yield Point(self, z[rows], {name: value[rows] for name, value in conditioning.items()})


@dataclass(frozen=True, eq=False)
class Point:
    """Latents at which the generator is differentiated in the searched directions.

    Attributes:
        space: What is searched.
        z: (batch, latent).
        conditioning: Keyword arguments for the generator.
    """

    space: SearchSpace
    z: Tensor
    conditioning: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.z)

    @property
    def here(self) -> Tensor:
        """The searched latents, (batch, size)."""
        return self.z[:, self.space.subspace]

    @cached_property
    def images_of(self) -> ImageGenerator:
        """Images as a function of the searched latents (batch, size)."""
        generator, subspace = self.space.generator, self.space.subspace
        if isinstance(generator, Holds):
            return generator.hold(self.z, subspace, **self.conditioning)
        if self.space.size == self.space.latent_dim and not self.conditioning:
            return generator  # as it is: it may be a plain stack
        before, after = self.z[:, : subspace.start], self.z[:, subspace.stop :]
        return lambda w: generator(torch.cat([before, w, after], 1), **self.conditioning)

    @torch.no_grad()
    def jacobian(self) -> Tensor:
        """Columns of the Jacobian, (batch, size, output), without gradient."""
        # What a closure holds is not split with the batch, so only the directions are.
        together = self.space.size
        if self.space.chunk_size is not None:
            together = max(1, self.space.chunk_size // len(self))
        parts = [
            jacobian_columns(
                self.images_of,
                self.here,
                columns,
                method=self.space.derivative,
                epsilon=self.space.epsilon,
            )
            for columns in torch.arange(self.space.size).split(together)
        ]
        return torch.cat([self._checked(part) for part in parts], 1)

    def products(self, probes: Tensor) -> Tensor:
        """What moving along probes does to the images, differentiable in the probes.

        Args:
            probes: (probe, batch, size).

        Returns:
            (probe, batch, output).
        """
        return self._checked(jacobian_products(self.images_of, self.here, probes))

    def _checked(self, derivatives: Tensor | tuple[Tensor, ...]) -> Tensor:
        if not isinstance(derivatives, Tensor):
            raise TypeError(f"generator must return one tensor, got {len(derivatives)}")
        if not derivatives.isfinite().all():
            raise ValueError("generator must have finite derivatives, got NaN or infinity")
        return full_precision(flat_outputs(derivatives))


def check_generator(space: SearchSpace, rng: torch.Generator) -> None:
    """Find out before a search what would spoil it.

    Args:
        space: What is to be searched.
        rng: Source of randomness.

    Raises:
        ValueError: If the generator is in train mode where that matters, fails, does not give
            finite images, always of one shape and the same for the same latents, or no searched
            latent changes them; or its `hold` gives others.
        TypeError: If it gives anything else than one floating tensor.
        NotImplementedError: If it cannot be differentiated where it must be.
    """
    generator = space.generator
    if isinstance(generator, nn.Module) and (acting := _acts_in_training(generator)):
        raise ValueError(
            f"generator must be in eval mode, but its {acting} is in train mode: call .eval()"
        )
    z, conditioning = draw(generator, space.latent_dim, 2, rng)
    point = Point(space, z, conditioning)
    one = Point(space, z[:1], {name: value[:1] for name, value in conditioning.items()})
    with torch.no_grad():
        images, again, alone = (_images(at) for at in (point, point, one))
    if images.shape[1:] != alone.shape[1:] or images.shape != again.shape:
        raise ValueError(
            "generator must return images of one shape, got "
            + ", ".join(str(tuple(found.shape)) for found in (images, again, alone))
        )
    if not _alike(images, again):
        raise ValueError(
            "generator must return the same images for the same latents: switch off its noise, or "
            "call .eval()"
        )
    if not _alike(images[:1], alone):
        raise ValueError(
            "generator must make each image from its own latents alone, but one that is made with "
            "others differs from the same made alone"
        )
    if isinstance(generator, Holds):
        with torch.no_grad():
            whole = generator(z.clone(), **conditioning)
        if not _alike(images, whole):
            raise ValueError("generator.hold must give the images of the generator itself")
    try:
        jacobian = point.jacobian()
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f"chunk_size must be smaller, since the memory is full, got {space.chunk_size}"
        ) from error
    except RuntimeError as error:  # NotImplementedError is one
        if space.derivative == "finite":
            raise
        raise NotImplementedError(
            "generator must be differentiable, unless derivative='finite': "
            + str(error).replace("method=", "derivative=")
        ) from error
    if not jacobian.any():
        raise ValueError(
            "generator must change with the searched latents, but its derivatives are all zero; if "
            "it cannot be differentiated, use derivative='finite' with an epsilon large enough"
        )


def _alike(images: Tensor, others: Tensor) -> bool:
    """But for rounding, which on a GPU may differ from pass to pass."""
    if images.shape != others.shape:
        return False
    return bool((images - others).abs().max() <= _ROUNDING * images.abs().max())


def _images(point: Point) -> Tensor:
    here = point.here.clone()  # its first layer may work in place
    try:
        images = point.images_of(here)
    except Exception as error:  # anyone's code raises anything
        raise ValueError(
            f"generator must take latents {tuple(point.z.shape)}, {here.dtype}, on {here.device}, "
            f"but raises {type(error).__name__}: {error}"
        ) from error
    if not isinstance(images, Tensor) or not images.is_floating_point():
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"generator must return one floating tensor, got {kind}")
    if images.dim() < 2 or len(images) != len(point):
        raise ValueError(
            f"generator must return {len(point)} images for {len(point)} latents, got "
            f"{tuple(images.shape)}"
        )
    if not images.isfinite().all():
        raise ValueError("generator must return finite images, got NaN or infinity")
    return images


_DROPOUTS = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)


def _acts_in_training(generator: nn.Module) -> str | None:
    """A module that behaves differently because it is in train mode, if there is one."""
    for module in generator.modules():
        norm = getattr(module, "track_running_stats", False)
        if module.training and (norm or isinstance(module, _DROPOUTS)):
            return type(module).__name__
    return None


@contextmanager
def frozen(generator: object) -> Iterator[None]:
    """Within it, no gradients of a generator's weights are recorded: only directions are learned.

    Args:
        generator: The generator; what is no `nn.Module` stays as it is.
    """
    learned = [p for p in _parameters(generator) if p.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)


def _parameters(generator: object) -> Iterator[nn.Parameter]:
    return generator.parameters() if isinstance(generator, nn.Module) else iter(())


def _first_weight(generator: object) -> Tensor:
    if isinstance(generator, nn.Module):
        for weight in itertools.chain(generator.parameters(), generator.buffers()):
            if weight.is_floating_point():
                return weight
    return torch.zeros(())
