"""`axiswise show`: draw pictures of a run, or of directions."""

import argparse
from pathlib import Path

from axiswise.cli._parts import Commands, given, refuse


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("show", help="draw pictures of a run, or directions; report.html")
    parser.add_argument("folder", metavar="FOLDER", help="of the run or the directions")
    parser.add_argument("--seed", type=int, default=0, help="of the images shown (0)")
    parser.add_argument("--only", type=int, nargs="+", metavar="I", help="these directions")
    parser.add_argument("--extent", type=float, metavar="X", help="from −X to X along each (5)")
    parser.add_argument("--samples", type=int, metavar="N", help="images for each direction")
    parser.add_argument("--generator", metavar="SPEC", help="of directions: where it is")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Draw, and print where the report is."""
    from axiswise.runs.discover import holds_directions

    print((_directions if holds_directions(options.folder) else _run)(options))


def _directions(options: argparse.Namespace) -> Path:
    from axiswise.cli.progress import bars
    from axiswise.runs.discover import open_directions
    from axiswise.runs.show_directions import show_directions

    _, generator, _ = open_directions(options.folder, options.generator)
    with bars() as start_bar:
        return show_directions(
            Path(options.folder),
            generator,
            seed=options.seed,
            start_bar=start_bar,
            **given(options, "only", "extent", "samples"),
        )


def _run(options: argparse.Namespace) -> Path:
    from axiswise.cli.progress import bars
    from axiswise.runs.run import load_run
    from axiswise.runs.show import show_run

    refuse(options, "directions", "only", "extent", "samples", "generator")
    run = load_run(options.folder)
    with bars() as start_bar:
        return show_run(run, options.seed, start_bar)
