"""`axiswise scores`: the metrics that `axiswise evaluate --metrics` takes."""

import argparse

from axiswise.cli._parts import Commands, print_table


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("scores", help="list what runs can be scored by")
    parser.set_defaults(run=run)


def run(_options: argparse.Namespace) -> None:
    """Print each metric's name, what it needs, which runs get it unasked, and what it measures."""
    from axiswise.runs.scores import score_table

    print_table(score_table())
