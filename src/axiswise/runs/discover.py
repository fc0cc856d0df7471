"""`axiswise discover`: find directions in a generator, and write them into a folder."""

import inspect
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from jsonargparse import ArgumentParser
from torch import Tensor

from axiswise.directions import METHODS, Directions, find_directions
from axiswise.directions.directions import MATRIX, SETTINGS
from axiswise.directions.generators import ImageGenerator
from axiswise.generators.loading import BIGGAN, CodeNeededError, load_generator, needs_code
from axiswise.support.files import UnreadableFileError, write_atomically
from axiswise.support.progress import StartBar, no_bars

GENERATOR = "generator.json"


@dataclass(frozen=True)
class GeneratorSource:
    """What a generator was loaded from.

    Attributes:
        generator: What it is called on the command line.
        latent_dim: The number of latents that was given for it.
        classes: The classes that it draws from; all if None.
    """

    generator: str
    latent_dim: int | None = None
    classes: list[int] | None = None

    @property
    def words(self) -> str:
        """What other commands want to be told, for shells: nothing unless it is code."""
        if not needs_code(self.generator):
            return ""
        return f" --generator {shlex.quote(self.generator)}"

    def load(self, *, may_import: bool = True) -> ImageGenerator:
        """As `load_generator`."""
        return load_generator(self.generator, self.latent_dim, self.classes, may_import=may_import)


def discover(
    source: GeneratorSource,
    method: str,
    words: Sequence[str] = (),
    out: str | None = None,
    *,
    subspace: str | None = None,
    start_bar: StartBar = no_bars,
    **search: Any,
) -> tuple[Path, Directions]:
    """Find directions in a generator, and write them down.

    The folder holds what `Directions.save` writes, and what the generator was loaded from; it does
    not stay if anything fails.

    Args:
        source: The generator.
        method: Name out of `axiswise.directions.METHODS`.
        words: The method's own settings as command-line words, such as `--steps 100`.
        out: The folder, which does not exist or is empty; runs/GENERATOR-METHOD-seedS if None,
            with the subspace, if there is one, before the seed.
        subspace: The latents to search, "start:stop", or the name of a part that the generator
            knows in `thirds`; all if None.
        start_bar: Starts a progress bar of the given name.
        **search: Arguments of `axiswise.find_directions`, for any method.

    Returns:
        The folder, and the directions.

    Raises:
        FileExistsError: If something is in the folder already.
        ArgumentError: From jsonargparse, on a setting of the wrong type.
        ValueError: On an unknown method, setting or subspace, one out of range, or a generator that
            cannot be searched.
        OSError: If something cannot be read or written.
    """
    settings = method_settings(method, words)
    parts = [
        _slug(source.generator),
        method,
        *([] if subspace is None else [_slug(subspace.replace(":", "to"))]),
    ]
    name = "-".join([*parts, f"seed{search.get('seed', 0)}"])
    with _new_folder(Path(out) if out is not None else Path("runs") / name) as folder:
        generator = source.load()
        found = find_directions(
            generator,
            method,
            subspace=_subspace(subspace, generator),
            progress=start_bar(method),
            **search,
            **settings,
        )
        found.save(folder)
        about = json.dumps(asdict(source), indent=2) + "\n"
        write_atomically(folder / GENERATOR, about.encode())
    return folder, found


def method_parser(method: str) -> ArgumentParser:
    """A parser of a method's own settings.

    Args:
        method: Name out of `axiswise.directions.METHODS`.

    Returns:
        The parser, with a help on each.

    Raises:
        ValueError: If there is no such method.
    """
    if method not in METHODS:
        raise ValueError(f"--method must be one of {', '.join(METHODS)}, got {method}")
    function = METHODS[method]
    types = get_type_hints(function)
    others: set[str | int] = {
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind != parameter.KEYWORD_ONLY or Tensor in get_args(types[name])
    }
    parser = ArgumentParser(
        exit_on_error=False,
        prog=f"axiswise discover GENERATOR --method {method}",
        epilog=f"The methods are {', '.join(METHODS)}.",
        add_help=False,
    )
    parser.add_function_arguments(function, skip=others, fail_untyped=False)
    return parser


def method_settings(method: str, words: Sequence[str]) -> dict[str, Any]:
    """Settings of a method, from the command line.

    Args:
        method: Name out of `axiswise.directions.METHODS`.
        words: Such as `--steps 100`; dashes and underscores in names mean the same.

    Returns:
        Those that are named.

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


def holds_directions(folder: str | Path) -> bool:
    """Whether a folder is one of directions.

    Args:
        folder: The folder; may be missing.
    """
    return any((Path(folder) / name).is_file() for name in (SETTINGS, MATRIX))


def open_directions(
    folder: str | Path, generator: str | None = None
) -> tuple[Directions, ImageGenerator, str]:
    """Directions and the generator that they belong to.

    A folder may come from anybody: code that it names is not run, unless the user names it too.

    Args:
        folder: What `axiswise discover` or `Directions.save` wrote.
        generator: What the generator is called; what the folder says if None.

    Returns:
        The directions, the generator as `load_generator` gives it, and what it is called.

    Raises:
        FileNotFoundError: If a file is missing, or the folder does not say which generator.
        UnreadableFileError: If a file is damaged.
        ValueError: If the folder names code, or the generator has another number of latents.
        OSError: If something cannot be read.
        ImportError: As `load_generator`.
        TypeError: As `load_generator`.
    """
    found, path = Directions.load(folder), Path(folder) / GENERATOR
    source = _read_source(path) if path.is_file() else None
    if generator is None and source is None:
        raise FileNotFoundError(
            f"{folder} does not say which generator its directions belong to: add --generator SPEC"
        )
    # What the folder says of classes is said of the generator that it names.
    same = source is not None and generator in (None, source.generator)
    classes = source.classes if source is not None and same else None
    name = generator or (source.generator if source is not None else "")
    try:
        loaded = load_generator(name, found.latent_dim, classes, may_import=generator is not None)
    except CodeNeededError as error:
        raise ValueError(
            f"{path} names a generator that is code, and code is run only where you name it "
            f"yourself: {error}. If you trust it, add --generator {name}"
        ) from error
    return found, loaded, name


def _read_source(path: Path) -> GeneratorSource:
    try:
        source = GeneratorSource(**json.loads(path.read_text(encoding="utf-8")))
        if isinstance(source.generator, str) and all(
            isinstance(value, int) for value in [*(source.classes or []), source.latent_dim or 0]
        ):
            return source
    except (TypeError, ValueError):
        pass
    raise UnreadableFileError(f"{path} is damaged or was not written by `axiswise discover`")


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """A folder made at once, so that it is known that it can be, and undone if anything fails."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path} exists already: choose another --out")
    was_there = path.exists()
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield path
    except BaseException:
        for name in (MATRIX, SETTINGS, GENERATOR):
            (path / name).unlink(missing_ok=True)
        if not was_there:
            with suppress(OSError):  # somebody else's files stay
                path.rmdir()
        raise


def _slug(name: str) -> str:
    """What of a generator's or a subspace's name a folder is named after."""
    last = Path(name.removeprefix(BIGGAN))
    last = last.resolve() if last.exists() else last
    stem = last.stem if last.suffix in (".pth", ".pt") else last.name
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
