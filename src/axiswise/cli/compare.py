"""`axiswise compare`: compare runs by recipe, or sets of directions."""

import argparse
from pathlib import Path

from axiswise.cli._parts import Commands, print_table, refuse


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
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Compare, and print the table and where it is."""
    from axiswise.runs.discover import holds_directions

    kinds = {holds_directions(source) for source in options.sources}
    if len(kinds) > 1:
        raise ValueError("FOLDER … must be runs or directions, and not both")
    print_table((_directions if kinds.pop() else _runs)(options))
    print(options.out)


def _directions(options: argparse.Namespace) -> list[list[str]]:
    from axiswise.runs.compare_directions import compare_directions, write_agreement

    refuse(options, "runs", "scores", "udr")
    agreement = compare_directions(options.sources)
    write_agreement(agreement, options.sources, options.out)
    return agreement.rows


def _runs(options: argparse.Namespace) -> list[list[str]]:
    from axiswise.cli.progress import bars
    from axiswise.runs.compare import (
        choose_scores,
        comparison_rows,
        group_by_recipe,
        read_evaluations,
        write_comparison,
    )

    evaluations = read_evaluations(options.sources)
    if options.udr:
        from axiswise.runs.udr import SIMILARITIES, add_udr

        # A wrong name is to cost no encoding.
        choose_scores(evaluations, [s for s in options.scores or () if s not in SIMILARITIES])
        with bars() as start_bar:
            evaluations = add_udr(evaluations, start_bar)
    if options.scores:
        evaluations = choose_scores(evaluations, options.scores)
    write_comparison(evaluations, options.sources, options.out)
    return comparison_rows(group_by_recipe(evaluations))
