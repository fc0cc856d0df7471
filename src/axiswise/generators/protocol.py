"""Optional attributes and methods of a generator, and their defaults.

A generator is a callable: latents (batch, latent) → images (batch, channel, height, width), each
image from its own latents alone. Its attributes and methods are optional, except for the first
where the caller does not give the number of latents:

- `latent_dim`: number of latents.
- `sample_latents(n, rng)`: latents (n, latent) distributed as in its training; standard normal if
  it has no such method.
- `sample_conditioning(z, rng)`: a dictionary of tensors with one row for each of the latents z,
  passed to the generator by keyword: classes, for example.
- `image_range`: lowest and highest value of a pixel; if it has none, (−1, 1) where an image has
  negative pixels, else (0, 1).
- `hold(z, subspace, **conditioning)`: a function of w (batch, stop − start), the images of z with
  the latents of that slice replaced by w. A generator with this method can compute once what does
  not depend on w.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from axiswise.support.precision import full_precision

ImageGenerator = Callable[..., Tensor]
_LARGEST = 2.0  # magnitude of a pixel whose range may be guessed


@runtime_checkable
class SamplesLatents(Protocol):
    """A generator with a distribution of latents of its own."""

    def sample_latents(self, n: int, rng: torch.Generator) -> Tensor:
        """Latents (n, latent)."""


@runtime_checkable
class SamplesConditioning(Protocol):
    """A generator that takes more than latents."""

    def sample_conditioning(self, z: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Keyword arguments, each with one row for each of the latents z."""


@runtime_checkable
class Holds(Protocol):
    """A generator that computes only once what does not depend on some of its latents."""

    def hold(self, z: Tensor, subspace: slice, **conditioning: Tensor) -> ImageGenerator:
        """Images as a function of the latents in the slice."""


def latent_dim_of(generator: object, given: int | None = None) -> int:
    """Number of latents of a generator: its own attribute, or the given number.

    Raises:
        ValueError: If neither is there, they differ, or it is no integer ≥ 1.
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
    """The device of a generator's first parameter or buffer; the CPU if it has none."""
    return _first_weight(generator).device


def draw(
    generator: ImageGenerator, latent_dim: int, n: int, rng: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Draw latents, and the conditioning that belongs to them.

    Args:
        generator: The generator.
        latent_dim: Its number of latents.
        n: Number of samples.
        rng: Source of randomness, on any device.

    Returns:
        (n, latent) on the generator's device, and keyword arguments for the generator.

    Raises:
        ValueError: If `sample_latents` or `sample_conditioning` returns something else.
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
            given = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"generator.sample_conditioning must return tensors with {n} rows, got {name!r}: "
                f"{given}"
            )
    return z, {name: value.to(weight.device) for name, value in conditioning.items()}


def in_unit_range(generator: object, images: Tensor) -> Tensor:
    """Images (batch, channel, height, width) of a generator in [0, 1], clipped to its range.

    Raises:
        ValueError: If `image_range` is no range, or is missing and cannot be guessed.
    """
    given = getattr(generator, "image_range", None)
    if given is None and images.abs().max() > _LARGEST:
        raise ValueError(
            "generator must have an attribute image_range, (low, high), where its pixels lie "
            f"neither in (0, 1) nor in (−1, 1), got {float(images.min()):.3g} to "
            f"{float(images.max()):.3g}"
        )
    low, high = given or (-1.0 if images.min() < 0 else 0.0, 1.0)
    if not low < high:
        raise ValueError(f"generator.image_range must be (low, high), got {(low, high)}")
    return ((full_precision(images) - low) / (high - low)).clamp(0, 1)


@contextmanager
def frozen(generator: object) -> Iterator[None]:
    """Within it, no gradients of an `nn.Module`'s weights are recorded."""
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
