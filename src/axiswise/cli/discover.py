"""`axiswise discover`: find directions in the latents of a generator."""

import argparse

from axiswise.cli._parts import Commands, add_trust, given, now

_USAGE = """axiswise discover GENERATOR [--method NAME] [--directions N]
       [--subspace START:STOP] [--out FOLDER] [--seed S] [--latent-dim N] [--classes C …]
       [--latents codes|prior]
       [--derivative forward|finite] [--epsilon E] [--chunk-size N] [--key value …]"""
_METHOD = "orojar"  # if none is named


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "discover",
        usage=_USAGE,
        help="find directions in the latents of a generator",
        description="Find directions in the latents of a generator: a run folder, a folder or Hub "
        "repository in our format, an import path (module:name), or a file of published weights "
        "(see docs/published.md). Below are the "
        "settings of all methods; --method NAME --help lists those of one.",
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument("generator", nargs="?", metavar="GENERATOR", help="where it is")
    parser.add_argument("--method", metavar="NAME", help="one of those below, or module:name")
    parser.add_argument("--directions", type=int, metavar="N", help="the most important; all")
    parser.add_argument(
        "--subspace", metavar="START:STOP", help="latents to search, or coarse, mid, fine; all"
    )
    parser.add_argument("--out", metavar="FOLDER", help="runs/GENERATOR-METHOD-seedS")
    parser.add_argument("--seed", type=int, default=0, help="of what is sampled (0)")
    parser.add_argument(
        "--latent-dim", type=int, metavar="N", help="where the generator does not say"
    )
    parser.add_argument("--classes", type=int, nargs="+", metavar="C", help="of BigGAN; all")
    parser.add_argument(
        "--latents", choices=["codes", "prior"], help="of a VAE: as its data's codes, or N(0, 1)"
    )
    parser.add_argument(
        "--derivative", choices=["forward", "finite"], help="finite needs no derivatives (forward)"
    )
    parser.add_argument("--epsilon", type=float, metavar="E", help="step of finite differences")
    parser.add_argument(
        "--chunk-size", type=int, metavar="N", help="bound on latents times directions at once"
    )
    add_trust(parser)
    parser.add_argument("--help", "-h", action="store_true", help="show this")
    parser.set_defaults(run=run, parser=parser, subject="generator")


def run(options: argparse.Namespace) -> None:
    """Search, and print where the directions are; or print the help."""
    if options.help:
        _print_help(options)
        return
    from axiswise.cli.progress import bars
    from axiswise.runs.discover import discover
    from axiswise.runs.generator import GeneratorSource

    if options.generator is None:
        raise ValueError("discover needs a GENERATOR, such as a run folder or module:name")
    own = options.latent_dim, options.classes, options.latents
    source = GeneratorSource(options.generator, *own)
    with bars() as start_bar:
        folder, found = discover(
            source,
            options.method or _METHOD,
            options.words,
            options.out,
            subspace=options.subspace,
            start_bar=start_bar,
            trust=options.trust,
            **given(options, "directions", "seed", "derivative", "epsilon", "chunk_size"),
        )
    if "latents" in found.settings:
        print("latents drawn as the codes of its data are distributed; --latents prior: N(0, 1)")
    more = source.words + (" --trust" if options.trust else "")
    then = now(folder, "evaluate", "show", more=more)
    print(f"{folder}: {len(found)} directions; now {then}")


def _print_help(options: argparse.Namespace) -> None:
    from axiswise.directions import METHODS

    options.parser.print_help()
    print(f"\nmethods: {', '.join(METHODS.names())}; if none is named, {_METHOD}")
    if options.method is not None:
        from axiswise.runs.discover import method_parser

        print()
        method_parser(options.method).print_help()
