"""`axiswise recipes`: the shipped recipes."""

import argparse

from axiswise.cli._parts import Commands


def add(commands: Commands) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("recipes", help="list the shipped recipes")
    parser.set_defaults(run=run)


def run(_options: argparse.Namespace) -> None:
    """Print name and description of each."""
    from axiswise.training.shipped import recipe_descriptions

    descriptions = recipe_descriptions()
    width = max(map(len, descriptions))
    for name, description in descriptions.items():
        print(f"{name:{width}}  {description}")
