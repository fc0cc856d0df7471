"""Which values of images are black and which are white: given, or read off all of them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from axiswise.support.files import UnreadableFileError

# Of numbers that images are made of: booleans, uint8, other integers, floating numbers.
Kind = Literal["bits", "bytes", "integers", "floats"]
Range = tuple[float, float]  # the values of black and of white

BYTES: Range = (0.0, 255.0)
_USUAL: dict[Kind, Range] = {
    "bits": (0.0, 1.0),
    "bytes": BYTES,
    "integers": (0.0, 65535.0),
    "floats": (0.0, 1.0),
}
_WHITES = (1, 255, 1023, 4095, 16383, 65535)  # of 1, 8, 10, 12, 14 and 16 bits
_SLACK = 1e-3  # of a range, that numbers may lie beyond it: a quarter of a grey level
_DARK = 1 / 16  # of a range: images that use less of it are all but invisible


def check_value_range(given: Sequence[float] | None) -> Range | None:
    """The argument `value_range`, as two finite numbers that increase, or None.

    Raises:
        ValueError: It is something else.
    """
    if given is None:
        return None
    black, white = (float(value) for value in given) if len(given) == 2 else (math.nan, math.nan)
    if not -math.inf < black < white < math.inf:
        raise ValueError(
            "value_range must be the values of black and of white, two numbers of which the first "
            f"is smaller, got {tuple(given)}"
        )
    return black, white


def kind_of(dtype: np.dtype[Any]) -> Kind:
    """What the numbers of a NumPy type are."""
    if dtype == np.uint8:
        return "bytes"
    kinds: dict[str, Kind] = {"b": "bits", "f": "floats"}
    return kinds.get(dtype.kind, "integers")


class Levels:
    """The range of a set of images, decided by all of them where it is not given.

    Integers: black is 0, and white the smallest of 1, 255, 1023, 4095, 16383 and 65535 that no
    value exceeds; of uint8, 1 or 255. Floating numbers: [0, 1]; [−1, 1] where some are below −0.5;
    [0, 255] where none is negative and some exceed 127. All else needs a range.

    `meet` takes the extremes of all values, `settle` decides, `to_bytes` scales.

    Args:
        given: The range; None to have it decided.
    """

    def __init__(self, given: Range | None) -> None:
        self._given = given
        self._met: dict[Kind, Range] = {}
        self._decided: dict[Kind, Range] = {}

    def wants(self, kind: Kind) -> bool:
        """Whether more values of a kind can change the range, or what there is to say of it."""
        if kind != "bytes":
            return True
        if self._given is not None:
            return self._given != BYTES
        return self._met.get(kind, (0, 0))[1] <= 255 * _DARK

    def meet(self, kind: Kind, lowest: float, highest: float) -> None:
        """Take note of the extremes of some values.

        Raises:
            ValueError: They are not finite.
        """
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            raise ValueError(f"values must be finite, got values from {lowest} to {highest}")
        before = self._met.get(kind, (lowest, highest))
        self._met[kind] = min(before[0], lowest), max(before[1], highest)

    def settle(self, what: str) -> set[Kind]:
        """Decide, and say so where it is a guess.

        Args:
            what: What messages call the images.

        Returns:
            The kinds whose range was another before.

        Raises:
            UnreadableFileError: No usual range fits, or images of several kinds need unusual ones.
        """
        if self._given is not None:
            self._warn_of_excess(what, self._given)
            return set()
        changed: set[Kind] = set()
        for kind, met in self._met.items():
            decided = _usual_range(kind, *met)
            if decided is None or (len(self._met) > 1 and decided != _USUAL[kind]):
                raise UnreadableFileError(f"{what}: {self._why_undecided(kind)}")
            if decided != _USUAL[kind]:
                changed.add(kind)
            self._decided[kind] = decided
            _say(what, kind, met, decided)
        return changed

    @property
    def decided(self) -> Range | None:
        """The range that was decided; None where it was given, or kinds have different ones."""
        ranges = set(self._decided.values())
        return ranges.pop() if len(ranges) == 1 else None

    def to_bytes(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values of any kind and shape as 0 (black) to 255 (white), rounded, cut off beyond.

        Before `settle`, by the usual range of their kind if none was given.
        """
        kind = kind_of(values.dtype)
        black, white = self._given or self._decided.get(kind, _USUAL[kind])
        if kind == "bytes" and (black, white) == BYTES:
            return values
        shares = np.asarray((values.astype(np.float64) - black) / (white - black))
        return np.asarray(np.rint(shares.clip(0, 1) * 255), np.uint8)

    def _warn_of_excess(self, what: str, given: Range) -> None:
        lowest = min((low for low, _ in self._met.values()), default=given[0])
        highest = max((high for _, high in self._met.values()), default=given[1])
        slack = _SLACK * (given[1] - given[0])
        if lowest < given[0] - slack or highest > given[1] + slack:
            warnings.warn(
                f"{what}: values go from {_text(lowest)} to {_text(highest)}; what is beyond "
                f"value_range, {_text(given[0])} to {_text(given[1])}, is cut off",
                stacklevel=4,
            )

    def _why_undecided(self, kind: Kind) -> str:
        lowest, highest = self._met[kind]
        if len(self._met) == 1:
            return (
                f"values from {_text(lowest)} to {_text(highest)} have no usual range; value_range "
                f"must be given, from black to white, as in {_option(lowest, highest)}"
            )
        found = (f"{_text(low)} to {_text(high)}" for low, high in self._met.values())
        return (
            f"images of several kinds of numbers, {' and '.join(found)}, have no range in common; "
            "put each kind into a folder of its own"
        )


def _usual_range(kind: Kind, lowest: float, highest: float) -> Range | None:
    """The range that the extremes suggest; None where they suggest none."""
    if kind == "floats":
        if lowest >= -_SLACK and highest <= 1 + _SLACK:
            return _USUAL[kind]
        if -1 - _SLACK <= lowest < -0.5 and highest <= 1 + _SLACK:
            return -1.0, 1.0
        return BYTES if lowest >= 0 and 127 < highest <= 255 else None
    if lowest == highest == 0:
        return _USUAL[kind]
    if lowest < 0:
        return None
    whites = (1, 255) if kind == "bytes" else _WHITES
    return next(((0.0, float(white)) for white in whites if highest <= white), None)


def _say(what: str, kind: Kind, met: Range, decided: Range) -> None:
    """Warn of a range that is a guess, or that the images all but leave unused."""
    (lowest, highest), (black, white) = met, decided
    if kind != "bits" and decided != _USUAL[kind]:
        warnings.warn(
            f"{what}: values go from {_text(lowest)} to {_text(highest)}, so {_text(black)} counts "
            f"as black and {_text(white)} as white; value_range says so without this warning, or "
            f"otherwise: {_option(black, white)}",
            stacklevel=4,
        )
    if highest - black < (white - black) * _DARK:
        warnings.warn(
            f"{what}: no value is above {_text(highest)}, where {_text(white)} is white; if all "
            f"images should not be so dark, give value_range, as in {_option(black, highest)}",
            stacklevel=4,
        )


def _option(black: float, white: float) -> str:
    if white <= black:  # of one value alone
        white = black + 1
    return f'--data.value_range "[{_text(black)}, {_text(white)}]"'


def _text(value: float) -> str:
    return f"{value:.9g}"
