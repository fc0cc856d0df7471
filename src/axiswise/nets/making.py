"""Networks made from settings of unknown origin: first their shapes, then their numbers."""

import os
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module | None)


def skeleton(make: Callable[[], Network]) -> Network | None:
    """A network with shapes and without numbers; None where it cannot be made so."""
    try:
        with torch.device("meta"):
            return make()
    except Exception:  # whatever a user's constructor does with numbers that are not there
        return None


def made(make: Callable[[], Network]) -> Network:
    """The network that a function makes.

    Raises:
        ValueError: Its weights take more memory than there is, or torch refuses its sizes.
    """
    shapes = skeleton(make)
    if shapes is not None:
        check_memory(
            f"the weights of a {type(shapes).__name__}",
            sum(value.nbytes for value in shapes.state_dict().values()),
        )
    try:
        return make()
    except (RuntimeError, ArithmeticError, MemoryError) as error:
        raise ValueError(f"the network cannot be made: {str(error).splitlines()[0]}") from error


def check_memory(what: str, needed: int) -> None:
    """Refuse what takes more bytes than this computer has."""
    try:
        most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # where it cannot be asked
        return
    if needed > most:
        raise ValueError(
            f"{what} must fit into the {most / 2**30:,.0f} GiB of memory here, they take "
            f"{needed / 2**30:,.0f} GiB"
        )
