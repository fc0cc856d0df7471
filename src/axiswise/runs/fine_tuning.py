"""Fine-tuning: the weights of another run, which a training starts from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from torch import Tensor

from axiswise import nets
from axiswise.nets.pretrained import CONFIG, Pretrained, digest_of
from axiswise.runs.folder import RunFolder
from axiswise.runs.run import flat_config
from axiswise.support.files import UnreadableFileError
from axiswise.support.notes import note
from axiswise.support.tensors import load_safetensors
from axiswise.training.checkpoint import list_checkpoints, load_checkpoint
from axiswise.training.recipe import Settings, read_keys
from axiswise.training.trainer import Init, Trainer

# How long added terms rise where a recipe has them at once: as published, of 100,000 kimg.
_RAMP_IMAGES, _RAMP = 10_000_000, 0.1
_States = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Initial:
    """The weights that a training starts from.

    Attributes:
        init: What the config says of them.
        states: The states of all networks by their names in a checkpoint, or that of the model
            alone, by the name "".
        model: A saved or published network, if they are of one.
    """

    init: Init
    states: _States
    model: Pretrained | None = None

    def give(self, trainer: Trainer, *, quiet: bool = False) -> None:
        """Have a trainer start from them; unless `quiet`, a line says which networks are fresh.

        Raises:
            ValueError: Its networks are others.
        """
        try:
            if self.model is not None:
                _check_model(self.model, trainer.model)
            model = self.states.get("")
            fresh = trainer.take_over(self.states if model is None else trainer.weights_of(model))
        except ValueError as error:
            raise ValueError(f"--init {self.init.run} does not fit: {error}") from error
        if fresh and not quiet:
            note(f"{self.init.run} has no {' and no '.join(fresh)}: fresh weights instead")


def initial_of(settings: Settings, overrides: Sequence[str]) -> Initial | None:
    """The weights that a recipe says it starts from, if it does; its keys then say which.

    Args:
        settings: The recipe. Where its added terms do not rise, they then do: over 10,000 kimg as
            published where it says how many images it shows, else over a tenth of the run.
        overrides: The command-line words in it; with `--anneal`, that stays.

    It raises what `read_initial` raises.
    """
    keys = settings.keys
    if keys.init is None:
        return None
    resolved = bool(keys.init.weights)  # the config of a run, which has its own anneal
    found = read_initial(Init(**vars(keys.init)), settings.tree())
    keys.init = Namespace(**vars(found.init))
    given = any(word.split("=")[0] == "--anneal" for word in overrides)
    if keys.anneal == 0 and not given and not resolved:
        keys.anneal = _ramp(keys)
    return found


def _ramp(keys: Namespace) -> float:
    """Share of a run over which added terms rise: 10,000 kimg if it is so long, else a tenth."""
    images = keys.get("images") or 0 if not keys.steps else 0
    return _RAMP_IMAGES / images if images >= 2 * _RAMP_IMAGES else _RAMP


def read_initial(init: Init, keys: Mapping[str, Any]) -> Initial:
    """Read the weights of a finished run, or of a saved network.

    Args:
        init: Where they are; with a digest, they must be those.
        keys: The config of the training that starts from them.

    Raises:
        FileNotFoundError: There is nothing of that name, or nothing that was trained.
        UnreadableFileError: A file is damaged.
        ValueError: The run is not finished, of another kind or of other networks, or its weights
            are not those of the digest.
        OSError: A file cannot be read.
    """
    path = Path(init.run)
    if RunFolder(path).config.is_file():
        found = _of_run(RunFolder(path), keys)
    elif path.is_file() or (path / CONFIG).is_file():
        model = nets.load_published(path) if path.is_file() else nets.load(path)
        found = _initial({"": model.state_dict()}, type(model).__name__, 0, model)
    else:
        raise FileNotFoundError(
            "--init must be a run folder, a folder with a network of ours or a file of published "
            f"weights; there is none at {init.run!r}"
        )
    for part, state in found.states.items():
        for name, value in state.items():
            if not value.isfinite().all():
                raise UnreadableFileError(f"--init {path}: {name} of the {part} is not finite")
    if init.weights not in ("", found.init.weights):
        raise ValueError(
            f"--init {init.run} has other weights than those that the config names, of digest "
            f"{init.weights}: they were trained further or replaced"
        )
    return replace(found, init=replace(found.init, run=init.run))


def _of_run(run: RunFolder, keys: Mapping[str, Any]) -> Initial:
    there = read_keys(run.config)
    _check_networks(str(run.path), there, keys)
    checkpoints = list_checkpoints(run.checkpoints)
    if not run.finished and not checkpoints:
        raise FileNotFoundError(f"--init {run.path} has nothing that was trained")
    newest = run.newest()
    if newest is None or newest[0] != run.weights:
        raise ValueError(
            f"--init {run.path} is not trained to its end: go on with it by "
            f"`axiswise train --resume {run.path}`"
        )
    name, digest = str(there.get("name") or run.path.name), run.recipe_digest()
    if not checkpoints:
        return _initial({"": load_safetensors(run.weights)}, name, newest[1] or 0)
    state = load_checkpoint(checkpoints[-1])
    try:
        if "" not in (digest, state["recipe"]) and digest != state["recipe"]:
            raise ValueError("its settings were others")
        return _initial(state["trainer"]["networks"], name, int(state["step"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableFileError(
            f"checkpoint {checkpoints[-1]} does not belong to the recipe in {run.config}: {error}"
        ) from error


def _check_model(there: Pretrained, here: Pretrained) -> None:
    """Refuse a network of another class or arguments; shapes of weights are compared elsewhere."""
    classes, arguments = (type(there), type(here)), (there.arguments, here.arguments)
    if classes[0] is not classes[1]:
        raise ValueError(f"it is a {classes[0].__name__}, the recipe's is a {classes[1].__name__}")
    for name, value in arguments[0].items():
        # Either of these gives the widths of a published network.
        if name not in ("width", "hidden") and json.dumps(value) != json.dumps(arguments[1][name]):
            raise ValueError(f"its {name} is {value}, the recipe's is {arguments[1][name]}")


def _check_networks(where: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Refuse a config of another kind of training, or of other networks, by the first difference.

    Settings that one of them does not have differ by version alone; the weights decide then.
    """
    flat_there, flat_here = (flat_config(_networks_of(keys)) for keys in (there, here))
    for key, value in flat_there.items():
        codes = key.endswith(".init_args.codes")  # of a critic, whose head may be fresh
        if not codes and key in flat_here and flat_here[key] != value:
            raise ValueError(
                f"--init {where} does not fit: {key} is {value} there and {flat_here[key]} in the "
                "recipe"
            )


def _networks_of(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in keys.items()
        if key == "trainer"
        or (isinstance(value, dict) and "class_path" in value and key not in ("data", "objective"))
    }


def _initial(states: _States, recipe: str, step: int, model: Pretrained | None = None) -> Initial:
    named = {f"{part}/{key}": value for part in states for key, value in states[part].items()}
    return Initial(Init("", recipe, step, digest_of(named)), states, model)
