"""`axiswise sefa`: a GAN with the directions that SeFa finds as its axes."""

import argparse

from axiswise.cli._parts import Commands, add_trust, now


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("sefa", help="turn a GAN's axes to the directions that SeFa finds")
    parser.add_argument("folder", metavar="FOLDER", help="the run's folder")
    parser.add_argument("--out", metavar="FOLDER", help="folder of the new run; FOLDER-sefa")
    add_trust(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Make the new run, and print where it is."""
    from axiswise.runs.sefa import sefa_run

    path = sefa_run(options.folder, options.out, trust=options.trust).path
    print(f"{path}: now {now(path, 'evaluate', 'show')}")
