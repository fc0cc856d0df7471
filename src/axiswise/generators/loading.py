"""Generators by name: weights in our format, a published checkpoint, or a user's own code."""

import functools
import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from axiswise import nets
from axiswise.generators.protocol import ImageGenerator, latent_dim_of
from axiswise.nets import Autoencoder, BigGAN, CodeStatistics, Model, Pretrained
from axiswise.nets.loading import ARCHITECTURES, FILES, load_published
from axiswise.nets.pretrained import CONFIG, read_config
from axiswise.support.files import UnreadableFileError
from axiswise.support.imports import failure_in, import_object, is_import_path

BIGGAN = "biggan:"
CODE_STATISTICS = "code_statistics"  # attribute of a VAE, and of its decoder as a generator
Latents = Literal["codes", "prior"]
_WAYS = (
    "a run folder, a folder or Hub repository (user/name) in our format, an import path "
    f"(module:name), or a file of published weights ({', '.join(FILES)})"
)


class CodeNeededError(ValueError):
    """A generator that only its code can build, where that code may not be run."""


def load_generator(
    spec: str,
    latent_dim: int | None = None,
    classes: Sequence[int] | None = None,
    latents: Latents | None = None,
    *,
    may_import: bool = True,
) -> ImageGenerator:
    """Load a generator by name, or build it, as `axiswise.generators.protocol` describes them.

    Of a VAE it is the decoder; its latents are drawn as the codes of the images that it was trained
    on are distributed, which may be far from the prior, where it was saved with their statistics:
    `code_statistics` of the generator. An import path names a
    callable or module, or a class or function without arguments that makes one; the current folder
    can be imported from. A file of published weights is opened by `axiswise.nets.load_published`;
    `biggan:FILE` is one of BigGAN whatever its ending. Runs that are not finished, or of a user's
    own network, are opened by `axiswise.runs.generator`.

    Args:
        spec: A folder or Hub repository in our format, an import path, a file, or `biggan:FILE`.
        latent_dim: Its number of latents, where it has no attribute of this name.
        classes: Classes to draw from, of a generator that has `classes_searched`; all if None.
        latents: Of a VAE: "codes" as above, or "prior" for standard normal ones; "codes" where
            there are statistics if None.
        may_import: Whether code that the spec names may be run.

    Returns:
        The generator, in eval mode and on a GPU if there is one, if it is a module.

    Raises:
        FileNotFoundError: If there is no such folder, file or repository.
        UnreadableFileError: If a file is damaged or something else.
        CodeNeededError: If code would have to be run, and may not.
        ImportError: If the code named cannot be imported, or fails.
        TypeError: If what it names cannot be called.
        ValueError: If classes or latents do not apply, or no number of latents is known.
    """
    return prepared(_find(spec, may_import), spec, latent_dim, classes, latents)


def prepared(
    generator: ImageGenerator,
    spec: str,
    latent_dim: int | None,
    classes: Sequence[int] | None,
    latents: Latents | None,
) -> ImageGenerator:
    """A generator on its device, with its number of latents, their distribution and its classes."""
    codes: CodeStatistics | None = getattr(generator, CODE_STATISTICS, None)
    if latents is not None and codes is None:
        raise ValueError(
            f"--latents is for VAEs that were saved with the statistics of their codes, got {spec}"
        )
    if codes is not None and latents == "prior":
        delattr(generator, CODE_STATISTICS)
    elif codes is not None:
        generator = _with(generator, sample_latents=codes.sample)
    if isinstance(generator, nn.Module):
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        generator.eval().to(device)
    if classes is not None:
        if not hasattr(generator, "classes_searched"):
            raise ValueError(
                "--classes is for generators that have classes_searched, such as BigGAN, got "
                f"a {type(generator).__name__}"
            )
        generator.classes_searched = list(classes)
    if getattr(generator, "latent_dim", None) is None:
        if latent_dim is None:
            raise ValueError(
                f"GENERATOR {spec} has no latent_dim: give its number of latents, --latent-dim N"
            )
        generator = _with(generator, latent_dim=latent_dim)
    latent_dim_of(generator, latent_dim)
    return generator


def names_code(spec: str) -> bool:
    """Whether a spec is an import path."""
    file = spec.startswith(BIGGAN) or Path(spec).suffix in FILES
    return not file and not Path(spec).exists() and is_import_path(spec)


def is_ours(folder: Path) -> bool:
    """Whether a folder has a network of `axiswise.nets`; an error if its config.json is damaged."""
    return (folder / CONFIG).is_file() and read_config(folder)[0] in ARCHITECTURES


def network_generator(network: Pretrained, source: str) -> ImageGenerator:
    """The part of a network whose Jacobian is taken, with the attributes that a search uses.

    Raises:
        UnreadableFileError: If it makes no images, or weights are not finite; it names the source.
    """
    for name, value in network.state_dict().items():
        if not value.isfinite().all():
            raise UnreadableFileError(f"the weights {name} of {source} are not finite")
    if isinstance(network, BigGAN):
        return network.fold()
    if not isinstance(network, Model):
        raise UnreadableFileError(
            f"{source} must be a network that makes images, got a {type(network).__name__}"
        )
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    low = 0.0 if isinstance(network, Autoencoder) else -1.0
    generator = _with(network.generator, latent_dim=network.latent_dim, image_range=(low, 1.0))
    codes = getattr(network, CODE_STATISTICS, None)
    return generator if codes is None else _with(generator, **{CODE_STATISTICS: codes})


def _find(spec: str, may_import: bool) -> ImageGenerator:
    path = Path(spec)
    if spec.startswith(BIGGAN):
        path = Path(spec.removeprefix(BIGGAN))
        if not path.exists():
            raise FileNotFoundError(f"GENERATOR {BIGGAN}FILE must name a file; there is no {path}")
        network = load_published(path)
        if not isinstance(network, BigGAN):
            raise UnreadableFileError(f"{path} is no BigGAN, but a {type(network).__name__}")
        return network_generator(network, spec)
    if path.is_dir():
        if not (path / CONFIG).is_file():
            raise FileNotFoundError(f"GENERATOR must be {_WAYS}; {path} has no {CONFIG}")
        return network_generator(nets.load(path), spec)
    if path.exists():
        if path.suffix not in FILES:
            raise ValueError(f"GENERATOR must be {_WAYS}; {spec} is a file")
        return network_generator(load_published(path), spec)
    if names_code(spec):
        if not may_import:
            raise CodeNeededError(spec)
        return _built(import_object(spec, "GENERATOR"), spec)
    # A mistyped path is not looked up on the Hub.
    if re.fullmatch(r"[\w.-]+/[\w.-]+", spec) and not path.parent.exists():
        try:
            return network_generator(nets.load(spec), spec)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"there is no folder or Hub repository {spec} in our format: {error}"
            ) from error
    raise FileNotFoundError(f"GENERATOR must be {_WAYS}; there is no {spec}")


def _built(found: Any, spec: str) -> ImageGenerator:
    if isinstance(found, type) or _is_factory(found):
        try:
            found = found()
        except (Exception, SystemExit) as error:
            raise failure_in(spec, "GENERATOR", error) from error
    if not callable(found) or isinstance(found, type):
        raise TypeError(
            f"GENERATOR {spec} must be a callable, or a class or function without arguments that "
            f"makes one, got {type(found).__name__}"
        )
    return found  # type: ignore[no-any-return]


def _is_factory(found: Any) -> bool:
    """Whether a function can be called without arguments: a generator takes latents."""
    if not inspect.isroutine(found) or hasattr(found, "latent_dim"):
        return False
    try:
        parameters = inspect.signature(found).parameters.values()
    except ValueError:  # some functions written in C have no signature
        return False
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    return all(
        parameter.kind in named or parameter.default is not parameter.empty
        for parameter in parameters
    )


def _with(generator: ImageGenerator, **attributes: Any) -> ImageGenerator:
    if inspect.isroutine(generator):  # a stand-in, so that the function stays as it is
        generator = functools.update_wrapper(functools.partial(generator), generator)
    for name, value in attributes.items():
        setattr(generator, name, value)
    return generator
