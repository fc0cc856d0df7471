"""Data sets by name: each is declared above its class, a user's own goes by its import path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from axiswise.data.factors import ImageSource
from axiswise.support.family import Family

Make = Callable[[], ImageSource]
Kind = TypeVar("Kind", bound=type)

OURS = "ours"
YOURS = "yours"


@dataclass(frozen=True)
class DataSet:
    """A declared data set, as by :func:`data_set`."""

    licence: str
    variants: Mapping[str, Make]


def data_set(
    name: str, licence: str, variants: Mapping[str, Make] | None = None
) -> Callable[[Kind], Kind]:
    """Declare the class below as a data set.

    Args:
        name: The class's name.
        licence: What its page says, or where to look.
        variants: Name in the list → a function that makes it without reading anything; None lists
            the class with its default arguments; empty where a user must name a file or folder.
    """
    return DATA_SETS.declaring(
        name, lambda kind: DataSet(licence, {name: kind} if variants is None else variants)
    )


def _own(found: object, spec: str) -> DataSet:
    if not callable(found):
        raise TypeError(
            f"data set {spec} must be a class of images (axiswise.data.ImageSource), "
            f"got {type(found).__name__}"
        )
    return DataSet(YOURS, {spec: found})


DATA_SETS: Family[DataSet] = Family("data set", "axiswise.data", "data_set", _own)
