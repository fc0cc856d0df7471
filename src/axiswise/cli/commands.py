"""All commands: their words parsed, run, and their faults said in a line."""

import argparse
import os
import re
import shlex
import sys
import warnings
from contextlib import suppress
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
from axiswise.cli._parts import visible
from axiswise.cli.process import UNREAD, is_unread

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


def run_command(words: list[str]) -> int:
    """Run a command of these words; the exit status, as `axiswise.cli.main` has it."""
    own_format, warnings.formatwarning = warnings.formatwarning, _warning
    options = None
    try:
        _check_text(words)
        options = _parse(words)
        _check_out(options)
        options.run(options)
    except SystemExit as stop:  # argparse has printed the help, or what is wrong
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and is_unread():
            return UNREAD
        return _complain_about(error, words if hasattr(options, "trust") else [])
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
        used = next(commands.choices[word] for word in words if word in commands.choices)
        used.error(f"unrecognized arguments: {' '.join(own)}")
    options.words = own
    given = getattr(options, subject) if subject else None
    late = own and given and words.index(own[0]) < words.index(given)
    if late and not getattr(options, "resume", None):
        options.parser.error(
            f"{str(subject).upper()} must come before the keys that change it, here before {own[0]}"
        )
    return options


def _check_text(words: list[str]) -> None:
    """Refuse names of bytes that are no text: libraries below take none, some only after hours."""
    for word in words:
        if any("\ud800" <= character <= "\udfff" for character in word):
            raise ValueError(
                f"a name must be text in this system's encoding, {sys.getfilesystemencoding()}, "
                f"got {word!r}: rename it, or set LC_ALL=C.UTF-8 if it is text in UTF-8"
            )


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
    if _is_lost():
        return _complain("the current folder does not exist any more: go to another one", 1)
    from jsonargparse import ArgumentError

    from axiswise.runs.train import is_helper
    from axiswise.support.imports import UntrustedCodeError
    from axiswise.training.stops import InterruptedRunError, TrainingStoppedError

    message = _reason(str(error))
    message = message if len(message) <= _LONGEST else f"{message[:_LONGEST]} …"
    if isinstance(error, UntrustedCodeError) and words:
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
    return f"axiswise: warning: {visible(' '.join(str(message).split()))}\n"


def _is_lost() -> bool:
    """Whether the current folder was deleted, whatever error that led to."""
    try:
        os.getcwd()  # noqa: PTH109 - which Path.cwd may not ask for
    except OSError:
        return True
    return False


def _complain(message: str, status: int) -> int:
    line = visible(" ".join(message.split()))
    with suppress(OSError):  # nobody may be there to read it
        print(f"axiswise: error: {line}", file=sys.stderr)
    return status


def _reason(message: str) -> str:
    """Of all that jsonargparse tried on a value that may be null, what is wrong with the value."""
    message = re.sub(r"Does not validate against any.*?\n *- ", "", message, flags=re.S)
    return re.split(r"\n *- Expected a <class 'NoneType'>", message)[0]
