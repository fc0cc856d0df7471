"""Which latent axes a picture shows, in what order, and their labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Required, TypedDict

import numpy as np

from axiswise.plots._inputs import ArrayLike, as_floats, check_lengths
from axiswise.support.checks import check_count

MAX_AXES = 16
"""Axes shown at most, so that a cell stays large enough to look at."""


class AxisOptions(TypedDict, total=False):
    """How the pictures of axes choose and label them.

    Attributes:
        active_above: An axis is active where its activity is larger than this.
        names: A name for each latent, in the order of the latents; default z0, z1, ….
        max_axes: Axes drawn at most, the most active ones; default 16.
        activity_name: What the activity is called in the labels; default "KL".
    """

    active_above: Required[float]
    names: Sequence[str] | None
    max_axes: int
    activity_name: str


@dataclass(frozen=True)
class Ordering:
    """The axes shown, most active first."""

    indices: tuple[int, ...]  # of latents; the inactive ones come last
    names: tuple[str, ...]
    activities: tuple[str, ...]  # short text, such as "KL 2.1"
    active: int  # how many of those shown are active
    total: int  # number of latents there are
    activity_name: str
    active_above: float

    @property
    def shown(self) -> int:
        """Number of axes shown."""
        return len(self.indices)

    @property
    def groups(self) -> list[tuple[str, slice]]:
        """The active and the inactive axes shown, as positions; a group without axes left out."""
        groups = [("active", slice(0, self.active)), ("inactive", slice(self.active, self.shown))]
        return [(label, part) for label, part in groups if part.stop > part.start]

    def note(self, inactive: str) -> str:
        """Which axes are shown, in what order, and which of them are inactive."""
        some = f"The {self.shown} most active of {self.total} axes. "
        idle = f" {inactive}: {self.activity_name} ≤ {self.active_above:g}."
        return (
            f"{some if self.shown < self.total else ''}Axes in order of {self.activity_name}, most "
            f"active first.{idle if self.active < self.shown else ''}"
        )


def order_axes(
    activity: ArrayLike,
    latents: int,
    *,
    active_above: float,
    names: Sequence[str] | None = None,
    max_axes: int = MAX_AXES,
    activity_name: str = "KL",
) -> Ordering:
    """Order axes by descending activity, (latent,), and keep the first `max_axes` of them."""
    values = as_floats(activity, "activity", ["latent"])
    check_count("`max_axes`", max_axes)
    all_names = [f"z{i}" for i in range(latents)] if names is None else list(names)
    check_lengths(latents, "latents", activity=values, names=all_names)
    # Stable, so that equally active axes keep their own order.
    indices = np.argsort(-values, kind="stable")[:max_axes]
    return Ordering(
        indices=tuple(int(i) for i in indices),
        names=tuple(all_names[i] for i in indices),
        activities=tuple(f"{activity_name} {short_number(float(values[i]))}" for i in indices),
        active=int((values[indices] > active_above).sum()),
        total=latents,
        activity_name=activity_name,
        active_above=active_above,
    )


def short_number(value: float) -> str:
    """A value in at most about six characters: 2.1, 0.43, 3e-5."""
    if value == 0:
        return "0"
    if 1 <= abs(value) < 1e4:
        return f"{value:.1f}"
    return f"{value:.2g}" if 1e-3 <= abs(value) < 1 else f"{value:.0e}".replace("e-0", "e-")
