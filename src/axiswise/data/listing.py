"""The list of data sets, and one of them by its name in the list."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor

from axiswise.data.factors import FactorData, ImageSource, is_here
from axiswise.data.family import DATA_SETS, Make
from axiswise.data.grid import Grid
from axiswise.support.imports import is_import_path

_STEPS = 16  # images of a factor's range at most


def data_rows() -> list[list[str]]:
    """All data sets as a table of text, a header first."""
    rows = [["data", "image", "factors", "licence", "here"]]
    for name in DATA_SETS.names():
        declared = DATA_SETS.find(name)
        if not declared.variants:
            rows.append([name, "as it is", "", declared.licence, "yours"])
        for variant, make in declared.variants.items():
            source = make()
            image = " × ".join(map(str, source.shape))
            here = {True: "yes", False: "no", None: "drawn"}[is_here(source)]
            rows.append([variant, image, factor_summary(source), declared.licence, here])
    return rows


def factor_summary(source: ImageSource) -> str:
    """The factors of a data set with their numbers of values, or nothing where it has none."""
    if isinstance(source, Grid):
        return f"{source.rows * source.columns} × ({factor_summary(source.dataset)})"
    if not isinstance(source, FactorData):
        return ""
    pairs = zip(source.factor_names, source.factor_sizes, strict=True)
    return ", ".join(f"{name} {size}" for name, size in pairs)


def listed() -> dict[str, Make]:
    """All that can be made without arguments: name in the list → a function that makes it."""
    return {
        variant: make
        for name in DATA_SETS.names()
        for variant, make in DATA_SETS.find(name).variants.items()
    }


def open_data(name: str) -> ImageSource:
    """Make a listed data set, or one by import path, with its default arguments; read nothing."""
    variants = listed()
    if name not in variants and name not in DATA_SETS.names() and not is_import_path(name):
        raise ValueError(
            f"NAME must be one of {', '.join(variants)}, or an import path (module:name) of your "
            f"own; got {name!r}"
        )
    if name in variants:
        return variants[name]()
    own = DATA_SETS.find(name).variants
    if len(own) > 1:
        raise ValueError(f"NAME must be one of {', '.join(own)}, got {name!r}")
    needed = [name] if not own else _needed(*own.values())
    if needed:
        raise ValueError(
            f"NAME must be data that need no arguments, got {name!r}, which needs to know "
            f"{'which file or folder' if not own else ', '.join(needed)}: name it in a recipe "
            "(docs/data.md)"
        )
    (make,) = own.values()
    source = make()
    if not isinstance(source, ImageSource):
        raise TypeError(
            f"data set {name} must have shape, draw and render (axiswise.data.ImageSource), "
            f"got {type(source).__name__}"
        )
    return source


def factor_strips(source: FactorData, rng: torch.Generator) -> dict[str, Tensor]:
    """One image that `rng` chooses, with each factor in turn from its first to its last value.

    Returns:
        Factor's name → images, (value, channel, height, width), 16 evenly spaced values at most.
    """
    centre = source.sample_factors(1, rng)
    strips = {}
    for index, (name, size) in enumerate(
        zip(source.factor_names, source.factor_sizes, strict=True)
    ):
        steps = min(size, _STEPS)
        factors = centre.repeat(steps, 1)
        factors[:, index] = torch.linspace(0, size - 1, steps).round().to(torch.int64)
        strips[name] = source.render(factors)
    return strips


def _needed(make: Make) -> list[str]:
    """The arguments without which it cannot be called."""
    try:
        parameters = inspect.signature(make).parameters
    except ValueError:  # some built-in functions have none
        return []
    return [
        parameter.name
        for parameter in parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
