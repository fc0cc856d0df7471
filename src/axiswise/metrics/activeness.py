"""Activeness: how much each latent changes the image."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from axiswise.metrics._generators import (
    ImageGenerator,
    checked_images,
    device_of,
    published_images,
)
from axiswise.metrics.declaration import Subject, metric
from axiswise.nets import ProgressiveGenerator
from axiswise.nets.progressive import pixel_norm
from axiswise.support.checks import check_count
from axiswise.support.progress import Progress, no_progress


def activeness(
    generator: ImageGenerator,
    latent_dim: int,
    *,
    samples: int = 300,
    values: Sequence[float] = (-2.0, 0.0, 2.0),
    normalize: bool = False,
    rng: torch.Generator | None = None,
    batch_size: int = 64,
    progress: Progress = no_progress,
) -> Tensor:
    """Measures how much each latent changes the image.

    Standard-normal latents are drawn once. Each latent in turn is set to each of `values` while the
    others stay: the variance of each pixel over the values (divided by their number less one), mean
    over pixels, channels and samples.

    Source: the simple GANs of Wei et al., ICCV 2021, arXiv 2108.07668, as in their code, on images
    in [-1, 1]; on images in [0, 1] it is a quarter of that.

    Args:
        generator: Latents to images; any range.
        latent_dim: The number of latents.
        samples: How many latents are drawn.
        values: Two or more values of the latent; -2, 0 and 2 as published.
        normalize: Whether latents are brought to mean square 1 before one is set, as published for
            progressive GANs.
        batch_size: The most rows of latents, each with an image for each value, at once.

    Returns:
        (latent,), at least 0, float64, on the CPU; 0 for an axis that changes nothing.

    Example:
        >>> import torch
        >>> paint = lambda z: z[:, :, None, None] * torch.tensor([1.0, 0.5])[:, None, None]
        >>> activeness(paint, latent_dim=2)
        tensor([2.0000, 0.5000], dtype=torch.float64)
    """
    maps = activeness_maps(
        generator,
        latent_dim,
        samples=samples,
        values=values,
        normalize=normalize,
        rng=rng,
        batch_size=batch_size,
        progress=progress,
    )
    return maps.flatten(1).mean(1)


def activeness_maps(
    generator: ImageGenerator,
    latent_dim: int,
    *,
    samples: int = 300,
    values: Sequence[float] = (-2.0, 0.0, 2.0),
    normalize: bool = False,
    rng: torch.Generator | None = None,
    batch_size: int = 64,
    progress: Progress = no_progress,
) -> Tensor:
    """Measures how much each latent changes each pixel: `activeness` before its mean over pixels.

    Args:
        generator: As that of `activeness`, as are all others.
        latent_dim: The number of latents.
        samples: How many latents are drawn.
        values: Two or more values of the latent.
        normalize: Whether latents are brought to mean square 1 first.
        batch_size: The most rows of latents at once.

    Returns:
        (latent, channel, height, width), at least 0, float64, on the CPU.
    """
    latent_dim = check_count("latent_dim", latent_dim, 1)
    samples = check_count("samples", samples, 1)
    batch_size = check_count("batch_size", batch_size, 1)
    if len(values) < 2:
        raise ValueError(f"values must be two or more, for a variance, got {list(values)}")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"values must be finite, got {list(values)}")
    z = torch.randn(samples, latent_dim, generator=rng, device=device_of(rng))
    z = pixel_norm(z) if normalize else z
    settings = torch.tensor(values, dtype=z.dtype, device=z.device)
    totals = [torch.zeros((), dtype=torch.float64, device=z.device)] * latent_dim
    with torch.no_grad():
        parts = z.split(batch_size)
        for done, rows in enumerate(parts):
            for axis in range(latent_dim):
                changed = rows.repeat(len(values), 1)
                changed[:, axis] = settings.repeat_interleave(len(rows))
                images = checked_images(generator(changed), len(changed))
                variance = images.unflatten(0, (len(values), len(rows))).double().var(0)
                totals[axis] = totals[axis] + variance.sum(0)
                progress(done * latent_dim + axis + 1, len(parts) * latent_dim)
    maps = torch.stack(totals).cpu()
    if not maps.isfinite().all():
        raise ValueError("generator must give images whose variance float64 can represent")
    return maps / samples


@metric("activeness", usual="generator")
def activeness_scores(run: Subject) -> dict[str, float]:
    """Measures how much each latent changes the image: mean over latents, and the largest."""
    found = run.activity  # what says which axes are active need not be computed again
    if run.activity_name != "activeness":
        found = activeness(run.generate, run.latent_dim, rng=run.rng())
    return {"activeness": float(found.mean()), "activeness_max": float(found.max())}


@metric("activeness_published", usual="by name")
def published_activeness_scores(run: Subject) -> dict[str, Any]:
    """Measures activeness as OroJaR's authors do, of images in [-1, 1]; per latent, too.

    Of progressive GANs, at latents of mean square 1, by a network that does not normalise them.
    """
    found = activeness(
        published_images(run),
        run.latent_dim,
        normalize=isinstance(run.generator, ProgressiveGenerator),
        rng=run.rng(),
    )
    scores = {"activeness_published": float(found.mean())}
    return {**scores, "activeness_published_per_axis": found}
