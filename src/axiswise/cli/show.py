"""`axiswise show`: draw pictures of a run, or of directions."""

import argparse

from axiswise.cli._parts import Commands, add_trust


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("show", help="draw pictures of a run, or directions; report.html")
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        help="of the run or the directions; or a file of published weights",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the images shown (0)")
    parser.add_argument("--only", type=int, nargs="+", metavar="I", help="these directions")
    parser.add_argument(
        "--extent", type=float, metavar="X", help="from −X to X along each; as published"
    )
    parser.add_argument("--samples", type=int, metavar="N", help="images for each direction")
    parser.add_argument("--generator", metavar="SPEC", help="of directions: where it is")
    add_trust(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Draw, and print where the report is."""
    from axiswise.cli.progress import bars
    from axiswise.runs.discover import folder_of
    from axiswise.runs.dispatch import show

    own = {name: getattr(options, name) for name in ("generator", "only", "extent", "samples")}
    with bars() as start_bar:
        folder = folder_of(options.folder, start_bar)
        report = show(folder, options.seed, start_bar, trust=options.trust, **own)
    print(report)
