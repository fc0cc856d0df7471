"""Saving and loading networks: weights as safetensors, the constructor's arguments as JSON."""

import functools
import hashlib
import inspect
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from axiswise.nets.making import skeleton
from axiswise.support.files import UnreadableFileError, write_atomically
from axiswise.support.locks import owning
from axiswise.support.reading import read_json
from axiswise.support.tensors import load_safetensors, safetensors_layout

WEIGHTS = "model.safetensors"
CONFIG = "config.json"


class Pretrained(nn.Module):
    """A network that remembers its constructor's arguments, so that two files rebuild it.

    A subclass takes plain JSON values, keeps each as an attribute of the same name, and is then
    saved with `save_pretrained`, loaded with `from_pretrained` and shared with `push_to_hub`.
    """

    @property
    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments, by name."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        return {name: getattr(self, name) for name in names}

    @property
    def measured(self) -> dict[str, Any]:
        """What config.json says beside the class and its arguments: plain JSON."""
        return {}

    def take_measured(self, about: Mapping[str, Any]) -> None:
        """Take over what was `measured`, of config.json; a ValueError or TypeError refuses it."""

    @property
    def digest(self) -> str:
        """SHA-256 over the names and values of the weights, in hexadecimal."""
        return digest_of(self.state_dict())

    def save_pretrained(self, folder: str | Path, **about: Any) -> None:
        """Write `model.safetensors` and then `config.json`.

        Args:
            folder: Where to; made if missing. Files of these names are replaced whole.
            **about: What else `config.json` says, JSON values.

        Raises:
            BusyError: If another process writes into the folder.
            OSError: If it cannot be written; what stood there stays.
        """
        from safetensors.torch import save

        folder = Path(folder)
        weights = {name: value.contiguous() for name, value in self.state_dict().items()}
        named = {"architecture": type(self).__name__, "arguments": self.arguments}
        config = {**named, **self.measured, **about}
        with owning(folder):
            write_atomically(folder / WEIGHTS, save(weights, {"sha256": digest_of(weights)}))
            write_atomically(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())

    @classmethod
    def from_pretrained(cls, source: str | Path, *, revision: str | None = None) -> Self:
        """Load what `save_pretrained` or `push_to_hub` wrote. No code in the files is run.

        Args:
            source: A folder, or the name of a repository on the Hugging Face Hub.
            revision: Branch, tag or commit of the repository; not for folders.

        Returns:
            The network, in eval mode, on the CPU.

        Raises:
            FileNotFoundError: If there is no such folder or repository, or it lacks a file.
            UnreadableFileError: If a file is damaged, or belongs to another architecture.
        """
        folder = fetch(source, revision)
        architecture, arguments = read_config(folder)
        if architecture != cls.__name__:
            raise UnreadableFileError(
                f"{folder / CONFIG} belongs to a {architecture}, not to a {cls.__name__}"
            )
        make = functools.partial(cls, **arguments)
        try:
            if (shapes := skeleton(make)) is not None:  # before memory is taken
                _check_layout(shapes, folder / WEIGHTS)
            network = make()
            network.take_measured(read_about(folder))
        except UnreadableFileError:
            raise
        except (TypeError, ValueError, RuntimeError, ArithmeticError, MemoryError) as error:
            raise UnreadableFileError(
                f"{folder / CONFIG} has arguments that {cls.__name__} refuses: {error}"
            ) from error
        network._load_weights(folder / WEIGHTS)
        return network.eval()

    def push_to_hub(self, repository: str, *, private: bool | None = None) -> str:
        """Upload to the Hugging Face Hub; needs a login (`hf auth login`).

        Args:
            repository: "user/name"; made if it does not exist.
            private: Make a new repository private; None for the account's default.

        Returns:
            Address of the commit.
        """
        from huggingface_hub import HfApi

        hub = HfApi()
        name = hub.create_repo(repository, private=private, exist_ok=True).repo_id
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return hub.upload_folder(repo_id=name, folder_path=folder).commit_url

    def _load_weights(self, path: Path) -> None:
        _, about = safetensors_layout(path)
        weights, digest = load_safetensors(path), about.get("sha256")
        try:
            if digest is not None and digest != digest_of(weights):
                raise UnreadableFileError(f"{path} is damaged: its weights are not what was saved")
            kinds = {value.dtype for value in weights.values()}
            if len(kinds) == 1 and (kind := kinds.pop()).is_floating_point:
                self.to(kind)
            self.load_state_dict(weights)
        except RuntimeError as error:
            raise UnreadableFileError(
                f"{path} does not have the weights of this {type(self).__name__}: "
                + " ".join(str(error).split())
            ) from error


def fetch(source: str | Path, revision: str | None = None) -> Path:
    """The folder of a saved network: `source` itself, or a copy of a repository on the Hub."""
    if (folder := Path(source)).is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        files = [WEIGHTS, CONFIG]
        return Path(snapshot_download(str(source), revision=revision, allow_patterns=files))
    except (OSError, HFValidationError) as error:
        raise FileNotFoundError(
            f"source must be a folder or the name of a Hub repository, got {source}: {error}"
        ) from error


def read_about(folder: Path) -> dict[str, Any]:
    """What `config.json` says of a saved network."""
    path = folder / CONFIG
    config = read_json(path)
    try:
        return dict(config)
    except (TypeError, ValueError) as error:
        raise UnreadableFileError(f"{path} is no config of axiswise: {error}") from error


def read_config(folder: Path) -> tuple[str, dict[str, Any]]:
    """Name of the class of a saved network, and the arguments of its constructor."""
    about = read_about(folder)
    try:
        return str(about["architecture"]), dict(about["arguments"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableFileError(f"{folder / CONFIG} is no config of axiswise: {error}") from error


def _check_layout(network: nn.Module, path: Path) -> None:
    """Refuse a file that has other names, shapes or types than a network's weights."""
    expected = network.state_dict()
    found, _ = safetensors_layout(path)
    for name in sorted(expected.keys() | found.keys()):
        own = tuple(expected[name].shape) if name in expected else None
        kind, shape = found.get(name, ("", None))
        floating = name in expected and expected[name].is_floating_point()
        if own != shape or (shape is not None and floating != ("F" in kind)):
            given = f"{kind} of {shape}" if shape is not None else "nothing"
            raise UnreadableFileError(
                f"{path} does not have the weights of this {type(network).__name__}: {name} must "
                f"be {'nothing' if own is None else own}, got {given}"
            )


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and values: safetensors itself does not notice a changed number."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        value = weights[name].cpu().contiguous()
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
