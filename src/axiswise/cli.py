"""The command line. It reads words and hands them to `axiswise.commands`; it decides nothing."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

_TRAIN_USAGE = """axiswise train RECIPE [--out FOLDER] [--key value …]
       axiswise train --resume FOLDER"""


def main(words: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        words: What follows `axiswise` on the command line; the process's own if None.

    Returns:
        Exit status: 0 if all went well, 1 if it did not, 2 if the words were wrong, 130 after
        Ctrl-C.
    """
    try:
        options, overrides = _parse(sys.argv[1:] if words is None else list(words))
        options.run(options, overrides)
    except SystemExit as stop:  # argparse has said its piece
        return int(stop.code or 0)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except Exception as error:
        return _complain_about(error)
    return 0


def _parse(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="axiswise", description="Latent axes that each change one thing."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser(
        "train",
        usage=_TRAIN_USAGE,
        help="train a model by a recipe",
        description="Train a model by a recipe. Any key of it can be overridden, as in "
        "--steps 1000 --penalty.weight 0.3; `axiswise train RECIPE --help` lists them.",
        add_help=False,
    )
    train.add_argument("recipe", nargs="?", metavar="RECIPE", help="shipped name or YAML file")
    train.add_argument("--resume", metavar="FOLDER", help="go on with a run")
    train.add_argument("--out", metavar="FOLDER", help="folder of the run; runs/NAME-seedS")
    train.add_argument("--help", "-h", action="store_true", help="show this, or a recipe's keys")
    train.set_defaults(run=_train, parser=train)

    recipes = commands.add_parser("recipes", help="list the shipped recipes")
    recipes.set_defaults(run=_recipes)

    evaluate = commands.add_parser("evaluate", help="score a run")
    evaluate.add_argument("folder", metavar="FOLDER", help="the run's folder")
    evaluate.add_argument("--metrics", nargs="+", metavar="NAME", help="the usual ones, if none")
    evaluate.add_argument("--radius", nargs="+", type=float, metavar="R", help="of local scores")
    evaluate.add_argument(
        "--features", metavar="NAME", help="of FID, KID, PPL: efficientnet-lite0, inception, lpips"
    )
    evaluate.add_argument("--seed", type=int, default=0, help="of what is sampled (0)")
    evaluate.set_defaults(run=_evaluate)

    show = commands.add_parser("show", help="draw a run's pictures and report.html")
    show.add_argument("folder", metavar="FOLDER", help="the run's folder")
    show.add_argument("--seed", type=int, default=0, help="of the images shown (0)")
    show.set_defaults(run=_show)

    sefa = commands.add_parser("sefa", help="turn a GAN's axes to the directions that SeFa finds")
    sefa.add_argument("folder", metavar="FOLDER", help="the run's folder")
    sefa.add_argument("--out", metavar="FOLDER", help="folder of the new run; FOLDER-sefa")
    sefa.set_defaults(run=_sefa)

    compare = commands.add_parser("compare", help="compare runs, grouped by recipe")
    compare.add_argument(
        "sources", nargs="+", metavar="FOLDER", help="evaluated runs, or evaluation.json files"
    )
    compare.add_argument("--scores", nargs="+", metavar="NAME", help="all, if none")
    compare.add_argument(
        "--out", type=Path, default=Path("runs/comparison"), help="for table and plots"
    )
    compare.set_defaults(run=_compare)

    options, overrides = parser.parse_known_args(words)
    if overrides and options.run is not _train:
        parser.error(f"unrecognized arguments: {' '.join(overrides)}")
    late = overrides and options.recipe and words.index(overrides[0]) < words.index(options.recipe)
    if late and options.resume is None:
        train.error(f"RECIPE must come before the keys that change it, here before {overrides[0]}")
    return options, overrides


def _train(options: argparse.Namespace, overrides: list[str]) -> None:
    if options.help:
        options.parser.print_help()
        if options.recipe:
            from axiswise.recipes import recipe_kind, recipe_parser, recipe_path

            recipe_parser(recipe_kind(recipe_path(options.recipe))).print_help()
        return
    from axiswise.commands.train import is_helper, resume_run, train_recipe

    if options.resume is not None:
        if options.recipe or options.out or overrides:
            raise ValueError("--resume takes a folder and nothing else: the recipe is in it")
        run = resume_run(options.resume)
    elif options.recipe is None:
        raise ValueError("train needs a RECIPE (`axiswise recipes` lists them) or --resume FOLDER")
    else:
        run = train_recipe(options.recipe, overrides, options.out)
    if not is_helper():
        print(
            f"{run.path}: trained; now `axiswise evaluate {run.path}`, `axiswise show {run.path}`"
        )


def _recipes(_options: argparse.Namespace, _overrides: list[str]) -> None:
    from axiswise.recipes import recipe_descriptions

    descriptions = recipe_descriptions()
    width = max(map(len, descriptions))
    for name, description in descriptions.items():
        print(f"{name:{width}}  {description}")


def _evaluate(options: argparse.Namespace, _overrides: list[str]) -> None:
    from axiswise.commands.evaluate import evaluate_run
    from axiswise.commands.loading import load_run
    from axiswise.commands.progress import counting_bar
    from axiswise.commands.show import score_rows

    run = load_run(options.folder)
    with counting_bar() as start_bar:
        result = evaluate_run(
            run, options.metrics, options.radius, options.seed, start_bar, options.features
        )
    _print_table(score_rows(result["scores"]))
    print(run.folder.evaluation)


def _show(options: argparse.Namespace, _overrides: list[str]) -> None:
    from axiswise.commands.loading import load_run
    from axiswise.commands.progress import counting_bar
    from axiswise.commands.show import show_run

    run = load_run(options.folder)
    with counting_bar() as start_bar:
        report = show_run(run, options.seed, start_bar)
    print(report)


def _sefa(options: argparse.Namespace, _overrides: list[str]) -> None:
    from axiswise.commands.sefa import sefa_run

    path = sefa_run(options.folder, options.out).path
    print(f"{path}: now `axiswise evaluate {path}`, `axiswise show {path}`")


def _compare(options: argparse.Namespace, _overrides: list[str]) -> None:
    from axiswise.commands.compare import (
        choose_scores,
        comparison_rows,
        group_by_recipe,
        read_evaluations,
        write_comparison,
    )

    evaluations = read_evaluations(options.sources)
    if options.scores:
        evaluations = choose_scores(evaluations, options.scores)
    write_comparison(evaluations, options.sources, options.out)
    _print_table(comparison_rows(group_by_recipe(evaluations)))
    print(options.out)


def _print_table(rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0])
    for row in rows[1:]:
        table.add_row(*row)
    Console().print(table)


def _complain_about(error: Exception) -> int:
    """One line for what a user can mend; the whole traceback for what is our own fault."""
    from jsonargparse import ArgumentError

    from axiswise.commands.train import is_helper
    from axiswise.training.stops import InterruptedRunError, TrainingStoppedError

    if isinstance(error, ArgumentError):
        status = 2
    elif isinstance(error, InterruptedRunError):
        status = 130
    elif isinstance(error, ValueError | TypeError | OSError | ImportError | TrainingStoppedError):
        status = 1
    else:
        raise error
    return status if is_helper() else _complain(_reason(str(error)), status)


def _complain(message: str, status: int) -> int:
    print("axiswise: error: " + " ".join(message.split()), file=sys.stderr)
    return status


def _reason(message: str) -> str:
    """Of all that jsonargparse tried on a value that may be null, what is wrong with the value."""
    message = re.sub(r"Does not validate against any.*?\n *- ", "", message, flags=re.S)
    return re.split(r"\n *- Expected a <class 'NoneType'>", message)[0]


if __name__ == "__main__":
    sys.exit(main())
