"""The command line: `axiswise COMMAND …`.

Each command is a file, with a function `add` that makes its parser and a function `run` that calls
`axiswise.runs` and prints. Their imports stand in `run`, so that help comes at once.
"""

import argparse
import re
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from axiswise.cli import (
    compare,
    data,
    discover,
    evaluate,
    recipes,
    reproduce,
    scores,
    sefa,
    show,
    sweep,
    train,
)
from axiswise.support.threads import share_cores

COMMANDS = (
    train,
    recipes,
    discover,
    evaluate,
    scores,
    show,
    sefa,
    compare,
    sweep,
    reproduce,
    data,
)

_LONGEST = 1200  # characters of a message: what stood in a damaged file may be longer
_USERS_FAULTS = ValueError | TypeError | OSError | ImportError | NotImplementedError


def main(words: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        words: What follows `axiswise` on the command line; the process's own if None.

    Returns:
        Exit status: 0 if all went well, 1 if it did not, 2 if the words were wrong, 130 after
        Ctrl-C.
    """
    share_cores()
    given = sys.argv[1:] if words is None else list(words)
    own_format, warnings.formatwarning = warnings.formatwarning, _warning
    try:
        options = _parse(given)
        _check_out(options)
        options.run(options)
    except SystemExit as stop:  # argparse has printed the help, or what is wrong
        return int(stop.code or 0)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except Exception as error:
        return _complain_about(error, given)
    finally:
        warnings.formatwarning = own_format
    return 0


def _parse(words: list[str]) -> argparse.Namespace:
    """The options; `words` are those that a command with a subject (a recipe, say) reads itself."""
    parser = argparse.ArgumentParser(
        prog="axiswise", description="Latent axes that each change one thing."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    options, own = parser.parse_known_args(words)
    subject = getattr(options, "subject", None)
    if own and subject is None:
        parser.error(f"unrecognized arguments: {' '.join(own)}")
    options.words = own
    given = getattr(options, subject) if subject else None
    late = own and given and words.index(own[0]) < words.index(given)
    if late and not getattr(options, "resume", None):
        options.parser.error(
            f"{str(subject).upper()} must come before the keys that change it, here before {own[0]}"
        )
    return options


def _check_out(options: argparse.Namespace) -> None:
    """Refuse a file in place of a folder before the work, not after it."""
    out = getattr(options, "out", None)
    if out is None:
        return
    whole = Path(out).absolute()
    there = next(path for path in (whole, *whole.parents) if path.exists())
    if not there.is_dir():
        raise NotADirectoryError(f"--out must be a folder, got {str(out)!r}: {there} is a file")


def _complain_about(error: Exception, words: list[str]) -> int:
    """One line for what a user can mend; the whole traceback for what is our own fault."""
    from jsonargparse import ArgumentError

    from axiswise.runs.train import is_helper
    from axiswise.support.imports import UntrustedCodeError
    from axiswise.training.stops import InterruptedRunError, TrainingStoppedError

    message = _reason(str(error))
    message = message if len(message) <= _LONGEST else f"{message[:_LONGEST]} …"
    if isinstance(error, UntrustedCodeError):
        message += f": axiswise {shlex.join([*words, '--trust'])}"
    if isinstance(error, ArgumentError):
        status = 2
    elif isinstance(error, InterruptedRunError):
        status = 130
    elif isinstance(error, _USERS_FAULTS | TrainingStoppedError):
        status = 1
    else:
        raise error
    return status if is_helper() else _complain(message, status)


def _warning(message: Warning | str, *_: object, **__: object) -> str:
    """A warning as users see it: one line without the place in the code."""
    return f"axiswise: warning: {' '.join(str(message).split())}\n"


def _complain(message: str, status: int) -> int:
    print("axiswise: error: " + " ".join(message.split()), file=sys.stderr)
    return status


def _reason(message: str) -> str:
    """Of all that jsonargparse tried on a value that may be null, what is wrong with the value."""
    message = re.sub(r"Does not validate against any.*?\n *- ", "", message, flags=re.S)
    return re.split(r"\n *- Expected a <class 'NoneType'>", message)[0]
