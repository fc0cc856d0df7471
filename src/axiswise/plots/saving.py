"""Pictures written so that a reader never meets half a file."""

import io
import os
from pathlib import Path

from matplotlib.figure import Figure

from axiswise.files import write_atomically


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure in the format that the suffix names (.png, .svg, .pdf, …).

    It is drawn in memory, written beside `path` under a temporary name and renamed, so that
    whatever goes wrong, `path` holds either the old picture or the whole new one.

    Args:
        figure: what the functions of `axiswise.plots` return, or any other matplotlib figure.
        path: file to write; its folder must exist.

    Raises:
        ValueError: the suffix names no format that matplotlib writes.
        OSError: the file cannot be written.
    """
    target = Path(path)
    formats = figure.canvas.get_supported_filetypes()
    kind = target.suffix.removeprefix(".").lower()
    if kind not in formats:
        raise ValueError(f"`path` must end in one of {sorted(formats)}, got {str(target)!r}")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind)
    write_atomically(target, buffer.getvalue())
