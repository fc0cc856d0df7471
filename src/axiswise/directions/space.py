"""The latents that a search changes, and the batches at which it differentiates the generator."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from torch import Tensor, nn

from axiswise.generators import Holds, ImageGenerator, device_of, draw
from axiswise.jacobian import Jacobian, JacobianOperator, Method, described, flat_outputs
from axiswise.support.precision import full_precision

_ROUNDING = 1e-3  # share of the largest pixel; float32 through dozens of layers stays far below


@dataclass(frozen=True)
class SearchSpace:
    """The latents of a generator that directions are searched in.

    Attributes:
        generator: The generator.
        latent_dim: Its number of latents.
        subspace: The searched ones.
        derivative: "forward" for exact derivatives, "finite" for differences.
        epsilon: Step of the finite differences; None for 1e-3, of second derivatives 0.1.
        chunk_size: Bound on latents times directions differentiated at once, or None.
    """

    generator: ImageGenerator
    latent_dim: int
    subspace: slice
    derivative: Method = "forward"
    epsilon: float | None = None
    chunk_size: int | None = None

    @property
    def size(self) -> int:
        """Number of searched latents."""
        return cast(int, self.subspace.stop - self.subspace.start)

    @property
    def device(self) -> torch.device:
        """The generator's device."""
        return device_of(self.generator)

    def batches(self, count: int, along: int, rng: torch.Generator) -> "Iterator[LatentBatch]":
        """`count` latents drawn at random, in batches small enough for `chunk_size`.

        Args:
            count: Number of latents in all.
            along: Number of directions that each will be differentiated along.
            rng: Source of randomness.
        """
        z, conditioning = draw(self.generator, self.latent_dim, count, rng)
        most = count if self.chunk_size is None else self.chunk_size // along
        for rows in torch.arange(count, device=z.device).split(max(1, most)):
            given = {name: value[rows] for name, value in conditioning.items()}
            yield LatentBatch(self, z[rows], given)


@dataclass(frozen=True, eq=False)
class LatentBatch:
    """Latents at which the generator is differentiated in the searched directions.

    Attributes:
        space: The search space.
        z: (batch, latent).
        conditioning: Keyword arguments for the generator.
    """

    space: SearchSpace
    z: Tensor
    conditioning: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.z)

    @property
    def searched(self) -> Tensor:
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

    @cached_property
    def jacobian(self) -> Jacobian:
        """The Jacobian of the images in the searched latents."""
        return Jacobian(
            self.images_of, self.searched, self.space.derivative, epsilon=self.space.epsilon
        )

    def along(self, matrix: Tensor, amounts: Tensor | None = None) -> JacobianOperator:
        """The Jacobian along directions (direction, size), differentiable in them.

        Args:
            matrix: The directions.
            amounts: How far along each direction it is taken, (batch, direction); at the latents
                themselves if None.
        """
        if amounts is None:
            return self.jacobian.along(matrix)
        return Jacobian(
            lambda w: self.images_of(self.searched + w @ matrix.to(w)),
            amounts.to(self.searched),
            self.space.derivative,
            epsilon=self.space.epsilon,
        )

    @torch.no_grad()
    def columns(self) -> Tensor:
        """Columns of the Jacobian, (batch, size, output), without gradient.

        Raises:
            ValueError: If they are not finite.
            TypeError: If the generator returns several tensors.
        """
        # `hold` and closures fix the batch, so only the columns are split.
        together = self.space.size
        if self.space.chunk_size is not None:
            together = max(1, self.space.chunk_size // len(self))
        parts = []
        for index in torch.arange(self.space.size).split(together):
            part = self.jacobian.columns(index)
            if not isinstance(part, Tensor):
                raise TypeError(f"generator must return one tensor, got {len(part)}")
            if not part.isfinite().all():
                raise ValueError("generator must have finite derivatives, got NaN or infinity")
            parts.append(full_precision(flat_outputs(part)))
        return torch.cat(parts, 1)


def check_generator(space: SearchSpace, rng: torch.Generator) -> None:
    """Refuse, before a search, a generator that cannot be searched.

    Raises:
        ValueError: If the generator is in train mode where that matters, fails, returns images that
            are not finite, not of one shape or not the same for the same latents, or does not
            change with the searched latents; or if its `hold` returns other images.
        TypeError: If it returns anything else than one floating tensor.
        NotImplementedError: If it cannot be differentiated where it must be.
    """
    generator = space.generator
    if isinstance(generator, nn.Module) and (acting := _acts_in_training(generator)):
        raise ValueError(
            f"generator must be in eval mode, but its {acting} is in train mode: call .eval()"
        )
    z, conditioning = draw(generator, space.latent_dim, 2, rng)
    both = LatentBatch(space, z, conditioning)
    _check_images(both)
    try:
        columns = both.columns()
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
    if not columns.any():
        raise ValueError(
            "generator must change with the searched latents, but its derivatives are all zero; if "
            "it cannot be differentiated, use derivative='finite' with an epsilon large enough"
        )


@torch.no_grad()
def _check_images(both: LatentBatch) -> None:
    """Refuse images that change from call to call, or with the others in the batch."""
    first = {name: value[:1] for name, value in both.conditioning.items()}
    one = LatentBatch(both.space, both.z[:1], first)
    images, again, alone = (_images(batch) for batch in (both, both, one))
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
    generator = both.space.generator
    if isinstance(generator, Holds):
        whole = generator(both.z.clone(), **both.conditioning)
        if not _alike(images, whole):
            raise ValueError("generator.hold must return the images of the generator itself")


def _alike(images: Tensor, others: Tensor) -> bool:
    """Equal up to rounding, which on a GPU may differ from pass to pass."""
    if images.shape != others.shape:
        return False
    return bool((images - others).abs().max() <= _ROUNDING * images.abs().max())


def _images(batch: LatentBatch) -> Tensor:
    searched = batch.searched.clone()  # the first layer may work in place
    try:
        images = batch.images_of(searched)
    except Exception as error:  # anyone's code raises anything
        raise ValueError(
            f"generator must take latents {tuple(batch.z.shape)}, {searched.dtype}, on "
            f"{searched.device}, but raises {type(error).__name__}: {error}"
        ) from error
    if not isinstance(images, Tensor) or not images.is_floating_point():
        raise TypeError(f"generator must return one floating tensor, got {described(images)}")
    if images.dim() < 2 or len(images) != len(batch):
        raise ValueError(
            f"generator must return {len(batch)} images for {len(batch)} latents, got "
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
    """The type of a module that behaves differently because it is in train mode, if any."""
    for module in generator.modules():
        norm = getattr(module, "track_running_stats", False)
        if module.training and (norm or isinstance(module, _DROPOUTS)):
            return type(module).__name__
    return None
