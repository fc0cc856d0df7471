"""Find directions in a generator, and write them into a folder."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from torch import Tensor

from axiswise.directions import METHODS, Directions, find_directions
from axiswise.generators import BIGGAN, ImageGenerator
from axiswise.generators.loading import CODE_STATISTICS
from axiswise.nets.loading import FILES
from axiswise.runs.directions_folder import DirectionsFolder, is_directions
from axiswise.runs.generator import GeneratorSource, weights_of
from axiswise.support.files import remove_unfinished
from axiswise.support.locks import is_free, owning
from axiswise.support.progress import StartBar, no_bars

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser


def discover(
    source: GeneratorSource,
    method: str,
    words: Sequence[str] = (),
    out: str | None = None,
    *,
    subspace: str | None = None,
    start_bar: StartBar = no_bars,
    trust: bool = False,
    **search: Any,
) -> tuple[Path, Directions]:
    """Find directions in a generator, and write them and the generator's name into a folder.

    Args:
        source: The generator.
        method: Name or import path of a method.
        words: The method's own settings as command-line words, such as `--steps 100`.
        out: The folder, which does not exist or is empty, and does not stay if anything fails;
            runs/GENERATOR-METHOD-seedS if None, with the subspace, if given, before the seed.
        subspace: The latents to search, "start:stop", or the name of a part that the generator
            has in `thirds`; all if None.
        start_bar: Starts a progress bar of the given name.
        trust: Whether code may be run that the generator's folder names.
        **search: Arguments of `axiswise.find_directions`, for any method.

    Returns:
        The folder, and the directions.

    Raises:
        FileExistsError: If something is in the folder already.
        BusyError: If another process writes into it.
        ArgumentError: From jsonargparse, on a setting of the wrong type.
        ValueError: On an unknown method, setting or subspace, one out of range, or a generator that
            cannot be searched.
        OSError: If something cannot be read or written.
    """
    settings = method_settings(method, words)
    usual = _usual_folder(source.generator, method, subspace, search.get("seed", 0))
    with _new_folder(Path(out) if out is not None else usual) as folder:
        generator = source.load(trust=trust)
        source = replace(source, weights=weights_of(generator))
        found = find_directions(
            generator,
            method,
            subspace=_subspace(subspace, generator),
            progress=start_bar(method),
            **search,
            **settings,
        )
        if hasattr(generator, CODE_STATISTICS):
            found = replace(found, settings={**found.settings, "latents": "codes of its data"})
        folder.save(found, source)
    return folder.path, found


def folder_of(spec: str, start_bar: StartBar = no_bars) -> str:
    """The folder that `show` and `evaluate` work on: of a file of published weights, its own axes.

    These are found as by `discover FILE --method coordinates`, if they are not there already. Any
    other name stays as it is.
    """
    path = Path(spec.removeprefix(BIGGAN))
    if not path.is_file() or not (spec.startswith(BIGGAN) or path.suffix in FILES):
        return spec
    folder = _usual_folder(spec, "coordinates")
    if not is_directions(folder):
        discover(GeneratorSource(spec), "coordinates", start_bar=start_bar)
    return str(folder)


def _usual_folder(generator: str, method: str, subspace: str | None = None, seed: int = 0) -> Path:
    parts = [_slug(generator), _slug(method.replace(":", "-"))]
    if subspace is not None:
        parts.append(_slug(subspace.replace(":", "to")))
    return Path("runs") / "-".join([*parts, f"seed{seed}"])


def method_parser(method: str) -> "ArgumentParser":
    """A parser of a method's own settings, with a help on each.

    Raises:
        ValueError: If there is no such method.
    """
    from axiswise.support.parsers import argument_parser

    chosen = METHODS.find(method)
    types = get_type_hints(chosen.search)
    skipped: set[str | int] = {
        name for name in types if name not in chosen.settings or Tensor in get_args(types[name])
    }
    parser = argument_parser(
        prog=f"axiswise discover GENERATOR --method {method}",
        epilog=f"The methods are {', '.join(METHODS.names())}.",
        add_help=False,
    )
    parser.add_function_arguments(chosen.search, skip=skipped, fail_untyped=False)
    return parser


def method_settings(method: str, words: Sequence[str]) -> dict[str, Any]:
    """Those of a method's settings that command-line words such as `--steps 100` name.

    Dashes and underscores in names mean the same.

    Raises:
        ArgumentError: From jsonargparse, on a setting of the wrong type.
        ValueError: If there is no such method, or it has no such setting.
    """
    parser = method_parser(method)
    known = list(parser.get_defaults().keys())
    words = [re.sub("^--[^=]+", lambda key: f"--{key[0][2:].replace('-', '_')}", w) for w in words]
    named = [word[2:].split("=")[0] for word in words if word.startswith("--")]
    for key in named:
        if key not in known:
            allowed = ", ".join(f"--{name}" for name in known) or "none of its own"
            raise ValueError(f"--{key} is no setting of {method}, which has {allowed}")
    settings = parser.parse_args(words)
    return {key: settings[key] for key in named}


@contextmanager
def _new_folder(path: Path) -> Iterator[DirectionsFolder]:
    """A folder made before the search, so that it can be; it does not stay if anything fails."""
    folder = DirectionsFolder(path)
    with owning(path):
        remove_unfinished(folder.settings, *folder.unfinished)
        if not is_free(path, [file.name for file in folder.unfinished]):
            raise FileExistsError(f"{path} exists already: choose another --out")
        yield folder


def _slug(name: str) -> str:
    """The part of a generator's or a subspace's name that a folder is named after."""
    last = Path(name.removeprefix(BIGGAN))
    last = last.resolve() if last.exists() else last
    stem = last.stem if last.suffix in FILES else last.name
    return re.sub(r"[^\w.+]+", "-", stem).strip("-")


def _subspace(text: str | None, generator: ImageGenerator) -> slice | None:
    if text is None:
        return None
    parts: dict[str, slice] = getattr(generator, "thirds", {})
    if text in parts:
        return parts[text]
    ends = re.fullmatch(r"(\d*):(\d*)", text)
    if ends is None:
        names = f", or one of {', '.join(parts)}" if parts else ""
        raise ValueError(f"--subspace must be START:STOP, as in 0:40{names}; got {text}")
    start, stop = (int(end) if end else None for end in ends.groups())
    return slice(start, stop)
