"""`axiswise data`: list the data sets, or draw pictures of one."""

import argparse

from axiswise.cli._parts import Commands, print_table


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("data", help="list the data sets, or draw pictures of one")
    parser.set_defaults(run=run)
    show = parser.add_subparsers(metavar="COMMAND").add_parser(
        "show", help="draw samples, and the range of each factor"
    )
    show.add_argument("name", metavar="NAME", help="as listed, or module:name")
    show.add_argument("--out", metavar="FOLDER", help="for the pictures; runs/data-NAME")
    show.add_argument("--seed", type=int, default=0, help="of the images shown (0)")
    show.set_defaults(run=_show)


def run(_options: argparse.Namespace) -> None:
    """Print the list."""
    from axiswise.data.listing import data_rows

    print_table(data_rows())


def _show(options: argparse.Namespace) -> None:
    from axiswise.cli.progress import bars
    from axiswise.runs.show_data import show_data

    with bars() as start_bar:
        paths = show_data(options.name, options.out, options.seed, start_bar)
    print(*paths, sep="\n")
