"""Which latent axes a picture shows, in what order, and what stands beside each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from axiswise.plots._inputs import ArrayLike, as_floats, check_count

ACTIVE_ABOVE = 0.01
"""Activity (KL, in nats) above which an axis counts as active; the project's convention."""

MAX_AXES = 16
"""Axes shown at most, so that a cell stays large enough to look at."""


@dataclass(frozen=True)
class Ordering:
    """The axes shown, most active first.

    Attributes:
        indices: latent index of each axis shown; the inactive ones come last.
        names: name of each, in that order.
        activities: activity of each as short text, such as "KL 2.1", in that order.
        active: how many of those shown are active.
        total: number of latents there are.
    """

    indices: tuple[int, ...]
    names: tuple[str, ...]
    activities: tuple[str, ...]
    active: int
    total: int

    @property
    def shown(self) -> int:
        """Number of axes shown."""
        return len(self.indices)

    @property
    def groups(self) -> list[tuple[str, slice]]:
        """The active and the inactive axes shown, as positions; a group without axes left out."""
        groups = [("active", slice(0, self.active)), ("inactive", slice(self.active, self.shown))]
        return [(label, part) for label, part in groups if part.stop > part.start]

    @property
    def omission(self) -> str:
        """Says how many axes are not shown; empty where all are."""
        if self.shown == self.total:
            return ""
        return f"The {self.shown} most active of {self.total} axes. "


def order_axes(
    activity: ArrayLike,
    latents: int,
    *,
    names: Sequence[str] | None = None,
    max_axes: int = MAX_AXES,
    active_above: float = ACTIVE_ABOVE,
    activity_name: str = "KL",
) -> Ordering:
    """Order latent axes by descending activity and keep the first `max_axes`.

    Args:
        activity: (latent,), how much each axis is used: its KL in nats, say.
        latents: number of latents that the picture's other input has.
        names: one for each latent, in the latents' own order; default z0, z1, ….
        max_axes: axes kept at most.
        active_above: an axis is active where its activity is larger than this.
        activity_name: what the activity is called in labels.

    Raises:
        TypeError: `activity` does not hold real numbers.
        ValueError: wrong shape or length, not finite, or `max_axes` below 1.
    """
    values = as_floats(activity, "activity", ["latent"])
    check_count(max_axes, "max_axes")
    all_names = [f"z{i}" for i in range(latents)] if names is None else list(names)
    for name, given in (("activity", values), ("names", all_names)):
        if len(given) != latents:
            raise ValueError(f"`{name}` must have one entry for each of the {latents} latents, "
                             f"got {len(given)}")  # fmt: skip
    # Stable, so that equally active axes keep their own order.
    indices = np.argsort(-values, kind="stable")[:max_axes]
    return Ordering(
        indices=tuple(int(i) for i in indices),
        names=tuple(all_names[i] for i in indices),
        activities=tuple(f"{activity_name} {short_number(float(values[i]))}" for i in indices),
        active=int((values[indices] > active_above).sum()),
        total=latents,
    )


def short_number(value: float) -> str:
    """Return at most about six characters that tell a value's size: 2.1, 0.43, 3e-5."""
    if value == 0:
        return "0"
    if 1 <= abs(value) < 1e4:
        return f"{value:.1f}"
    return f"{value:.2g}" if 1e-3 <= abs(value) < 1 else f"{value:.0e}".replace("e-0", "e-")
