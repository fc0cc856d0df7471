"""`axiswise sweep`: train and score many runs from one file."""

import argparse

from axiswise.cli._parts import Commands, add_trust


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("sweep", help="train and score many runs from one file")
    parser.add_argument(
        "file", metavar="FILE", help="recipes, values of their keys, seeds, in YAML"
    )
    parser.add_argument("--out", metavar="FOLDER", help="of the runs and sweep.csv; runs/FILE")
    parser.add_argument("--workers", type=int, metavar="N", help="runs at once; all that fit")
    parser.add_argument("--engine", choices=["local", "ray"], default="local", help="(local)")
    add_trust(parser, "the file or a recipe")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Train and score what is missing, and print where the table is."""
    from axiswise.cli.progress import bars, sweep_bars
    from axiswise.runs.sweeps import sweep

    given = (options.file, options.out, options.workers, options.engine, sweep_bars, bars)
    print(sweep(*given, trust=options.trust))
