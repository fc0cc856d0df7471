"""Files of tensors of unknown origin, read without running code in them."""

from pathlib import Path

import torch
from torch import Tensor

from axiswise.support.files import UnreadableFileError
from axiswise.support.reading import open_regular, read_bytes


def load_tensors(path: str | Path) -> object:
    """Read a PyTorch file by `torch.load(weights_only=True)`.

    Args:
        path: The file.

    Returns:
        Its content: a tensor, or several in dictionaries and lists; on the CPU.

    Raises:
        UnreadableFileError: It is damaged or contains anything else.
        OSError: It cannot be read.
    """
    with open_regular(path) as file:
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch.load raises whatever its readers trip over
            raise UnreadableFileError(
                f"{path} is damaged, or contains something else than tensors, which is not loaded: "
                + str(error).split("\n")[0]
            ) from error


def safetensors_layout(path: Path) -> tuple[dict[str, tuple[str, tuple[int, ...]]], dict[str, str]]:
    """Type and shape of each tensor in a safetensors file, and its metadata; no tensor is read.

    Types are safetensors' own: "F32", "I64" and so on.

    Raises:
        UnreadableFileError: It is damaged or something else.
        OSError: It cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    with open_regular(path):  # a pipe would be waited for
        pass
    try:
        with safe_open(path, "pt") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            layout = {
                name: (str(part.get_dtype()), tuple(part.get_shape()))
                for name, part in parts.items()
            }
            return layout, dict(file.metadata() or {})
    except (SafetensorError, ValueError) as error:
        raise UnreadableFileError(f"{path} is damaged or no safetensors file: {error}") from error


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU; errors as by `safetensors_layout`."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    safetensors_layout(path)  # a large file of something else is not read whole
    try:
        return load(read_bytes(path))
    except (SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise UnreadableFileError(f"{path} is damaged or no safetensors file: {error}") from error
