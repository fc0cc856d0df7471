"""`axiswise evaluate`: score a run, or directions."""

import argparse
from pathlib import Path

from axiswise.cli._parts import Commands, print_table, refuse
from axiswise.support.family import declared_names


def add(commands: Commands) -> None:
    """Add the command's parser."""
    names = sorted(declared_names("axiswise.metrics", "metric"))
    parser = commands.add_parser(
        "evaluate",
        help="score a run, or directions",
        epilog=f"Metrics of runs: {', '.join(names)}; those of codes also as local_NAME.",
    )
    parser.add_argument("folder", metavar="FOLDER", help="of the run or the directions")
    parser.add_argument(
        "--metrics",
        nargs="+",
        metavar="NAME",
        help="of those below, or module:name of yours, or all; the usual ones, if none",
    )
    parser.add_argument("--radius", nargs="+", type=float, metavar="R", help="of local scores")
    parser.add_argument(
        "--features", metavar="NAME", help="of FID, KID, PPL: efficientnet-lite0, inception, lpips"
    )
    parser.add_argument("--seed", type=int, default=0, help="of what is sampled (0)")
    parser.add_argument("--generator", metavar="SPEC", help="of directions: where it is")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Score, and print the scores and where they are."""
    from axiswise.runs.discover import holds_directions

    (_directions if holds_directions(options.folder) else _run)(options)
    print(Path(options.folder) / "evaluation.json")


def _directions(options: argparse.Namespace) -> None:
    from axiswise.cli.progress import bars
    from axiswise.runs.evaluate_directions import evaluate_directions, score_table

    refuse(options, "runs", "radius", "features")
    with bars() as start_bar:
        result = evaluate_directions(
            options.folder, options.generator, options.metrics, options.seed, start_bar
        )
    print_table(score_table(result["scores"]))


def _run(options: argparse.Namespace) -> None:
    from axiswise.cli.progress import bars
    from axiswise.runs.evaluate import evaluate_run
    from axiswise.runs.run import load_run
    from axiswise.runs.show import score_rows

    refuse(options, "directions", "generator")
    run = load_run(options.folder)
    with bars() as start_bar:
        result = evaluate_run(
            run, options.metrics, options.radius, options.seed, start_bar, options.features
        )
    print_table(score_rows(result["scores"]))
