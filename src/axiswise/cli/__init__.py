"""The command line. It reads words and hands them to `axiswise.runs`; it decides nothing."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

_TRAIN_USAGE = """axiswise train RECIPE [--out FOLDER] [--key value …]
       axiswise train --resume FOLDER"""

_DISCOVER_USAGE = """axiswise discover GENERATOR [--method NAME] [--directions N]
       [--subspace START:STOP] [--out FOLDER] [--seed S] [--latent-dim N] [--classes C …]
       [--derivative forward|finite] [--epsilon E] [--chunk-size N] [--key value …]"""

_USERS_FAULTS = ValueError | TypeError | OSError | ImportError | NotImplementedError


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
        _check_out(options)
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

    discover = commands.add_parser(
        "discover",
        usage=_DISCOVER_USAGE,
        help="find directions in the latents of a generator",
        description="Find directions in the latents of a generator: a run folder, a folder or Hub "
        "repository in our format, an import path (module:name), or biggan:FILE. Below are the "
        "settings of all methods, then those of the one that --method names.",
        add_help=False,
        allow_abbrev=False,
    )
    discover.add_argument("generator", nargs="?", metavar="GENERATOR", help="where it is")
    discover.add_argument(
        "--method", default="orojar", metavar="NAME", help="orojar, if none; see the end"
    )
    discover.add_argument("--directions", type=int, metavar="N", help="the most important; all")
    discover.add_argument(
        "--subspace", metavar="START:STOP", help="latents to search, or coarse, mid, fine; all"
    )
    discover.add_argument("--out", metavar="FOLDER", help="runs/GENERATOR-METHOD-seedS")
    discover.add_argument("--seed", type=int, default=0, help="of what is sampled (0)")
    discover.add_argument(
        "--latent-dim", type=int, metavar="N", help="where the generator does not say"
    )
    discover.add_argument("--classes", type=int, nargs="+", metavar="C", help="of BigGAN; all")
    discover.add_argument(
        "--derivative", choices=["forward", "finite"], help="finite needs no derivatives (forward)"
    )
    discover.add_argument("--epsilon", type=float, metavar="E", help="step of finite differences")
    discover.add_argument(
        "--chunk-size", type=int, metavar="N", help="bound on latents times directions at once"
    )
    discover.add_argument("--help", "-h", action="store_true", help="show this")
    discover.set_defaults(run=_discover, parser=discover)

    evaluate = commands.add_parser("evaluate", help="score a run, or directions")
    evaluate.add_argument("folder", metavar="FOLDER", help="of the run or the directions")
    evaluate.add_argument(
        "--metrics", nargs="+", metavar="NAME", help="or all; the usual ones, if none"
    )
    evaluate.add_argument("--radius", nargs="+", type=float, metavar="R", help="of local scores")
    evaluate.add_argument(
        "--features", metavar="NAME", help="of FID, KID, PPL: efficientnet-lite0, inception, lpips"
    )
    evaluate.add_argument("--seed", type=int, default=0, help="of what is sampled (0)")
    evaluate.add_argument("--generator", metavar="SPEC", help="of directions: where it is")
    evaluate.set_defaults(run=_evaluate)

    show = commands.add_parser("show", help="draw pictures of a run, or directions; report.html")
    show.add_argument("folder", metavar="FOLDER", help="of the run or the directions")
    show.add_argument("--seed", type=int, default=0, help="of the images shown (0)")
    show.add_argument("--only", type=int, nargs="+", metavar="I", help="these directions")
    show.add_argument("--extent", type=float, metavar="X", help="moved from −X to X (5)")
    show.add_argument("--samples", type=int, metavar="N", help="images for each direction")
    show.add_argument("--generator", metavar="SPEC", help="of directions: where it is")
    show.set_defaults(run=_show)

    sefa = commands.add_parser("sefa", help="turn a GAN's axes to the directions that SeFa finds")
    sefa.add_argument("folder", metavar="FOLDER", help="the run's folder")
    sefa.add_argument("--out", metavar="FOLDER", help="folder of the new run; FOLDER-sefa")
    sefa.set_defaults(run=_sefa)

    compare = commands.add_parser("compare", help="compare runs by recipe, or sets of directions")
    compare.add_argument(
        "sources",
        nargs="+",
        metavar="FOLDER",
        help="evaluated runs, evaluation.json files, sweeps' folders; or folders of directions",
    )
    compare.add_argument("--scores", nargs="+", metavar="NAME", help="all, if none")
    compare.add_argument(
        "--udr", action="store_true", default=None, help="score VAEs of one config by each other"
    )
    compare.add_argument(
        "--out", type=Path, default=Path("runs/comparison"), help="for table and plots"
    )
    compare.set_defaults(run=_compare)

    sweep = commands.add_parser("sweep", help="train and score many runs from one file")
    sweep.add_argument("file", metavar="FILE", help="recipes, values of their keys, seeds, in YAML")
    sweep.add_argument("--out", metavar="FOLDER", help="of the runs and sweep.csv; runs/FILE")
    sweep.add_argument("--workers", type=int, metavar="N", help="runs at once; all that fit")
    sweep.add_argument("--engine", choices=["local", "ray"], default="local", help="(local)")
    sweep.set_defaults(run=_sweep)

    reproduce = commands.add_parser(
        "reproduce",
        help="a figure of a paper: train what is missing, score, draw",
        description="Train what is missing for a figure of a paper, score it, and write a page "
        "with our numbers beside the paper's. Without FIGURE, list the figures.",
    )
    reproduce.add_argument("figure", nargs="?", metavar="FIGURE", help="such as jl1-figure5")
    reproduce.add_argument("--scale", choices=["fast", "paper"], default="fast", help="(fast)")
    reproduce.add_argument("--seeds", nargs="+", type=int, metavar="S", help="the figure's own")
    reproduce.add_argument(
        "--out",
        type=Path,
        default=Path("runs/figures"),
        metavar="FOLDER",
        help="of pages, scores and runs, which figures share (runs/figures)",
    )
    reproduce.add_argument("--workers", type=int, metavar="N", help="runs at once; all that fit")
    reproduce.add_argument(
        "--draw-only", action="store_true", help="train nothing: draw what is there"
    )
    reproduce.set_defaults(run=_reproduce)

    data = commands.add_parser("data", help="list the data sets, or draw pictures of one")
    data.set_defaults(run=_data)
    data_show = data.add_subparsers(metavar="COMMAND").add_parser(
        "show", help="draw samples, and the range of each factor"
    )
    data_show.add_argument("name", metavar="NAME", help="as `axiswise data` lists it")
    data_show.add_argument("--out", metavar="FOLDER", help="for the pictures; runs/data-NAME")
    data_show.add_argument("--seed", type=int, default=0, help="of the images shown (0)")
    data_show.set_defaults(run=_show_data)

    options, overrides = parser.parse_known_args(words)
    if overrides and options.run not in (_train, _discover):
        parser.error(f"unrecognized arguments: {' '.join(overrides)}")
    what = "recipe" if options.run is _train else "generator"
    first = getattr(options, what, None)
    late = overrides and first and words.index(overrides[0]) < words.index(first)
    if late and not getattr(options, "resume", None):
        options.parser.error(
            f"{what.upper()} must come before the keys that change it, here before {overrides[0]}"
        )
    return options, overrides


def _train(options: argparse.Namespace, overrides: list[str]) -> None:
    if options.help:
        options.parser.print_help()
        if options.recipe:
            from axiswise.training.recipe import recipe_kind, recipe_parser, recipe_path

            recipe_parser(recipe_kind(recipe_path(options.recipe))).print_help()
        return
    from axiswise.runs.train import is_helper, resume_run, train_recipe

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
    from axiswise.training.recipe import recipe_descriptions

    descriptions = recipe_descriptions()
    width = max(map(len, descriptions))
    for name, description in descriptions.items():
        print(f"{name:{width}}  {description}")


def _data(_options: argparse.Namespace, _overrides: list[str]) -> None:
    from axiswise.runs.show_data import data_rows

    _print_table(data_rows())


def _show_data(options: argparse.Namespace, _overrides: list[str]) -> None:
    from axiswise.cli.progress import counting_bar
    from axiswise.runs.show_data import show_data

    with counting_bar() as start_bar:
        paths = show_data(options.name, options.out, options.seed, start_bar)
    print(*paths, sep="\n")


def _discover(options: argparse.Namespace, words: list[str]) -> None:
    from axiswise.cli.progress import searching_bar
    from axiswise.runs.discover import GeneratorSource, discover, method_parser

    if options.help:
        options.parser.print_help()
        method_parser(options.method).print_help()
        return
    if options.generator is None:
        raise ValueError("discover needs a GENERATOR, such as a run folder or module:name")
    common = ("directions", "seed", "derivative", "epsilon", "chunk_size")
    given = {name: getattr(options, name) for name in common if getattr(options, name) is not None}
    source = GeneratorSource(options.generator, options.latent_dim, options.classes)
    with searching_bar() as start_search:
        folder, found = discover(
            source,
            options.method,
            words,
            options.out,
            subspace=options.subspace,
            start_search=start_search,
            **given,
        )
    then = (f"`axiswise {name} {folder}{source.words}`" for name in ("evaluate", "show"))
    print(f"{folder}: {len(found)} directions; now {', '.join(then)}")


def _evaluate(options: argparse.Namespace, _overrides: list[str]) -> None:
    from axiswise.runs.discover import holds_directions

    (_evaluate_directions if holds_directions(options.folder) else _evaluate_run)(options)
    print(Path(options.folder) / "evaluation.json")


def _evaluate_directions(options: argparse.Namespace) -> None:
    from axiswise.cli.progress import counting_bar
    from axiswise.runs.evaluate_directions import evaluate_directions, score_table

    _only_for("runs", options, "radius", "features")
    with counting_bar() as start_bar:
        result = evaluate_directions(
            options.folder, options.generator, options.metrics, options.seed, start_bar
        )
    _print_table(score_table(result["scores"]))


def _evaluate_run(options: argparse.Namespace) -> None:
    from axiswise.cli.progress import counting_bar
    from axiswise.runs.evaluate import evaluate_run
    from axiswise.runs.run import load_run
    from axiswise.runs.show import score_rows

    _only_for("directions", options, "generator")
    run = load_run(options.folder)
    with counting_bar() as start_bar:
        result = evaluate_run(
            run, options.metrics, options.radius, options.seed, start_bar, options.features
        )
    _print_table(score_rows(result["scores"]))


def _show(options: argparse.Namespace, _overrides: list[str]) -> None:
    from axiswise.runs.discover import holds_directions

    (_show_directions if holds_directions(options.folder) else _show_run)(options)


def _show_directions(options: argparse.Namespace) -> None:
    from axiswise.cli.progress import counting_bar
    from axiswise.runs.discover import open_directions
    from axiswise.runs.show_directions import show_directions

    given = ("extent", "samples")
    chosen = {name: getattr(options, name) for name in given if getattr(options, name) is not None}
    _, generator, _ = open_directions(options.folder, options.generator)
    with counting_bar() as start_bar:
        report = show_directions(
            Path(options.folder),
            generator,
            only=options.only,
            seed=options.seed,
            start_bar=start_bar,
            **chosen,
        )
    print(report)


def _show_run(options: argparse.Namespace) -> None:
    from axiswise.cli.progress import counting_bar
    from axiswise.runs.run import load_run
    from axiswise.runs.show import show_run

    _only_for("directions", options, "only", "extent", "samples", "generator")
    run = load_run(options.folder)
    with counting_bar() as start_bar:
        report = show_run(run, options.seed, start_bar)
    print(report)


def _sefa(options: argparse.Namespace, _overrides: list[str]) -> None:
    from axiswise.runs.sefa import sefa_run

    path = sefa_run(options.folder, options.out).path
    print(f"{path}: now `axiswise evaluate {path}`, `axiswise show {path}`")


def _compare(options: argparse.Namespace, _overrides: list[str]) -> None:
    from axiswise.runs.discover import holds_directions

    kinds = {holds_directions(source) for source in options.sources}
    if len(kinds) > 1:
        raise ValueError("FOLDER … must be runs or directions, and not both")
    (_compare_directions if kinds.pop() else _compare_runs)(options)
    print(options.out)


def _compare_directions(options: argparse.Namespace) -> None:
    from axiswise.runs.compare_directions import compare_directions, write_agreement

    _only_for("runs", options, "scores", "udr")
    agreement = compare_directions(options.sources)
    write_agreement(agreement, options.sources, options.out)
    _print_table(agreement.rows)


def _compare_runs(options: argparse.Namespace) -> None:
    from axiswise.cli.progress import counting_bar
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
        with counting_bar() as start_bar:
            evaluations = add_udr(evaluations, start_bar)
    if options.scores:
        evaluations = choose_scores(evaluations, options.scores)
    write_comparison(evaluations, options.sources, options.out)
    _print_table(comparison_rows(group_by_recipe(evaluations)))


def _sweep(options: argparse.Namespace, _overrides: list[str]) -> None:
    from axiswise.cli.sweep import sweep

    print(sweep(options.file, options.out, options.workers, options.engine))


def _reproduce(options: argparse.Namespace, _overrides: list[str]) -> None:
    from axiswise.runs.figures.figure import figure_names, read_figure

    if options.figure is None:
        names = figure_names()
        _print_table([["figure", "what"], *([name, read_figure(name).title] for name in names)])
        return
    from axiswise.cli.sweep import sweep_bars
    from axiswise.runs.figures.reproduce import reproduce
    from axiswise.training.stops import TrainingStoppedError

    made = reproduce(
        options.figure,
        options.scale,
        options.out,
        options.seeds,
        workers=options.workers,
        train=not options.draw_only,
        bars=sweep_bars,
    )
    print(made.page)
    if made.missing:
        first = "; ".join(f"{run.folder} ({reason})" for run, reason in made.missing[:3])
        more = f"; and {len(made.missing) - 3} more" if len(made.missing) > 3 else ""
        raise TrainingStoppedError(f"the page lacks {len(made.missing)} runs: {first}{more}")


def _check_out(options: argparse.Namespace) -> None:
    """Refuse a file where a folder is to be written, before hours of work and not after."""
    out = getattr(options, "out", None)
    if out is None:
        return
    whole = Path(out).absolute()
    there = next(path for path in (whole, *whole.parents) if path.exists())
    if not there.is_dir():
        raise NotADirectoryError(f"--out must be a folder, got {str(out)!r}: {there} is a file")


def _only_for(kind: str, options: argparse.Namespace, *names: str) -> None:
    """Refuse options that the folder at hand makes no sense of."""
    for name in names:
        if getattr(options, name) is not None:
            raise ValueError(f"--{name} is for folders of {kind}, which this is not")


def _print_table(rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column(rows[0][0], no_wrap=True), *rows[0][1:])
    for row in rows[1:]:
        table.add_row(*row)
    Console().print(table)


def _complain_about(error: Exception) -> int:
    """One line for what a user can mend; the whole traceback for what is our own fault."""
    from jsonargparse import ArgumentError

    from axiswise.runs.train import is_helper
    from axiswise.training.stops import InterruptedRunError, TrainingStoppedError

    if isinstance(error, ArgumentError):
        status = 2
    elif isinstance(error, InterruptedRunError):
        status = 130
    elif isinstance(error, _USERS_FAULTS | TrainingStoppedError):
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
