"""Reading back what a run left."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError
from torch import Tensor, nn

from axiswise.nets import VAE, Generator
from axiswise.runs.folder import RunFolder
from axiswise.support.files import UnreadableFileError
from axiswise.training.checkpoint import list_checkpoints, load_checkpoint
from axiswise.training.config import GANConfig, TrainConfig, VAEConfig
from axiswise.training.recipe import build, read_recipe


@dataclass(frozen=True)
class TrainedRun:
    """A run with its network.

    Attributes:
        folder: Its folder.
        config: Its recipe, with the data.
        network: What it trained, in eval mode, on `device`.
        step: Steps it was trained for.
        device: A GPU if there is one.
    """

    folder: RunFolder
    config: TrainConfig
    network: VAE | Generator
    step: int
    device: torch.device

    @property
    def generator(self) -> nn.Module:
        """What its Jacobian is taken of: a VAE's decoder, a GAN's generator."""
        return self.network.generator

    @property
    def latent_dim(self) -> int:
        """Its number of latents."""
        return self.network.latent_dim

    def images(self, count: int, seed: int) -> Tensor:
        """Images drawn at random.

        Args:
            count: How many.
            seed: Fixes which.

        Returns:
            (count, channel, height, width), in [0, 1], on the run's device.
        """
        rng = torch.Generator(self.device).manual_seed(seed)
        return self.config.data.render(self.config.data.draw(count, rng))

    @torch.no_grad()
    def latents(self, count: int, seed: int) -> Tensor:
        """Latents as the generator has seen them: a VAE's are the codes of images.

        Args:
            count: How many.
            seed: Fixes which.

        Returns:
            (count, latent), on the run's device.
        """
        if isinstance(self.network, VAE):
            return self.network.encoder(self.images(count, seed))[0]  # type: ignore[no-any-return]
        rng = torch.Generator(self.device).manual_seed(seed)
        return torch.randn(count, self.latent_dim, generator=rng, device=self.device)


@dataclass(frozen=True)
class VAERun(TrainedRun):
    """A run that trained a VAE."""

    config: VAEConfig
    network: VAE


@dataclass(frozen=True)
class GANRun(TrainedRun):
    """A run that trained a GAN."""

    config: GANConfig
    network: Generator


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


def flat_config(settings: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """A config as dotted keys and their values as text, without its name and seed.

    Args:
        settings: The config, as nested dictionaries.
        above: What the keys begin with.

    Returns:
        As {"penalty.weight": "0.1", …}; lists are JSON.
    """
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= flat_config(value, f"{above}{key}.")
        elif above or key not in ("name", "seed"):
            flat[above + key] = value if isinstance(value, str) else json.dumps(value)
    return flat


def load_run(folder: str | Path) -> VAERun | GANRun:
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
        network, step = type(config.network).from_pretrained(run.path), config.steps
    elif checkpoints:
        state = load_checkpoint(checkpoints[-1])
        network = config.network
        try:
            step = int(state["step"])
            network.load_state_dict(state["model"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UnreadableFileError(
                f"checkpoint {checkpoints[-1]} does not belong to the recipe in {run.config}"
            ) from error
    else:
        raise FileNotFoundError(f"{run.path} has neither a finished model nor a checkpoint yet")
    for name, value in network.state_dict().items():
        if not value.isfinite().all():
            raise UnreadableFileError(f"the weights {name} of {run.path} are not finite")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.eval().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if isinstance(config, VAEConfig):
        assert isinstance(network, VAE)
        return VAERun(run, config, network, step, device)
    assert isinstance(config, GANConfig)
    assert isinstance(network, Generator)
    return GANRun(run, config, network, step, device)


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


def flat_scores(scores: Mapping[str, Any]) -> dict[str, float]:
    """Scores of an evaluation, each a number; local ones by radius, as "local_mig 0.1".

    Args:
        scores: Its scores: numbers, or rows of mean and spread by radius.
    """
    flat: dict[str, float] = {}
    for name, value in scores.items():
        if isinstance(value, dict):
            flat |= {f"{name} {radius}": row["mean"] for radius, row in value.items()}
        else:
            flat[name] = value
    return flat


def _is_score(value: Any) -> bool:
    """Whether a value is a number, or rows of mean and spread by radius."""
    if not isinstance(value, dict):
        return isinstance(value, int | float)
    numbers = [row[key] for row in value.values() for key in ("mean", "std")]
    return all(float(radius) > 0 for radius in value) and all(map(_is_score, numbers))
