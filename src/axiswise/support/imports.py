"""Objects by their import paths, as users write them, and as files name them."""

import functools
import importlib
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axiswise.support.reading import value_of

_PATH = r"[^\W\d]\w*(\.[^\W\d]\w*)*[.:][^\W\d]\w*(\.[^\W\d]\w*)*"
_OURS = __name__.partition(".")[0]


class UntrustedCodeError(ValueError):
    """A file names code that is not ours, and the user has not said that it may be run."""

    def __init__(self, what: str, spec: object) -> None:
        self.what, self.spec = what, spec
        super().__init__(
            f"{what} names {str(spec)[:200]!r}, which is not axiswise's own, and code that a file "
            "names is run only if you trust the file"
        )


@dataclass(frozen=True)
class Trust:
    """What code that files name may be run, beside ours.

    Attributes:
        files: All that they name.
        named: Import paths that the user named himself.
    """

    files: bool = False
    named: frozenset[str] = frozenset()

    @classmethod
    def of(cls, words: Iterable[str], *, files: bool = False) -> "Trust":
        """What a user trusts who wrote these command-line words."""
        return cls(files, frozenset(name for word in words for name in _texts(word)))

    def allows(self, spec: object) -> bool:
        """Whether an import path may be imported, whatever is there."""
        return isinstance(spec, str) and (self.files or spec in self.named)


def _texts(word: str) -> Iterator[str]:
    """What may be an import path in a word such as `--data=module.Class`."""
    for text in {word, word.partition("=")[2]}:
        parts = [text, value_of(text)]
        while parts:
            part = parts.pop()
            if isinstance(part, str):
                yield part
            elif isinstance(part, list):
                parts += part
            elif isinstance(part, dict):
                parts += part.values()


def is_import_path(spec: str) -> bool:
    """Whether a text can be an import path, `module:name` or `module.name`."""
    return bool(re.fullmatch(_PATH, spec))


def see_current_folder() -> str:
    """Let modules in the current folder be imported, which a console script cannot; its path.

    What is installed goes first: a file torch.py there must not take the place of the real one.
    """
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    return folder


def import_object(spec: str, what: str) -> Any:
    """The object at an import path. Its module is run; the current folder can be imported from.

    Args:
        spec: `module:name`, or `module.name` with the name behind the last dot.
        what: What the object is for, as errors are to say it.

    Raises:
        ValueError: If spec is no import path.
        ImportError: If there is no such module or name, or the module fails.
    """
    if not is_import_path(spec):
        raise ValueError(f"{what} must be an import path (module:name), got {spec!r}")
    module_name, name = _split(spec)
    folder = see_current_folder()
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{module_name}.".startswith(f"{missing}."):
            raise ImportError(
                f"{what} {spec}: there is no module {missing}, neither installed nor in {folder}"
            ) from error
        raise failure_in(spec, what, error) from error
    try:
        return functools.reduce(getattr, name.split("."), module)
    except AttributeError as error:
        raise ImportError(f"{what} {spec}: the module {module_name} has no {name}") from error


def import_named(spec: str, what: str, trust: Trust | None, is_ours: Callable[[Any], bool]) -> Any:
    """The object at an import path that a user or a file names.

    Args:
        spec: The import path.
        what: What the object is for.
        trust: What code may be run, if a file names it; None if the user does.
        is_ours: Whether an object of axiswise may stand there.

    Raises:
        UntrustedCodeError: If it is code that may not be run.

    It raises what `import_object` raises, too.
    """
    if trust is None or trust.allows(spec):
        return import_object(spec, what)
    found = our_object(spec)
    if found is None or not is_ours(found):
        raise refusal(what, spec)
    return found


def refusal(what: str, spec: object) -> ValueError:
    """The error for an import path in a file that names none of ours."""
    if re.match(rf"{_OURS}[.:]", str(spec)):
        return ValueError(f"{what} names {str(spec)[:200]!r}: axiswise defines nothing such there")
    return UntrustedCodeError(what, spec)


def our_object(spec: object) -> Any:
    """The class or function that axiswise itself defines at an import path; None if there is none.

    The path is judged by its name, and no module but ours is imported. What a module of ours has
    imported, such as `axiswise.cli.sys`, is not ours.
    """
    if not isinstance(spec, str) or not spec.isascii() or not is_import_path(spec):
        return None
    first, *parts = re.split(r"[.:]", spec)
    if first != _OURS or any(part.startswith("_") for part in parts):
        return None
    module_name, name = _split(spec)
    try:
        found = functools.reduce(getattr, name.split("."), importlib.import_module(module_name))
        home, path = found.__module__, found.__qualname__
        if not f"{home}.".startswith(f"{_OURS}."):
            return None
        defined = functools.reduce(getattr, path.split("."), sys.modules[home])
    except (AttributeError, ImportError, KeyError, TypeError):
        return None
    return found if defined is found else None


def _split(spec: str) -> tuple[str, str]:
    """Module and name of an import path."""
    module, _, name = spec.partition(":") if ":" in spec else spec.rpartition(".")
    return module, name


def failure_in(spec: str, what: str, error: BaseException) -> ImportError:
    """An error that says what went wrong in code that is not ours, and where."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    ours = Path(where.filename).is_relative_to(Path(__file__).parents[1])
    at = "" if ours else f" ({Path(where.filename).name}, line {where.lineno})"
    return ImportError(f"{what} {spec} could not be loaded: {type(error).__name__}: {error}{at}")
