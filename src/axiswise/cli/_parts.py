"""What several commands share."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_trust(parser: argparse.ArgumentParser, whose: str = "the folder") -> None:
    """Add the option that lets code run which a file names."""
    parser.add_argument(
        "--trust",
        action="store_true",
        help=f"run code of others too, where {whose} names any, in the current folder or installed",
    )


def given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of some options that the user gave, by name."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def print_table(rows: list[list[str]]) -> None:
    """Print rows, of which the first is the header."""
    from rich.table import Column, Table

    header, *others = [[visible(cell) for cell in row] for row in rows]
    table = Table(Column(header[0], no_wrap=True), *header[1:])
    for row in others:
        table.add_row(*row)
    console(sys.stdout).print(table)


def console(file: TextIO) -> "Console":
    """A console that prints names as they are: `[/b]` and `:x:` may be those of folders."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Plain(file=file, markup=False, emoji=False, highlight=False)


def visible(text: str) -> str:
    """A text in which what a terminal would obey, or cannot show, is written as an escape."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def now(folder: Path, *commands: str, more: str = "") -> str:
    """Commands that come next, as a shell takes them."""
    return ", ".join(f"`axiswise {name} {shlex.quote(str(folder))}{more}`" for name in commands)
