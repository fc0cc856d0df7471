"""What metrics of generators share: random numbers, small networks to train, checked images."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from axiswise.jacobian import described
from axiswise.metrics.declaration import Subject
from axiswise.nets import Generator, ProgressiveGenerator

ImageGenerator = Callable[[Tensor], Tensor]
Network = TypeVar("Network", bound=nn.Module)


def device_of(rng: torch.Generator | None) -> torch.device:
    """Returns where random numbers are drawn: the CPU if `rng` is None."""
    return torch.device("cpu") if rng is None else rng.device


@contextmanager
def seeded(rng: torch.Generator | None) -> Iterator[None]:
    """Makes what draws from torch's global state on the CPU depend on `rng` and nothing else."""
    seed = torch.randint(2**31, (1,), generator=rng, device=device_of(rng))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(seed))
        yield


def seeded_network(
    build: Callable[[], Network], rng: torch.Generator | None, device: torch.device
) -> Network:
    """Returns a network on `device`, its initial weights drawn from `rng` and nothing else."""
    with seeded(rng):
        network = build()
    # Channels last makes the convolutions of both kinds of device faster.
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def published_images(run: Subject) -> ImageGenerator:
    """Images in [-1, 1] of a run's latents, as OroJaR's scores of them take them.

    They are not clipped, and a progressive generator does not bring its latents to mean square 1.
    """
    generator = run.generator
    if isinstance(generator, ProgressiveGenerator) and generator.normalize_latents:
        generator = copy(generator)  # with the same weights
        generator.normalize_latents = False
    if isinstance(generator, Generator):
        return lambda z: generator(z).float()
    return lambda z: 2 * run.generate(z) - 1


def checked_images(images: Tensor, rows: int) -> Tensor:
    """Returns the generator's images of so many latents: floating and finite."""
    if not isinstance(images, Tensor) or images.dim() != 4 or images.shape[0] != rows:
        given = tuple(images.shape) if isinstance(images, Tensor) else described(images)
        raise ValueError(
            f"generator must give images ({rows}, channel, height, width) for {rows} latents, "
            f"got {given}"
        )
    if not images.is_floating_point():
        raise TypeError(f"generator must give floating images, got {images.dtype}")
    if not images.isfinite().all():
        raise ValueError("generator must give finite images, got NaN or infinity")
    return images
