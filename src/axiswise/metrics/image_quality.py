"""How far generated images are from real ones: the Fréchet and the kernel distance."""

import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from axiswise.metrics._generators import seeded
from axiswise.metrics.declaration import Subject, metric
from axiswise.metrics.features import Features
from axiswise.support.checks import check_count
from axiswise.support.progress import Progress, no_progress

Images = Tensor | Iterable[Tensor]

_PUBLISHED = 50_000  # images of each kind
_SUBSET = 500  # the most images in a subset, where no other number is given


@dataclass(frozen=True)
class KernelDistance:
    """A kernel distance; `float()` gives the mean.

    Attributes:
        mean: The mean over subsets: the score. It is unbiased, so it can be below 0.
        std: The standard deviation over subsets (divided by their number).
    """

    mean: float
    std: float

    def __float__(self) -> float:
        return self.mean


def frechet_distance(
    real_images: Images,
    fake_images: Images,
    features: Features,
    *,
    batch_size: int = 16,
    progress: Progress = no_progress,
) -> float:
    """Measures the Fréchet distance between two sets of images (FID).

    It is the distance of normal distributions with the mean and covariance of the features, at
    least 0 but for rounding. It is biased: the fewer images, the larger. Compare only at equal
    numbers, and take `kernel_distance` for fewer images than features.

    Source: Heusel et al., NeurIPS 2017, arXiv 1706.08500; computed by torchmetrics. Only with the
    features "inception" does it compare with published ones.

    Args:
        real_images: Two or more (image, channel, height, width) in [0, 1], of one channel or three;
            or an iterable of such batches. On any device.
        fake_images: The same.
        features: See `axiswise.metrics.features`.
        batch_size: The most images described at once; more are no faster on a CPU.
        progress: Called after each batch, if neither set is an iterable.
    """
    batch_size = check_count("batch_size", batch_size, 1)
    sets = real_images, fake_images
    metric, _ = _filled("fid", sets, features, batch_size, 2, progress)
    return float(metric.compute())


def kernel_distance(
    real_images: Images,
    fake_images: Images,
    features: Features,
    *,
    subsets: int = 50,
    subset_size: int | None = None,
    rng: torch.Generator | None = None,
    batch_size: int = 16,
    progress: Progress = no_progress,
) -> KernelDistance:
    """Measures the kernel distance between two sets of images (KID).

    The squared maximum mean discrepancy of the features, with the kernel (x·y / features + 1)³: its
    unbiased estimate on random subsets of both sets, averaged.

    Source: Bińkowski et al., ICLR 2018, arXiv 1801.01401, with 100 subsets of 1000; computed by
    torchmetrics. Only with the features "inception" does it compare with published ones.

    Args:
        real_images: Images, or an iterable of batches of them: see `frechet_distance`.
        fake_images: The same.
        features: See `axiswise.metrics.features`.
        subsets: The number of subsets of each set.
        subset_size: Images in each. None: half of the smaller set, at most 500.
        batch_size: The most images described at once; more are no faster on a CPU.
        progress: Called after each batch, if neither set is an iterable.
    """
    batch_size = check_count("batch_size", batch_size, 1)
    subsets = check_count("subsets", subsets, 1)
    if subset_size is not None:
        subset_size = check_count("subset_size", subset_size, 2)
    sets, least = (real_images, fake_images), subset_size or 4
    metric, fewest = _filled("kid", sets, features, batch_size, least, progress, subsets=subsets)
    metric.subset_size = subset_size or min(_SUBSET, fewest // 2)
    with seeded(rng):
        mean, std = metric.compute()
    return KernelDistance(float(mean), float(std))


@metric("fid", needs=["descriptions"], packages=["torchmetrics"], settings={"count": "images"})
def fid_of_run(run: Subject, count: int) -> dict[str, float]:
    """Measures the Fréchet distance of generated images from the data; named after the features."""
    found = frechet_distance(*_two_sets(run, count, "FID"), run.features)
    return {f"fid_{run.features.name}": found}


@metric("fid_published", usual="by name", needs=["descriptions"], packages=["torchmetrics"])
def published_fid_of_run(run: Subject) -> dict[str, float]:
    """Measures the Fréchet distance over 50,000 images of each kind; named after the features."""
    found = frechet_distance(*_two_sets(run, _PUBLISHED, "FID"), run.features)
    return {f"fid_published_{run.features.name}": found}


@metric(
    "kid",
    usual="generator",
    needs=["descriptions"],
    packages=["torchmetrics"],
    settings={"count": "images"},
)
def kid_of_run(run: Subject, count: int) -> dict[str, float]:
    """Measures the kernel distance of generated images from the data; named after the features."""
    found = kernel_distance(*_two_sets(run, count, "KID"), run.features, rng=run.rng())
    return {f"kid_{run.features.name}": found.mean}


def _two_sets(run: Subject, count: int, name: str) -> tuple[Iterator[Tensor], Iterator[Tensor]]:
    """Real images and generated ones in batches, which a bar of this name counts."""
    bar = run.start_bar(name)

    def counted(batches: Iterable[Tensor], done: int) -> Iterator[Tensor]:
        for batch in batches:
            yield batch
            done += len(batch)
            bar(done, 2 * count)

    fakes = (run.generate(part) for part in run.prior(count).split(run.batch_size))
    return counted(run.image_batches(count), 0), counted(fakes, count)


def _filled(
    name: str,
    sets: tuple[Images, Images],
    features: Features,
    batch_size: int,
    least: int,
    progress: Progress,
    **settings: Any,
) -> tuple[Any, int]:
    """Returns a metric of torchmetrics that has seen all images, and the smaller set's number."""
    try:
        from torchmetrics.image import fid, kid
    except ImportError as error:
        raise ImportError(
            "FID and KID need the package torchmetrics: pip install 'axiswise[scores]'"
        ) from error
    device = next(features.parameters()).device
    kind = {"fid": fid.FrechetInceptionDistance, "kid": kid.KernelInceptionDistance}[name]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Metric `Kernel Inception Distance` will save")
        metric: Any = kind(feature=features, **settings).to(device)
    total = sum(len(images) if isinstance(images, Tensor) else math.nan for images in sets)
    counts = [0, 0]
    for index, images in enumerate(sets):
        for batch in [images] if isinstance(images, Tensor) else images:
            for part in batch.split(batch_size):
                metric.update(part.to(device), real=index == 0)
                counts[index] += len(part)
                if not math.isnan(total):
                    progress(sum(counts), int(total))
    for word, count in zip(("real_images", "fake_images"), counts, strict=True):
        if count < least:
            raise ValueError(f"{word} must be at least {least} images, got {count}")
    return metric, min(counts)
