"""`axiswise evaluate`: score a run, or directions."""

import argparse
from pathlib import Path

from axiswise.cli._parts import Commands, add_trust, print_table
from axiswise.support.family import declared_names


def add(commands: Commands) -> None:
    """Add the command's parser."""
    names = sorted(declared_names("axiswise.metrics", "metric"))
    parser = commands.add_parser(
        "evaluate",
        help="score a run, or directions",
        epilog=f"Metrics of runs: {', '.join(names)}; those of codes also as local_NAME.",
    )
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        help="of the run or the directions; or a file of published weights",
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        metavar="NAME",
        help="of those below, or module:name of yours, or all; the usual ones, if none",
    )
    parser.add_argument("--radius", nargs="+", type=float, metavar="R", help="of local scores")
    parser.add_argument(
        "--held", nargs="+", metavar="FACTOR", help="that local scores leave at each centre"
    )
    parser.add_argument(
        "--features",
        metavar="NAME",
        help="of FID, KID, PPL: efficientnet-lite0, inception, lpips, or a file of weights",
    )
    parser.add_argument("--seed", type=int, default=0, help="of what is sampled (0)")
    parser.add_argument("--generator", metavar="SPEC", help="of directions: where it is")
    add_trust(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Score, and print the scores and where they are."""
    from axiswise.cli.progress import bars
    from axiswise.runs.discover import folder_of
    from axiswise.runs.dispatch import evaluate

    names = ("radius", "held", "features", "generator", "trust")
    own = {name: getattr(options, name) for name in names}
    with bars() as start_bar:
        folder = folder_of(options.folder, start_bar)
        rows = evaluate(folder, options.metrics, options.seed, start_bar, **own)
    print_table(rows)
    print(Path(folder) / "evaluation.json")
