"""Generators by name: a run, weights in our format, a published checkpoint, or anyone's code."""

import functools
import importlib
import inspect
import json
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from axiswise import nets
from axiswise.directions.generators import ImageGenerator, latent_dim_of
from axiswise.nets import VAE, BigGAN, Generator, Pretrained
from axiswise.nets.pretrained import CONFIG, WEIGHTS
from axiswise.runs.folder import RunFolder
from axiswise.runs.run import load_run
from axiswise.support.files import UnreadableFileError, load_tensors

BIGGAN = "biggan:"
_IMPORT_PATH = r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*(\.[^\W\d]\w*)*)?"
_WAYS = (
    "a run folder, a folder or Hub repository (user/name) in our format, an import path "
    f"(module:name), or {BIGGAN}FILE"
)


class CodeNeededError(ValueError):
    """A generator that only code can build, named by a file and not by the user."""


def load_generator(
    spec: str,
    latent_dim: int | None = None,
    classes: Sequence[int] | None = None,
    *,
    may_import: bool = True,
) -> ImageGenerator:
    """Find, load or build a generator, as `axiswise.directions.generators` describes them.

    Of a run that trained a GAN it is the network; of one that trained a VAE the decoder, whose
    latents are taken to be standard normal, as its prior is. At the end of an import path stands
    a callable or module, or a class or function without arguments that makes one; the current
    folder can be imported from. `biggan:FILE` is a published PyTorch checkpoint of BigGAN.

    Args:
        spec: What it is called.
        latent_dim: Its number of latents, where it has no attribute of this name.
        classes: Classes to draw from, of a generator that has `classes_searched`; all if None.
        may_import: Whether code that the spec names may be run.

    Returns:
        The generator, on a GPU if there is one and it is a module, in eval mode.

    Raises:
        FileNotFoundError: If there is no such folder, file or repository.
        UnreadableFileError: If a file is damaged or something else.
        CodeNeededError: If code would have to be run, and may not.
        ImportError: If the code named cannot be imported, or fails.
        TypeError: If what it names cannot be called.
        ValueError: If spec or classes mean nothing, or no number of latents is known.
    """
    generator = _find(spec, may_import)
    if isinstance(generator, nn.Module):
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        generator.eval().to(device)
    if classes is not None:
        _choose_classes(generator, classes)
    if getattr(generator, "latent_dim", None) is None:
        if latent_dim is None:
            raise ValueError(
                f"GENERATOR {spec} has no latent_dim: say how many latents it takes, --latent-dim N"
            )
        generator = _with(generator, latent_dim=latent_dim)
    latent_dim_of(generator, latent_dim)
    return generator


def needs_code(spec: str) -> bool:
    """Whether code that anyone may have written is run to load a generator.

    Args:
        spec: What it is called.

    Returns:
        True for an import path, and for a run whose network is none of ours or not finished: its
        recipe may name any class.

    Raises:
        UnreadableFileError: If it is a run whose config.json is damaged.
    """
    path = Path(spec)
    if spec.startswith(BIGGAN):
        return False
    if path.is_dir():
        return RunFolder(path).config.is_file() and not _is_ours(path)
    return not path.exists() and bool(re.fullmatch(_IMPORT_PATH, spec))


def _find(spec: str, may_import: bool) -> ImageGenerator:
    path = Path(spec)
    if needs_code(spec) and not may_import:
        raise CodeNeededError(f"{spec} is a run of a network of its own" if path.is_dir() else spec)
    if spec.startswith(BIGGAN):
        return _of_network(_biggan(Path(spec.removeprefix(BIGGAN))), spec)
    if path.is_dir():
        return _of_network(_in_folder(path), spec)
    if path.exists():
        raise ValueError(f"GENERATOR must be {_WAYS}; {spec} is a file")
    if needs_code(spec):
        return _imported(spec)
    # A mistyped path is not looked up on the Hub.
    if re.fullmatch(r"[\w.-]+/[\w.-]+", spec) and not path.parent.exists():
        return _of_network(_from_hub(spec), spec)
    raise FileNotFoundError(f"GENERATOR must be {_WAYS}; there is no {spec}")


# ---------------------------------------------------------------- files


def _in_folder(path: Path) -> Pretrained:
    if needs_code(str(path)):
        return load_run(path).model
    if (path / CONFIG).is_file():
        return _pretrained(path)
    raise FileNotFoundError(
        f"GENERATOR must be {_WAYS}; {path} is none of these: it has neither {CONFIG} nor "
        f"{RunFolder(path).config.name}"
    )


def _from_hub(name: str) -> Pretrained:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        folder = Path(snapshot_download(name, allow_patterns=[WEIGHTS, CONFIG]))
    except (OSError, HFValidationError) as error:
        raise FileNotFoundError(
            f"there is no folder {name}, nor could it be had from the Hub: {error}"
        ) from error
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(f"the Hub's {name} has no {CONFIG}: it is not in our format")
    return _pretrained(folder)


def _is_ours(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and _architecture(folder) in _architectures()


def _architectures() -> dict[str, type[Pretrained]]:
    """What a file may name: networks of ours that make images."""
    kinds = [getattr(nets, name) for name in nets.__all__]
    return {
        kind.__name__: kind
        for kind in kinds
        if issubclass(kind, VAE | Generator | BigGAN) and kind not in (VAE, Generator)
    }


def _architecture(folder: Path) -> str:
    try:
        return str(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["architecture"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableFileError(f"{folder / CONFIG} is no config of axiswise: {error}") from error


def _pretrained(folder: Path) -> Pretrained:
    architecture, known = _architecture(folder), _architectures()
    if architecture not in known:
        raise UnreadableFileError(
            f"{folder / CONFIG} must name a generator out of {', '.join(sorted(known))}, "
            f"got {architecture!r}"
        )
    return known[architecture].from_pretrained(folder)


def _biggan(path: Path) -> BigGAN:
    weights = load_tensors(path)
    if not isinstance(weights, dict) or not all(map(torch.is_tensor, weights.values())):
        raise UnreadableFileError(f"{path} must hold a state dict: names and tensors")
    try:
        return BigGAN.from_published(weights)
    except ValueError as error:
        raise UnreadableFileError(f"{path} is no checkpoint of BigGAN: {error}") from error


def _of_network(network: Pretrained, source: str) -> ImageGenerator:
    """What its Jacobian is taken of, with all that a search wants to know."""
    for name, value in network.state_dict().items():
        if not value.isfinite().all():
            raise UnreadableFileError(f"the weights {name} of {source} are not finite")
    if isinstance(network, BigGAN):
        return network.fold()
    assert isinstance(network, VAE | Generator)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    low = 0.0 if isinstance(network, VAE) else -1.0
    return _with(network.generator, latent_dim=network.latent_dim, image_range=(low, 1.0))


# ---------------------------------------------------------------- code


def _imported(spec: str) -> ImageGenerator:
    module_name, _, name = spec.partition(":") if ":" in spec else spec.rpartition(".")
    if not module_name or not name:
        raise ValueError(
            f"GENERATOR must be {_WAYS}; of {spec} it is not said which name, as in "
            f"{spec}:generator"
        )
    folder = str(Path.cwd())
    if folder not in sys.path:  # a console script does not have it
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{module_name}.".startswith(f"{missing}."):
            raise ImportError(
                f"GENERATOR {spec}: there is no module {missing}, neither installed nor in {folder}"
            ) from error
        raise _failure(spec, error) from error
    try:
        found = functools.reduce(getattr, name.split("."), module)
    except AttributeError as error:
        raise ImportError(f"GENERATOR {spec}: the module {module_name} has no {name}") from error
    return _built(found, spec)


def _built(found: Any, spec: str) -> ImageGenerator:
    if isinstance(found, type) or _is_factory(found):
        try:
            found = found()
        except (Exception, SystemExit) as error:
            raise _failure(spec, error) from error
    if not callable(found) or isinstance(found, type):
        raise TypeError(
            f"GENERATOR {spec} must be a callable, or a class or function without arguments that "
            f"makes one, got {type(found).__name__}"
        )
    return found  # type: ignore[no-any-return]


def _is_factory(found: Any) -> bool:
    """Whether a function can be called with nothing: a generator wants latents."""
    if not inspect.isroutine(found) or hasattr(found, "latent_dim"):
        return False
    try:
        parameters = inspect.signature(found).parameters.values()
    except ValueError:  # some of those written in C do not tell
        return False
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    return all(
        parameter.kind in named or parameter.default is not parameter.empty
        for parameter in parameters
    )


def _failure(spec: str, error: BaseException) -> ImportError:
    """What went wrong in code that is not ours, and where."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    at = f" ({Path(where.filename).name}, line {where.lineno})"
    return ImportError(
        f"GENERATOR {spec} could not be made: {type(error).__name__}: {error}"
        + ("" if where.filename == __file__ else at)
    )


# ---------------------------------------------------------------- what it is told


def _choose_classes(generator: ImageGenerator, classes: Sequence[int]) -> None:
    if not hasattr(generator, "classes_searched"):
        raise ValueError(
            "--classes is for generators that have classes_searched, such as BigGAN; "
            f"{type(generator).__name__} has not"
        )
    generator.classes_searched = list(classes)


def _with(generator: ImageGenerator, **attributes: Any) -> ImageGenerator:
    if inspect.isroutine(generator):  # a stand-in, so that the function stays as it is
        generator = functools.update_wrapper(functools.partial(generator), generator)
    for name, value in attributes.items():
        setattr(generator, name, value)
    return generator
