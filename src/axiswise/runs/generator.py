"""Generators by name, runs among them."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from axiswise.generators import BIGGAN, ImageGenerator, load_generator
from axiswise.generators.loading import (
    CODE_STATISTICS,
    Latents,
    is_ours,
    names_code,
    network_generator,
    prepared,
)
from axiswise.nets.pretrained import digest_of
from axiswise.runs.folder import RunFolder
from axiswise.runs.run import load_run


@dataclass(frozen=True)
class GeneratorSource:
    """What a generator is loaded from.

    Attributes:
        generator: Its name on the command line.
        latent_dim: Its number of latents, where it was given.
        classes: The classes that it draws from; all if None.
        latents: How latents of a VAE are drawn; see `axiswise.generators.load_generator`.
        weights: The digest of its weights when it was searched, where it has any.
    """

    generator: str
    latent_dim: int | None = None
    classes: list[int] | None = None
    latents: Latents | None = None
    weights: str | None = None

    @property
    def words(self) -> str:
        """The option that other commands need, for a shell: none unless it is code."""
        if not names_code(self.generator):
            return ""
        return f" --generator {shlex.quote(self.generator)}"

    def load(self, *, trust: bool = False) -> ImageGenerator:
        """The generator, by `open_generator`."""
        own = self.latent_dim, self.classes, self.latents
        return open_generator(self.generator, *own, trust=trust)


def open_generator(
    spec: str,
    latent_dim: int | None = None,
    classes: Sequence[int] | None = None,
    latents: Latents | None = None,
    *,
    may_import: bool = True,
    trust: bool = False,
) -> ImageGenerator:
    """`load_generator`, also of a run whose recipe is needed to build its network.

    Such a run is not finished, or trained a network of a user's own: code that its recipe names is
    run only with `trust`.
    """
    if not _needs_recipe(spec):
        return load_generator(spec, latent_dim, classes, latents, may_import=may_import or trust)
    run = load_run(spec, trust=trust)
    generator = network_generator(run.model, spec)
    if (codes := run.code_statistics) is not None:
        setattr(generator, CODE_STATISTICS, codes)
    return prepared(generator, spec, latent_dim, classes, latents)


def weights_of(generator: ImageGenerator) -> str | None:
    """The digest of a generator's weights; None of one that is no module, or has none."""
    if not isinstance(generator, nn.Module):
        return None
    weights = {
        name: value
        for name, value in generator.state_dict().items()
        if isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized
    }
    return digest_of(weights) if weights else None


def _needs_recipe(spec: str) -> bool:
    folder = Path(spec)
    return (
        not spec.startswith(BIGGAN) and RunFolder(folder).config.is_file() and not is_ours(folder)
    )
