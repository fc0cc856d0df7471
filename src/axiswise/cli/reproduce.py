"""`axiswise reproduce`: make a figure of a paper again."""

import argparse
from pathlib import Path

from axiswise.cli._parts import Commands, print_table


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "reproduce",
        help="a figure of a paper: train what is missing, score, draw",
        description="Train what is missing for a figure of a paper, score it, and write a page "
        "with our numbers beside the paper's. Without FIGURE, list the figures.",
    )
    parser.add_argument("figure", nargs="?", metavar="FIGURE", help="such as jl1-figure5")
    parser.add_argument("--scale", choices=["fast", "paper"], default="fast", help="(fast)")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="S", help="the figure's own")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/figures"),
        metavar="FOLDER",
        help="of pages, scores and runs, which figures share (runs/figures)",
    )
    parser.add_argument("--data", metavar="FOLDER", help="of your own images, to train on them")
    parser.add_argument("--generator", metavar="SPEC", help="that a figure of directions is about")
    parser.add_argument("--workers", type=int, metavar="N", help="runs at once; all that fit")
    parser.add_argument(
        "--draw-only", action="store_true", help="train nothing: draw what is there"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Make the figure and print where its page is; or list the figures."""
    if options.figure is None:
        from axiswise.runs.figures.figure import figure_names, read_figure

        names = figure_names()
        print_table([["figure", "what"], *([name, read_figure(name).title] for name in names)])
        return
    from axiswise.cli.progress import bars, sweep_bars
    from axiswise.runs.figures.reproduce import reproduce
    from axiswise.training.stops import TrainingStoppedError

    made = reproduce(
        options.figure,
        options.scale,
        options.out,
        options.seeds,
        data=options.data,
        generator=options.generator,
        workers=options.workers,
        train=not options.draw_only,
        bars=sweep_bars,
        drawing=bars,
    )
    print(made.page)
    if made.lacks:
        raise TrainingStoppedError(f"{options.figure} is made of what you give: {made.lacks}")
    if made.missing:
        first = "; ".join(f"{run.folder} ({reason})" for run, reason in made.missing[:3])
        more = f"; and {len(made.missing) - 3} more" if len(made.missing) > 3 else ""
        raise TrainingStoppedError(f"the page lacks {len(made.missing)} runs: {first}{more}")
