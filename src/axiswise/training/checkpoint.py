"""Checkpoints: the whole state of a training, for an exact resume."""

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import torch

from axiswise.support.files import UnreadableFileError, write_atomically
from axiswise.support.reading import read_bytes

_KEEP = 2  # the newest, and one to fall back on should it be damaged
_PART = r"step-\d{8,}\.(csv|sha256|pt)"  # rows of metrics, a checksum, and the checkpoint itself


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write a checkpoint whole or not at all, then delete all but the newest two.

    Args:
        folder: The run's folder of checkpoints; made if missing.
        step: Steps done.
        state: Tensors, numbers, strings, and dicts and lists of them.

    Raises:
        OSError: If it cannot be written; older checkpoints stay.
    """
    folder.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    path = checkpoint_path(folder, step)
    # The digest first: a checkpoint that is there has one.
    write_atomically(_digest_path(path), _digest(content))
    write_atomically(path, content)
    kept = step_of(list_checkpoints(folder)[-_KEEP:][0])
    # The checkpoint before what belongs to it; and what a kill left of one that it cut short.
    for old in sorted(folder.iterdir(), key=lambda path: path.suffix != ".pt"):
        if re.fullmatch(_PART, old.name) and step_of(old) < kept:
            old.unlink()
    return path


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, on the CPU. Nothing in it can run code.

    Raises:
        UnreadableFileError: If the file is truncated, altered or no checkpoint.
    """
    content = read_bytes(path)
    digest = _digest_path(path)
    if not digest.exists() or read_bytes(digest) != _digest(content):
        raise UnreadableFileError(
            f"checkpoint {path} is damaged (its checksum does not match); "
            "delete it to resume from the one before"
        )
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises errors of any kind
        raise UnreadableFileError(f"{path} is no checkpoint of axiswise: {error}") from error
    if not isinstance(state, dict):
        raise UnreadableFileError(f"{path} is no checkpoint of axiswise")
    return state


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, which may be missing, oldest first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if re.fullmatch(r"step-\d{8,}\.pt", path.name)]
    return sorted(found, key=step_of)


def checkpoint_path(folder: Path, step: int) -> Path:
    """The file of the checkpoint at a step; others beside it differ in the suffix."""
    return folder / f"step-{step:08d}.pt"


def step_of(path: Path) -> int:
    """The steps done at a checkpoint, by its name."""
    return int(path.stem.removeprefix("step-"))


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _digest_path(path: Path) -> Path:
    return path.with_suffix(".sha256")
