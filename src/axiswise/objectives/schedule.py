"""What every term of a loss that rises with time is told."""

from typing import Protocol


class Scheduled(Protocol):
    """A term of a loss with a weight and a warm-up.

    Attributes:
        weight: Its weight in the end, ≥ 0.
        anneal: Share of the steps over which the weight rises from 0; the recipe's if None.
        delay: Share of the steps before it does; the recipe's if None.
    """

    @property
    def weight(self) -> float: ...  # noqa: D102
    @property
    def anneal(self) -> float | None: ...  # noqa: D102
    @property
    def delay(self) -> float | None: ...  # noqa: D102


def check_schedule(term: Scheduled) -> None:
    """Refuse a weight or a warm-up out of range.

    Args:
        term: A term of a loss.

    Raises:
        ValueError: If its weight is negative, or anneal or delay is not between 0 and 1.
    """
    if not term.weight >= 0:  # so that NaN is refused too
        raise ValueError(f"weight must be ≥ 0, got {term.weight}")
    for name in ("anneal", "delay"):
        share = getattr(term, name)
        if share is not None and not 0 <= share <= 1:
            raise ValueError(f"{name} must be between 0 and 1, got {share}")
