"""Pictures and films as files that are whole or absent."""

import io
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from axiswise.plots._film import gif, mp4
from axiswise.support.files import write_atomically


def save(picture: Figure, path: str | os.PathLike[str]) -> None:
    """Write a picture in the format that the suffix names (.png, .svg, .pdf, …).

    After any failure, `path` is either the old picture or the whole new one.

    Args:
        picture: What the functions of `axiswise.plots` return, or any other matplotlib figure.
        path: File to write; its folder must exist.

    Raises:
        ValueError: The suffix names no format that matplotlib writes.
        OSError: The file cannot be written.
    """
    target = Path(path)
    formats = picture.canvas.get_supported_filetypes()
    kind = target.suffix.removeprefix(".").lower()
    if kind not in formats:
        raise ValueError(f"`path` must end in one of {sorted(formats)}, got {str(target)!r}")
    buffer = io.BytesIO()
    picture.savefig(buffer, format=kind)
    write_atomically(target, buffer.getvalue())


def save_film(frames: npt.NDArray[np.uint8], path: str | os.PathLike[str], fps: float) -> None:
    """Write a film as GIF or MP4, as `save` writes a picture.

    An MP4 is H.264 of the quality that its encoder takes by default, but of at most 0.3 bits per
    pixel. A GIF has one palette of 256 colours.

    Args:
        frames: (frame, height, width, 3); height and width even for an MP4.
        path: Ends in .gif or .mp4; its folder must exist.
        fps: Frames per second; a GIF rounds their duration to hundredths of a second.

    Raises:
        ValueError: Another suffix, or `fps` not above 0.
        OSError: The file cannot be written.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in (".gif", ".mp4"):
        raise ValueError(f"`path` must end in .gif or .mp4, got {str(target)!r}")
    write_atomically(target, film_bytes(frames, fps, suffix))


def film_bytes(frames: npt.NDArray[np.uint8], fps: float, suffix: str = ".mp4") -> bytes:
    """A film as the bytes of a file: what `save_film` writes; `suffix` is .mp4 or .gif."""
    if not fps > 0:
        raise ValueError(f"`fps` must be above 0, got {fps}")
    return (gif if suffix == ".gif" else mp4)(frames, fps)
