"""`axiswise compare`: compare runs by recipe, or sets of directions."""

import argparse
from pathlib import Path

from axiswise.cli._parts import Commands, add_trust, print_table


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("compare", help="compare runs by recipe, or sets of directions")
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="FOLDER",
        help="evaluated runs, evaluation.json files, sweeps' folders; or folders of directions",
    )
    parser.add_argument("--scores", nargs="+", metavar="NAME", help="all, if none")
    parser.add_argument(
        "--udr", action="store_true", default=None, help="score VAEs of one config by each other"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/comparison"), help="for table and plots"
    )
    add_trust(parser, "a folder, with --udr,")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Compare, and print the table and where it is."""
    from axiswise.cli.progress import bars
    from axiswise.runs.dispatch import compare

    with bars() as start_bar:
        given = (options.sources, options.out, options.scores, options.udr, start_bar)
        rows = compare(*given, trust=options.trust)
    print_table(rows)
    print(options.out)
