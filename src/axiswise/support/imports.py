"""Objects by their import paths, as users write them."""

import functools
import importlib
import re
import sys
import traceback
from pathlib import Path
from typing import Any

_PATH = r"[^\W\d]\w*(\.[^\W\d]\w*)*[.:][^\W\d]\w*(\.[^\W\d]\w*)*"


def is_import_path(spec: str) -> bool:
    """Whether a text can be an import path, `module:name` or `module.name`."""
    return bool(re.fullmatch(_PATH, spec))


def see_current_folder() -> str:
    """Let modules in the current folder be imported, which a console script cannot; its path."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
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
    module_name, _, name = spec.partition(":") if ":" in spec else spec.rpartition(".")
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


def failure_in(spec: str, what: str, error: BaseException) -> ImportError:
    """An error that says what went wrong in code that is not ours, and where."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    ours = Path(where.filename).is_relative_to(Path(__file__).parents[1])
    at = "" if ours else f" ({Path(where.filename).name}, line {where.lineno})"
    return ImportError(f"{what} {spec} could not be loaded: {type(error).__name__}: {error}{at}")
