"""Checks of arguments that functions of several folders take."""

import operator
from collections.abc import Callable, Iterable


def check_count(name: str, value: int, least: int = 1, most: int | None = None) -> int:
    """An integer argument that is within its range.

    Args:
        name: What the argument is called.
        value: What was given.
        least: Its smallest value.
        most: Its largest value, if there is one.

    Returns:
        The value as a Python integer.

    Raises:
        TypeError: It is no integer.
        ValueError: It is out of the range.
    """
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if count < least or (most is not None and count > most):
        allowed = f"at least {least}" if most is None else f"between {least} and {most}"
        raise ValueError(f"{name} must be {allowed}, got {count}")
    return count


# Names that Windows gives to devices, whatever follows the first dot.
_DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{i}" for port in ("com", "lpt") for i in range(10)),
}


def check_folder_name(name: str, value: str) -> str:
    """A text that names one folder, on any system, below the one that it is put into.

    Args:
        name: What the argument is called.
        value: What was given.

    Returns:
        The value.

    Raises:
        ValueError: It is anything else: a path, hidden, longer than 100 bytes, or has characters
            that some systems refuse.
    """
    plain = (
        value.isprintable()
        and not set(value) & set('/\\:*?"<>|')
        and value[:1] not in ("", ".", "~", " ")
        and value[-1:] not in (".", " ")
        and len(value.encode(errors="replace")) <= 100
        and value.partition(".")[0].lower().strip() not in _DEVICES
    )
    if not plain:
        raise ValueError(
            f"{name} must be the plain name of one folder, at most 100 bytes without "
            f'/ \\ : * ? " < > | and no dot in front, got {value[:120]!r}'
        )
    return value


_RANGES: dict[str, Callable[[float], bool]] = {
    "≥ 0": lambda value: value >= 0,
    "> 0": lambda value: value > 0,
    "at least 1": lambda value: value >= 1,
    "between 0 and 1": lambda value: 0 <= value <= 1,
}


def check_range(thing: object, allowed: str, *names: str) -> None:
    """Refuse attributes, by name, that are out of a range of `_RANGES`, or NaN; None is allowed."""
    for name in names:
        value = getattr(thing, name)
        if value is not None and not _RANGES[allowed](value):
            raise ValueError(f"{name} must be {allowed}, got {value}")


def close(given: str, allowed: Iterable[str]) -> str:
    """The end of a sentence about a wrong name: the one that may have been meant, if any is."""
    from difflib import get_close_matches

    return "".join(f"; did you mean {name}?" for name in get_close_matches(given, allowed, 1))
