"""Perceptual path length: how much an image changes while its latents change a little."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from axiswise.metrics._generators import ImageGenerator, checked_images, device_of
from axiswise.metrics.declaration import Subject, metric
from axiswise.metrics.features import resized_as_published
from axiswise.support.checks import check_count
from axiswise.support.precision import equal_up_to_rounding, exact_convolutions
from axiswise.support.progress import Progress, no_progress

Distance = Callable[[Tensor, Tensor], Tensor]

_PUBLISHED = 100_000  # paths


def perceptual_path_length(
    generator: ImageGenerator,
    latent_dim: int,
    distance: Distance,
    *,
    samples: int = 10_000,
    epsilon: float = 1e-4,
    discard: float = 0.01,
    published: bool = False,
    rng: torch.Generator | None = None,
    batch_size: int = 16,
    progress: Progress = no_progress,
) -> float:
    """Measures how fast images change along paths between latents.

    A path between a pair of standard-normal latents turns at constant speed from one direction to
    the other, and its length changes linearly. At a uniform place t of each, the distance between
    the images at t and t + epsilon, over epsilon²; mean without the smallest and the largest.

    Source: full paths in z of Karras et al., CVPR 2019, arXiv 1812.04948, with 100,000 samples. The
    path is computed in float64, images in float32: an epsilon below 1e-5 loses more than it gains.

    Args:
        generator: Latents to images; both ends of a step are in the same batch.
        latent_dim: The number of latents, at least 2.
        distance: Takes two batches of images, returns a squared distance for each pair, (batch,),
            such as LPIPS: see `axiswise.metrics.features`.
        samples: The number of paths, each with one place.
        epsilon: The step along the path, whose length is 1, above 0.
        discard: The share that is left out at each end, from 0 to below 0.5.
        published: Whether paths are those of OroJaR's and the Hessian Penalty's code: between the
            latents scaled to unit length, and each at its place 0.

    Returns:
        The length, at least 0.

    Example:
        >>> import torch
        >>> paint = lambda z: z[:, :, None, None]
        >>> squared = lambda a, b: (a - b).square().sum((1, 2, 3))
        >>> rng = torch.Generator().manual_seed(0)
        >>> 3 < perceptual_path_length(paint, 2, squared, samples=1000, rng=rng) < 7
        True
    """
    latent_dim = check_count("latent_dim", latent_dim, 2)
    samples = check_count("samples", samples, 1)
    batch_size = check_count("batch_size", batch_size, 1)
    if not (epsilon > 0 and math.isfinite(epsilon)):
        raise ValueError(f"epsilon must be finite and above 0, got {epsilon}")
    if not 0 <= discard < 0.5:
        raise ValueError(f"discard must be from 0 to below 0.5, got {discard}")
    shape, device = (2, samples, latent_dim), device_of(rng)
    start, end = torch.randn(shape, generator=rng, device=device, dtype=torch.float64)
    at = torch.rand(samples, 1, generator=rng, device=device, dtype=torch.float64)
    if published:
        start, end, at = F.normalize(start, dim=1), F.normalize(end, dim=1), torch.zeros_like(at)
    steps = torch.stack([_on_path(start, end, t) for t in (at, at + epsilon)]).float()
    lengths = []
    with torch.no_grad(), exact_convolutions():
        for done in range(0, samples, batch_size):
            z = steps[:, done : done + batch_size].flatten(0, 1)
            images = checked_images(generator(z), len(z))
            if done == 0 and not equal_up_to_rounding(images, generator(z)):
                raise ValueError(
                    "generator must give the same images for the same latents, since ends of small "
                    "steps are compared: switch off its noise, or call .eval()"
                )
            first, second = images.chunk(2)
            squares = distance(first, second)
            if squares.shape != (len(first),):
                raise ValueError(
                    f"distance must give one number for each of {len(first)} pairs of images, "
                    f"got {tuple(squares.shape)}"
                )
            if squares.is_complex() or not squares.isfinite().all():
                raise ValueError("distance must give finite real numbers, got others")
            lengths.append(squares.double() / epsilon**2)
            progress(min(done + batch_size, samples), samples)
    return _mean_without_ends(torch.cat(lengths), discard)


@metric("ppl", usual="generator", needs=["distances"], settings={"samples": "paths"})
def ppl_of_run(run: Subject, samples: int) -> dict[str, float]:
    """Measures how fast images change along paths between latents; named after the features."""
    return {f"ppl_{run.features.name}": _of_run(run, run.features.distance, samples)}


@metric("ppl_published", usual="by name", needs=["distances"])
def published_ppl_of_run(run: Subject) -> dict[str, float]:
    """Measures path lengths as OroJaR's authors do: 100,000 steps from latents of unit length.

    Images are brought to 256 pixels: smaller ones by bilinear interpolation, larger ones by means.
    """

    def distance(first: Tensor, second: Tensor) -> Tensor:
        found: Tensor = run.features.distance(brought_to_256(first), brought_to_256(second))
        return found

    length = _of_run(run, distance, _PUBLISHED, published=True)
    return {f"ppl_published_{run.features.name}": length}


def brought_to_256(images: Tensor) -> Tensor:
    """Images as the authors show them to VGG: smaller ones enlarged, larger ones averaged."""
    side = images.shape[-1]
    return resized_as_published(images, 256) if side < 256 else F.avg_pool2d(images, side // 256)


def _of_run(run: Subject, distance: Distance, samples: int, **options: Any) -> float:
    return perceptual_path_length(
        run.generate,
        run.latent_dim,
        distance,
        samples=samples,
        rng=run.rng(),
        progress=run.start_bar("perceptual path length"),
        **options,
    )


def _mean_without_ends(values: Tensor, discard: float) -> float:
    """The mean of what is between two percentiles, these and all that is equal included."""
    ordered, last = values.sort().values, len(values) - 1
    low, high = math.floor(discard * last), math.ceil((1 - discard) * last)
    return float(ordered[(ordered >= ordered[low]) & (ordered <= ordered[high])].mean())


def _on_path(start: Tensor, end: Tensor, at: Tensor) -> Tensor:
    """Returns the places (path, latent) at `at` (path, 1), 0 at `start` and 1 at `end`."""
    here, there = F.normalize(start, dim=1), F.normalize(end, dim=1)
    cosine = (here * there).sum(1, keepdim=True).clamp(-1, 1)
    across = F.normalize(there - cosine * here, dim=1)
    angle = at * cosine.acos()
    length = torch.lerp(start.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True), at)
    return length * (here * angle.cos() + across * angle.sin())
