"""How work that takes a while reports where it is."""

from collections.abc import Callable, Mapping
from typing import Protocol


class Progress(Protocol):
    """A function that is called with what is done, what there is to do, and figures to show."""

    def __call__(
        self, done: int, total: int | None, figures: Mapping[str, float] = ..., /
    ) -> object:
        """Show it; `total` is None where it is not known yet."""


# Starts the progress of a piece of work, given its name.
StartBar = Callable[[str], Progress]


def no_progress(
    _done: int, _total: int | None, _figures: Mapping[str, float] | None = None, /
) -> None:
    """Show nothing."""


def no_bars(_name: str, /) -> Progress:
    """Start nothing."""
    return no_progress


def late_bar(start_bar: StartBar, name: str) -> Progress:
    """Progress that starts its bar when there is something to show, and none if there never is."""
    bars: list[Progress] = []

    def show(done: int, total: int | None, figures: Mapping[str, float] | None = None, /) -> None:
        if not bars:
            bars.append(start_bar(name))
        bars[0](done, total, figures or {})

    return show
