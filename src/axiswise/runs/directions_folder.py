"""A folder of directions: its file names, and the generator that its directions belong to."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from axiswise.directions import Directions
from axiswise.directions.directions import MATRIX, SETTINGS
from axiswise.generators import CodeNeededError, ImageGenerator
from axiswise.generators.loading import Latents
from axiswise.runs.generator import GeneratorSource, open_generator, weights_of
from axiswise.support.files import UnreadableFileError, write_atomically
from axiswise.support.imports import UntrustedCodeError
from axiswise.support.notes import note
from axiswise.support.reading import read_json


class DirectionsFolder:
    """Where the files of a search are.

    Attributes:
        path: The folder.
        matrix: The directions and their importance, safetensors.
        settings: The method and its settings, JSON.
        generator: What the generator was loaded from, JSON.
        evaluation: Scores, JSON.
        pictures: Folder of pictures.
        report: The page with all of them.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.matrix = self.path / MATRIX
        self.settings = self.path / SETTINGS
        self.generator = self.path / "generator.json"
        self.evaluation = self.path / "evaluation.json"
        self.pictures = self.path / "pictures"
        self.report = self.path / "report.html"

    def save(self, found: Directions, source: GeneratorSource) -> None:
        """Write what a search found, and in which generator; all of it or nothing.

        `directions.json` is written last: where it is, the rest is.
        """
        about = json.dumps(asdict(source), indent=2) + "\n"
        try:
            write_atomically(self.generator, about.encode())
            found.save(self.path)
        except BaseException:
            for path in (*self.unfinished, self.settings):
                path.unlink(missing_ok=True)
            raise

    @property
    def unfinished(self) -> list[Path]:
        """The files of a search that failed or was killed while it wrote."""
        return [self.generator, self.matrix]

    def source(self) -> GeneratorSource | None:
        """What the generator was loaded from; None where the folder has no such file.

        Raises:
            UnreadableFileError: If the file is damaged.
        """
        if not self.generator.is_file():
            return None
        try:
            source = GeneratorSource(**read_json(self.generator))
            numbers = [*(source.classes or []), source.latent_dim or 0]
            if (
                isinstance(source.generator, str)
                and all(isinstance(value, int) for value in numbers)
                and source.latents in (None, *get_args(Latents))
            ):
                return source
        except (TypeError, ValueError):
            pass
        raise UnreadableFileError(
            f"{self.generator} is damaged or was not written by `axiswise discover`"
        )


def is_directions(folder: str | Path) -> bool:
    """Whether a folder, which may be missing, is one of directions."""
    names = DirectionsFolder(folder)
    return names.settings.is_file() or names.matrix.is_file()


def open_directions(
    folder: str | Path, generator: str | None = None, *, trust: bool = False
) -> tuple[Directions, ImageGenerator, str]:
    """Open directions and the generator that they belong to.

    The code that a folder names is run only where the user names it too.

    Args:
        folder: What `axiswise discover` or `Directions.save` wrote.
        generator: Name of the generator; the one that the folder has if None.
        trust: Whether code may be run that the folder, or a run that it names, names.

    Returns:
        The directions, the generator, and its name.

    Raises:
        FileNotFoundError: If a file is missing, or the folder names no generator.
        UnreadableFileError: If a file is damaged.
        UntrustedCodeError: If the folder names code that may not be run.
        ValueError: If the generator has another number of latents, or other weights than it had.
        OSError: If something cannot be read.
        ImportError: If the generator's code cannot be imported, or fails.
        TypeError: If what it names cannot be called.
    """
    names = DirectionsFolder(folder)
    found, source = Directions.load(folder), names.source()
    if generator is None and source is None:
        raise FileNotFoundError(
            f"{folder} does not say which generator its directions belong to: add --generator SPEC"
        )
    # The folder's classes and latents are those of the generator that it names.
    same = source if source is not None and generator in (None, source.generator) else None
    options = (None, None) if same is None else (same.classes, same.latents)
    name = generator or (source.generator if source is not None else "")
    try:
        loaded = open_generator(
            name, found.latent_dim, *options, may_import=generator is not None, trust=trust
        )
    except CodeNeededError as error:
        raise UntrustedCodeError(str(names.generator), name) from error
    check_weights(loaded, source if same else None, folder, named=generator is not None)
    return found, loaded, name


def check_weights(
    generator: ImageGenerator, source: GeneratorSource | None, folder: str | Path, named: bool
) -> None:
    """Refuse a generator of other weights than when directions were found.

    Where the user has named it, a line on standard error says so instead.
    """
    if source is None or source.weights in (None, weights_of(generator)):
        return
    what = f"{source.generator} has other weights than when the directions in {folder} were found"
    if not named:
        raise ValueError(
            f"{what}: run `axiswise discover` again, or add --generator {source.generator} to use "
            "them all the same"
        )
    note(what)


def searched(found: Directions, folder: str | Path) -> slice:
    """The latents that directions were searched in.

    Raises:
        UnreadableFileError: If their settings have an impossible subspace.
    """
    ends = found.settings.get("subspace") or [0, found.latent_dim]
    try:
        start, stop = map(int, ends)
    except (TypeError, ValueError):
        start, stop = 0, 0
    if not 0 <= start < stop <= found.latent_dim:
        raise UnreadableFileError(f"the settings in {folder} have an impossible subspace, {ends}")
    return slice(start, stop)
