"""Reading back what a run left."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError
from torch import Tensor

from axiswise.files import UnreadableFileError
from axiswise.nets import VAE
from axiswise.recipes import build, read_recipe
from axiswise.training.checkpoint import list_checkpoints, load_checkpoint
from axiswise.training.config import TrainConfig
from axiswise.training.run_folder import RunFolder


@dataclass(frozen=True)
class TrainedRun:
    """A run with its network.

    Attributes:
        folder: Its folder.
        config: Its recipe, with the data.
        vae: Its network, in eval mode, on `device`.
        step: Steps it was trained for.
        device: A GPU if there is one.
    """

    folder: RunFolder
    config: TrainConfig
    vae: VAE
    step: int
    device: torch.device

    def images(self, count: int, seed: int) -> Tensor:
        """Images drawn at random.

        Args:
            count: How many.
            seed: Fixes which.

        Returns:
            (count, channel, height, width), on the run's device.
        """
        rng = torch.Generator(self.device).manual_seed(seed)
        return self.config.data.render(self.config.data.draw(count, rng))


def read_config(run: RunFolder) -> TrainConfig:
    """What a run was told.

    Args:
        run: Its folder.

    Returns:
        The config with all its objects.

    Raises:
        UnreadableFileError: If the file is damaged or no config of axiswise.
        OSError: If the data cannot be read.
    """
    try:
        return build(read_recipe(run.config))
    except UnreadableFileError:
        raise
    except (ArgumentError, TypeError, ValueError) as error:
        raise UnreadableFileError(f"{run.config} cannot be used: {error}") from error


def load_run(folder: str | Path) -> TrainedRun:
    """Open a run, finished or not: an unfinished one with the weights of its newest checkpoint.

    Args:
        folder: The run's folder.

    Returns:
        The run.

    Raises:
        FileNotFoundError: If it is no run folder, or nothing was saved yet.
        UnreadableFileError: If a file is damaged or belongs to another recipe.
    """
    run = RunFolder.open(folder)
    config = read_config(run)
    checkpoints = list_checkpoints(run.checkpoints)
    if (run.path / "model.safetensors").is_file():
        vae, step = type(config.model).from_pretrained(run.path), config.steps
    elif checkpoints:
        state = load_checkpoint(checkpoints[-1])
        vae = config.model
        try:
            step = int(state["step"])
            vae.load_state_dict(state["weights"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UnreadableFileError(
                f"checkpoint {checkpoints[-1]} does not belong to the recipe in {run.config}"
            ) from error
    else:
        raise FileNotFoundError(f"{run.path} has neither a finished model nor a checkpoint yet")
    for name, value in vae.state_dict().items():
        if not value.isfinite().all():
            raise UnreadableFileError(f"the weights {name} of {run.path} are not finite")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    vae = vae.eval().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TrainedRun(run, config, vae, step, device)


def read_evaluation(folder: RunFolder) -> dict[str, Any] | None:
    """What `axiswise evaluate` wrote, or None if it was not run.

    Args:
        folder: The run's folder.

    Raises:
        UnreadableFileError: If the file is damaged.
    """
    if not folder.evaluation.is_file():
        return None
    return read_evaluation_file(folder.evaluation)


def read_evaluation_file(path: Path) -> dict[str, Any]:
    """An evaluation.json.

    Args:
        path: The file.

    Raises:
        UnreadableFileError: If it is damaged or something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found["name"], str) and all(map(_is_score, found["scores"].values())):
            return found  # type: ignore[no-any-return]
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise UnreadableFileError(f"{path} is damaged or was not written by `axiswise evaluate`")


def _is_score(value: Any) -> bool:
    """Whether a value is a number, or rows of mean and spread by radius."""
    if not isinstance(value, dict):
        return isinstance(value, int | float)
    numbers = [row[key] for row in value.values() for key in ("mean", "std")]
    return all(float(radius) > 0 for radius in value) and all(map(_is_score, numbers))
