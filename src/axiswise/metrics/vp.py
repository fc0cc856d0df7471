"""Variation Predictability: does a classifier recognise which latent made the difference?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from axiswise.metrics._generators import (
    ImageGenerator,
    checked_images,
    device_of,
    published_images,
    seeded_network,
)
from axiswise.metrics._score import RepeatedScore
from axiswise.metrics.declaration import Subject, metric
from axiswise.support.checks import check_count
from axiswise.support.progress import Progress, no_progress

_REACH = 2.0  # latents are uniform between minus and plus this
_AT_ONCE = 500  # pairs that are classified at once
_SETTINGS = {"protocol": "vp", "most_active": "vp_latents"}


@dataclass(frozen=True)
class VPProtocol:
    """What the classifier sees of pairs, and how it learns.

    Attributes:
        combination: "difference": the second image less the first; "concatenation": both, as
            channels.
        train_share: The share of the pairs that the classifier learns from, above 0 and below 1.
        batch_size: Pairs in a step.
        learning_rate: Adam's.
        epochs: Passes over the training part.
        width: Scales the numbers of channels of the classifier, > 0; 1 is that of the authors'
            network.
        best_epoch: Whether the score is the best accuracy after any epoch, and not that after the
            last one.
        coloured: Whether grey images get three equal channels, as in the authors' files.
    """

    combination: Literal["difference", "concatenation"]
    train_share: float
    batch_size: int = 32
    learning_rate: float = 5e-4
    epochs: int = 300
    width: float = 0.25
    best_epoch: bool = False
    coloured: bool = False


VP_PROTOCOLS: Mapping[str, VPProtocol] = MappingProxyType(
    {
        "dsprites": VPProtocol("difference", 0.01),
        "clevr": VPProtocol("concatenation", 0.1, epochs=40),
        "dsprites_published": VPProtocol(
            "difference", 0.01, width=1.0, best_epoch=True, coloured=True
        ),
        "clevr_published": VPProtocol(
            "concatenation", 0.1, width=1.0, best_epoch=True, coloured=True
        ),
    }
)


@dataclass(frozen=True, eq=False)
class VPScore(RepeatedScore):
    """A Variation Predictability score: accuracy (repeat,), from 0 to 1; `float()` is the mean."""


def vp_pairs(
    generator: ImageGenerator,
    latent_dim: int,
    *,
    pairs: int = 10_000,
    latents: Sequence[int] | None = None,
    rng: torch.Generator | None = None,
    batch_size: int = 100,
    progress: Progress = no_progress,
) -> tuple[Tensor, Tensor]:
    """Makes pairs of images that differ in one latent.

    All latents of the first image are uniform in [-2, 2]; in the second, one of them, chosen
    uniformly, is drawn anew. The images are rounded to 256 levels, as in a file.

    Source: Zhu, Xu & Tao, ECCV 2020, arXiv 2007.12885; 10,000 pairs as OroJaR's authors take (arXiv
    2108.07668).

    Args:
        generator: Latents to images; values outside of [0, 1] are clipped.
        latent_dim: The number of latents.
        pairs: The number of pairs.
        latents: The latents one of which is drawn anew, such as the most active ones (see
            `activeness`); None for all. The others differ between pairs, never within one.

    Returns:
        The images, (pair, 2, channel, height, width), uint8, and the labels, (pair,), int64: the
        index into `latents` of the latent that was drawn anew. Both on the generator's device.
    """
    latent_dim = check_count("latent_dim", latent_dim, 1)
    pairs = check_count("pairs", pairs, 1)
    batch_size = check_count("batch_size", batch_size, 1)
    chosen = [
        check_count("latents", i, 0) for i in (range(latent_dim) if latents is None else latents)
    ]
    if not chosen or len(set(chosen)) < len(chosen) or max(chosen) >= latent_dim:
        raise ValueError(f"latents must be different indices below {latent_dim}, got {chosen}")
    device = device_of(rng)
    first = torch.rand(pairs, latent_dim, generator=rng, device=device) * (2 * _REACH) - _REACH
    anew = torch.rand(pairs, generator=rng, device=device) * (2 * _REACH) - _REACH
    labels = torch.randint(len(chosen), (pairs,), generator=rng, device=device)
    changed = torch.tensor(chosen, device=device)[labels]
    second = first.scatter(1, changed[:, None], anew[:, None])
    images = None
    with torch.no_grad():
        for start in range(0, pairs, batch_size):
            part = slice(start, start + batch_size)
            z = torch.stack([first[part], second[part]], 1).flatten(0, 1)
            made = checked_images(generator(z), len(z))
            levels = (made * 255).round().clamp(0, 255).to(torch.uint8).unflatten(0, (-1, 2))
            if images is None:  # one block: the images are never in memory twice
                images = levels.new_empty((pairs, *levels.shape[1:]))
            images[part] = levels
            progress(min(start + batch_size, pairs), pairs)
    assert images is not None
    return images, labels.to(images.device)


def vp_score(
    images: Tensor,
    labels: Tensor,
    protocol: str | VPProtocol = "dsprites",
    *,
    repeats: int = 3,
    rng: torch.Generator | None = None,
    progress: Progress = no_progress,
) -> VPScore:
    """Measures whether a classifier recognises which latent made the difference.

    A convolutional network learns, from few pairs, which latent was drawn anew in each; the score
    is its accuracy on all other pairs after the last epoch, from chance (one over the number of
    latents) to 1. Each repeat splits the pairs anew and starts from new weights. A latent that
    changes nothing lowers the score as an entangled one does: OroJaR's authors score the most
    active latents only (`latents` of `vp_pairs`).

    Source: Zhu, Xu & Tao, ECCV 2020, arXiv 2007.12885, with the settings of Wei et al., ICCV 2021,
    arXiv 2108.07668. "dsprites": the difference of the images, 1 % of the pairs to learn from,
    batches of 32, Adam at 5e-4, 300 epochs; "clevr": both images as channels and 10 %; its 40
    epochs are ours. Their classifier has the layers of Zhu's code and a quarter of its channels,
    and counts after the last epoch. "dsprites_published" and "clevr_published" are that code: all
    channels, 300 epochs, and the best of them on the test part.

    Args:
        images: Pairs, (pair, 2, channel, height, width), uint8.
        labels: (pair,), int64, 0 … number of latents − 1: see `vp_pairs`.
        protocol: A name in `VP_PROTOCOLS`, or a `VPProtocol`.
        repeats: The number of classifiers.
        rng: Of splits and weights; the classifier is trained where the images are.

    Example:
        >>> import torch
        >>> rng = torch.Generator().manual_seed(0)
        >>> mask = torch.zeros(2, 1, 8, 8)
        >>> mask[0, :, :4], mask[1, :, 4:] = 1, 1
        >>> halves = lambda z: (z[:, :, None, None, None] * mask).sum(1) / 4 + 0.5
        >>> images, labels = vp_pairs(halves, latent_dim=2, pairs=2000, rng=rng)
        >>> float(vp_score(images, labels, repeats=1, rng=rng)) > 0.9
        True
    """
    settings = _protocol(protocol)
    repeats = check_count("repeats", repeats, 1)
    _check_pairs(images, labels)
    train = round(settings.train_share * len(images))
    if not 0 < train < len(images):
        raise ValueError(
            f"protocol must leave pairs to learn from and to test on, got train_share "
            f"{settings.train_share} of {len(images)} pairs"
        )
    labels = labels.to(images.device)
    outputs = int(labels.max()) + 1
    combine = partial(_combined, settings=settings)

    def accuracy(classifier: nn.Module, rows: Tensor) -> float:
        parts = rows.split(_AT_ONCE)
        right = sum(_right(classifier, combine(images[part]), labels[part]) for part in parts)
        return int(right) / len(rows)

    values = []
    for repeat in range(repeats):
        order = torch.randperm(len(images), generator=rng, device=device_of(rng)).to(images.device)
        classifiers = _trained(
            combine(images[order[:train]]),
            labels[order[:train]],
            outputs,
            settings,
            rng,
        )
        best = 0.0
        for epoch, classifier in enumerate(classifiers, 1):
            if settings.best_epoch or epoch == settings.epochs:
                best = max(best, accuracy(classifier, order[train:]))
            progress(repeat * settings.epochs + epoch, repeats * settings.epochs)
        values.append(best)
    return VPScore(torch.tensor(values, dtype=torch.float64).numpy())


@metric("vp", usual="generator", settings=_SETTINGS)
def vp_of_run(run: Subject, protocol: str, most_active: int | None) -> dict[str, float]:
    """Measures whether a classifier recognises which latent made the difference.

    Mean and standard deviation over repeats; of the most active latents alone, if a number is set.
    """
    return _of_run(run, run.generate, protocol, most_active, "vp")


@metric("vp_published", usual="by name", settings=_SETTINGS)
def published_vp_of_run(run: Subject, protocol: str, most_active: int | None) -> dict[str, float]:
    """Measures Variation Predictability as OroJaR's authors do: hours without a GPU."""
    images = published_images(run)
    protocol = f"{protocol}_published"
    return _of_run(run, lambda z: (images(z) + 1) / 2, protocol, most_active, "vp_published")


def _of_run(
    run: Subject, generate: ImageGenerator, protocol: str, most_active: int | None, name: str
) -> dict[str, float]:
    rng, latents = run.rng(), None
    if most_active is not None:
        latents = run.activity.argsort(descending=True)[:most_active].tolist()
    images, labels = vp_pairs(
        generate,
        run.latent_dim,
        latents=latents,
        rng=rng,
        progress=run.start_bar("pairs of images"),
    )
    bar = run.start_bar("Variation Predictability")
    score = vp_score(images, labels, protocol, rng=rng, progress=bar)
    return {name: score.mean, f"{name}_std": score.std}


def _trained(
    inputs: Tensor,
    labels: Tensor,
    outputs: int,
    settings: VPProtocol,
    rng: torch.Generator | None,
) -> Iterator[nn.Module]:
    """Trains a classifier of (pair, channel, height, width); gives it after each epoch."""
    build = partial(_classifier, inputs.shape[1], settings.width, outputs)
    classifier = seeded_network(build, rng, inputs.device)
    optimiser = torch.optim.Adam(classifier.parameters(), settings.learning_rate, foreach=True)
    for _ in range(settings.epochs):
        classifier.train()
        order = torch.randperm(len(inputs), generator=rng, device=device_of(rng))
        with torch.enable_grad():  # whoever wants a score may have turned gradients off
            for rows in order.to(inputs.device).split(settings.batch_size):
                optimiser.zero_grad()
                F.cross_entropy(classifier(inputs[rows]), labels[rows]).backward()
                optimiser.step()
        yield classifier.eval()


@torch.no_grad()
def _right(classifier: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """How many pairs a classifier gets right, on the device of the inputs."""
    found: Tensor = classifier(inputs).argmax(1) == labels
    return found.sum()


def _classifier(channels: int, width: float, outputs: int) -> nn.Sequential:
    narrow, middle, wide = (max(1, round(width * count)) for count in (64, 128, 256))
    return nn.Sequential(
        *_convolution(channels, narrow, 7, stride=2),
        *_convolution(narrow, narrow, 3),
        nn.MaxPool2d(3, stride=2, padding=1),
        *_convolution(narrow, middle, 3),
        *_convolution(middle, wide, 3),
        # A change looks alike wherever it happens: what a few pairs can teach.
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(wide, outputs),
    )


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]


def _combined(pairs: Tensor, settings: VPProtocol) -> Tensor:
    """Turns pairs into inputs: the difference in [-2, 2], or both as channels in [-1, 1]."""
    if settings.coloured and pairs.shape[2] == 1:
        pairs = pairs.expand(-1, -1, 3, -1, -1)
    if settings.combination == "difference":
        inputs = (pairs[:, 1].float() - pairs[:, 0].float()) / 127.5
    else:
        inputs = pairs.flatten(1, 2).float() / 127.5 - 1
    return inputs.contiguous(memory_format=torch.channels_last)


def _protocol(protocol: str | VPProtocol) -> VPProtocol:
    if isinstance(protocol, str):
        if protocol not in VP_PROTOCOLS:
            raise ValueError(f"protocol must be one of {sorted(VP_PROTOCOLS)}, got {protocol!r}")
        protocol = VP_PROTOCOLS[protocol]
    if protocol.combination not in ("difference", "concatenation"):
        raise ValueError(
            "combination of the protocol must be 'difference' or 'concatenation', "
            f"got {protocol.combination!r}"
        )
    return protocol


def _check_pairs(images: Tensor, labels: Tensor) -> None:
    if images.dim() != 5 or images.shape[1] != 2:
        raise ValueError(
            f"images must be (pair, 2, channel, height, width), got {tuple(images.shape)}"
        )
    if images.dtype != torch.uint8:
        raise TypeError(f"images must be uint8, got {images.dtype}")
    if labels.shape != images.shape[:1]:
        raise ValueError(f"labels must be (pair,) = ({len(images)},), got {tuple(labels.shape)}")
    if labels.dtype != torch.int64:
        raise TypeError(f"labels must be int64, got {labels.dtype}")
    if len(labels) and labels.min() < 0:
        raise ValueError(f"labels must be at least 0, got {int(labels.min())}")
