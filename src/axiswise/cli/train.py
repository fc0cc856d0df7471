"""`axiswise train`: train a model by a recipe."""

import argparse

from axiswise.cli._parts import Commands, add_trust, now

_USAGE = """axiswise train RECIPE [--init RUN] [--data FOLDER] [--out FOLDER] [--trust]
                      [--key value …]
       axiswise train --resume FOLDER [--trust]"""


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "train",
        usage=_USAGE,
        help="train a model by a recipe",
        description="Train a model by a recipe. Any key of it can be overridden, as in "
        "--steps 1000 --terms.jl1.weight 0.3; `axiswise train RECIPE --help` lists them. "
        "--init RUN starts from the weights of another run; --data FOLDER takes your own images.",
        add_help=False,
    )
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="shipped name or YAML file")
    parser.add_argument("--resume", metavar="FOLDER", help="go on with a run")
    parser.add_argument("--out", metavar="FOLDER", help="folder of the run; runs/NAME-seedS")
    add_trust(parser, "the recipe")
    parser.add_argument("--help", "-h", action="store_true", help="show this, or a recipe's keys")
    parser.set_defaults(run=run, parser=parser, subject="recipe")


def run(options: argparse.Namespace) -> None:
    """Train, or print the help."""
    if options.help:
        _print_help(options)
        return
    if options.resume is not None and (options.recipe or options.out or options.words):
        raise ValueError("--resume takes a folder and nothing else: the recipe is in it")
    if options.resume is None and options.recipe is None:
        raise ValueError("train needs a RECIPE (`axiswise recipes` lists them) or --resume FOLDER")
    from axiswise.cli.progress import bars
    from axiswise.runs.protocol import needs_trust
    from axiswise.runs.train import is_helper, resume_run, train_recipe

    with bars() as start_bar:
        if options.resume is not None:
            made = resume_run(options.resume, start_bar, trust=options.trust)
        else:
            given = (options.recipe, options.words, options.out, start_bar)
            made = train_recipe(*given, trust=options.trust)
    if not is_helper():
        more = " --trust" if needs_trust(made.config) else ""
        print(f"{made.path}: trained; now {now(made.path, 'evaluate', 'show', more=more)}")


def _print_help(options: argparse.Namespace) -> None:
    options.parser.print_help()
    if options.recipe:
        from axiswise.runs.protocol import SECTIONS
        from axiswise.support.imports import Trust
        from axiswise.training.recipe import recipe_help, recipe_path

        trust = Trust.of(options.words, files=options.trust)
        print(recipe_help(recipe_path(options.recipe), options.words, SECTIONS, trust))
