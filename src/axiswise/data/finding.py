"""The image files in a folder, and those that look like some and are passed over."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from axiswise.data.pictures import formats

_ENDINGS = {
    "PNG": ("png", "apng"),
    "JPEG": ("jpg", "jpeg", "jpe", "jfif"),
    "TIFF": ("tif", "tiff"),
    "WEBP": ("webp",),
    "GIF": ("gif",),
    "BMP": ("bmp",),
    "PPM": ("ppm", "pgm", "pbm", "pnm"),
    "AVIF": ("avif",),
}
_OTHERS = {
    *("heic", "heif", "hif", "jxl", "jp2", "j2k", "jpx", "jpf", "svg", "svgz", "ico", "dib", "pcx"),
    *("tga", "dds", "psd", "xcf", "exr", "hdr", "qoi", "eps", "fits", "dcm", "dng", "cr2", "cr3"),
    *("nef", "arw", "raf", "orf", "rw2", "czi", "nd2", "lif", "lsm", "mrc"),
}
_STARTS = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")
_LATER_STARTS = (b"WEBP", b"avif", b"heic", b"mif1")  # from the ninth byte on

HIDDEN = "hidden"
NO_FILE = "no regular file"
LOST = "a link that leads nowhere"
OTHER_FORMAT = "of a format that is not read"
NO_ENDING = "without an ending such as .png"
CLOSED = "a folder that cannot be opened"


@dataclass
class Found:
    """What is in a folder and the folders below it, linked ones too, in the order of paths.

    Attributes:
        files: Files whose names end as those of images do.
        passed_over: What else looks like an image, each with the reason.
    """

    files: list[Path] = field(default_factory=list)
    passed_over: list[tuple[Path, str]] = field(default_factory=list)


def find_pictures(path: Path) -> Found:
    """Look through a folder. Each folder counts once, however many links lead to it."""
    found = Found()
    seen: set[tuple[int, int]] = set()
    # Linked folders come last, so that a file has its own path where there are two.
    folders, linked = [(path, False)], list[tuple[Path, bool]]()
    while folders or linked:
        if not folders:
            linked.sort(reverse=True)
        folder, hidden = (folders or linked).pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = list(os.scandir(folder))
        except OSError:
            found.passed_over.append((folder, CLOSED))
            continue
        for entry in entries:
            below, is_hidden = Path(entry.path), hidden or entry.name.startswith(".")
            if _is(entry.is_dir):
                (linked if entry.is_symlink() else folders).append((below, is_hidden))
            else:
                _sort_in(entry, below, is_hidden, found)
    found.files.sort()
    found.passed_over.sort()
    return found


def endings() -> str:
    """The endings of names that are read, as text."""
    return ", ".join(f".{ending}" for ending in _readable())


@cache
def _readable() -> tuple[str, ...]:
    return tuple(ending for name in formats() for ending in _ENDINGS[name])


def _sort_in(entry: os.DirEntry[str], file: Path, hidden: bool, found: Found) -> None:
    """Add a file, or what else is no folder, to what was found."""
    ending, is_file = file.suffix.lower().removeprefix("."), _is(entry.is_file)
    is_read = ending in _readable()
    is_lost = entry.is_symlink() and not is_file and not hidden  # it may have led to a folder
    if not (is_read or is_lost or ending in _OTHERS or (not ending and is_file and not hidden)):
        return
    if hidden:
        found.passed_over.append((file, HIDDEN))
    elif not is_file:
        found.passed_over.append((file, LOST if entry.is_symlink() else NO_FILE))
    elif is_read:
        found.files.append(file)
    elif ending:
        found.passed_over.append((file, OTHER_FORMAT))
    elif _starts_like_an_image(file):
        found.passed_over.append((file, NO_ENDING))


def _is(asked: Callable[[], bool]) -> bool:
    """What the system says of a path; no of one that it cannot follow, such as a link to itself."""
    try:
        return asked()
    except OSError:
        return False


def _starts_like_an_image(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            start = opened.read(12)
    except OSError:
        return False
    return start.startswith(_STARTS) or start[8:] in _LATER_STARTS
