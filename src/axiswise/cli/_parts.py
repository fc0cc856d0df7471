"""What several commands share."""

import argparse
from typing import Any, TypeAlias

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
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column(rows[0][0], no_wrap=True), *rows[0][1:])
    for row in rows[1:]:
        table.add_row(*row)
    Console().print(table)
