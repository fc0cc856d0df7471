"""A sweep's file, and the runs that it asks for."""

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError

from axiswise.data import FactorData
from axiswise.nets import Autoencoder
from axiswise.runs.fine_tuning import Initial, initial_of
from axiswise.runs.protocol import EvaluationProtocol, read_settings
from axiswise.runs.scores import check_names
from axiswise.runs.sweeps.planned import PlannedRun, Resources
from axiswise.support.imports import Trust, UntrustedCodeError
from axiswise.support.progress import Progress, no_progress
from axiswise.training.recipe import Settings, read_keys, recipe_names, recipe_path
from axiswise.training.trainer import start

_KEYS = ("recipe", "settings", "grid", "list", "seeds", "metrics", "resources", "retries")
# What a run's weights do not depend on; and the seed, which its folder's name ends in.
_NOT_IN_DIGEST = ("seed", "name", "description", "source", "evaluation")


@dataclass(frozen=True)
class Sweep:
    """The content of a sweep's file (see docs/sweeps.md)."""

    recipes: tuple[str, ...]  # at least one, unless each entry names its own
    settings: Mapping[str, Any] = field(default_factory=dict)
    grid: Mapping[str, list[Any]] = field(default_factory=dict)
    entries: tuple[Mapping[str, Any], ...] = ({},)  # the key "list"
    seeds: tuple[int, ...] = (0,)
    metrics: tuple[str, ...] | None = None  # the usual ones if None, none if empty
    resources: Resources = field(default_factory=Resources)
    retries: int = 2
    base: Path = Path()  # the folder that recipes' paths are relative to


def read_sweep(spec: str | Path | Mapping[str, Any]) -> Sweep:
    """Read a sweep from its file or from a mapping; `plan` checks recipes and their keys."""
    if isinstance(spec, Mapping):
        values, where, base = dict(spec), "the sweep", Path()
    else:
        values, where, base = _read_yaml(Path(spec)), str(spec), Path(spec).parent
    if unknown := [key for key in values if key not in _KEYS]:
        raise ValueError(f"{where} has the unknown key {unknown[0]!r}; keys: {', '.join(_KEYS)}")
    entries = _list(values, "list", dict, where, [{}])
    recipes = _names(values, "recipe", where, [])
    if not recipes and not all("recipe" in entry for entry in entries):
        raise ValueError(f"{where} must name a recipe: `recipe: NAME`, or in each entry of list")
    grid = _mapping(values, "grid", where)
    resources = _mapping(values, "resources", where)
    if unknown := [key for key in resources if key not in ("cpus", "gpus")]:
        raise ValueError(f"{where}: resources has the keys cpus and gpus, not {unknown[0]!r}")
    metrics = _names(values, "metrics", where, "usual")
    return Sweep(
        recipes=recipes,
        settings=_mapping(values, "settings", where),
        grid={key: _list(grid, key, object, f"{where}: grid") for key in grid},
        entries=tuple(entries),
        seeds=tuple(_list(values, "seeds", int, where, [0])),
        metrics=None if metrics == ("usual",) else metrics,
        resources=Resources(**resources),
        retries=_count(values, "retries", where, 2),
        base=base,
    )


def plan(
    spec: str | Path | Mapping[str, Any] | Sweep,
    out: str | Path,
    progress: Progress = no_progress,
    *,
    trust: bool = False,
) -> list[PlannedRun]:
    """List the runs of a sweep: recipes × list × grid × seeds, each once.

    Every config is parsed, and built once for all its seeds: an error in one is reported before
    any run is trained.

    Args:
        spec: The sweep's YAML file, or a mapping of the same keys.
        out: Folder of the run folders, which are called NAME-DIGEST-seedS. The digest is of the
            config without what the weights do not depend on: description, source, evaluation.
        progress: Called with the number of configs checked, and of all.
        trust: Whether code may be run that the sweep or its recipes name, and that is not ours.

    Returns:
        The runs, seeds in turn.

    Raises:
        FileNotFoundError: If there is no such file or recipe.
        UntrustedCodeError: If code is named that may not be run.
        ValueError: On an unknown key or a value out of range; the message names the run.
        TypeError: If a key has a value of the wrong type.
    """
    sweep = spec if isinstance(spec, Sweep) else read_sweep(spec)
    out = Path(out)
    # For each folder, as two entries may come to the same config.
    runs: dict[Path, PlannedRun] = {}
    variants = list(_variants(sweep))
    for done, (recipe, overrides) in enumerate(variants, start=1):
        config, digest = _checked(recipe, overrides, sweep.metrics, Trust(files=trust))
        name = config.keys.name
        for seed in sweep.seeds:
            config.keys.seed = seed
            folder = out / f"{_plain(name)}-{digest}-seed{seed}"
            text = config.dump()
            run = PlannedRun(name, recipe, overrides, seed, sweep.metrics, folder, text, trust)
            runs.setdefault(folder, run)
        progress(done, len(variants))
    return list(runs.values())


def _variants(sweep: Sweep) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Recipe and overrides of each config."""
    for entry in sweep.entries:
        own = [(key, value) for key, value in entry.items() if key != "recipe"]
        recipes = [entry["recipe"]] if "recipe" in entry else sweep.recipes
        for recipe, values in itertools.product(recipes, itertools.product(*sweep.grid.values())):
            # The later word wins, as on the command line.
            settings = [*sweep.settings.items(), *own, *zip(sweep.grid, values, strict=True)]
            yield _found(recipe, sweep.base), tuple(_word(*setting) for setting in settings)


def _plain(name: str) -> str:
    """A name as part of a folder's."""
    return re.sub(r"[^\w.+-]", "_", name)


def _found(recipe: Any, base: Path) -> str:
    """A recipe's shipped name, or the path of its file."""
    if not isinstance(recipe, str):
        raise TypeError(f"recipe must be a name or a path, got {recipe!r}")
    return recipe if recipe in recipe_names() else str(base / recipe)


def _word(key: str, value: Any) -> str:
    """A setting as a word of the command line."""
    return f"--{key}={value if isinstance(value, str) else json.dumps(value)}"


def _checked(
    recipe: str, overrides: tuple[str, ...], metrics: tuple[str, ...] | None, trust: Trust
) -> tuple[Settings, str]:
    """A checked config, and its digest."""
    for word in overrides:
        if word.startswith(("--seed=", "--recipe=")):
            raise ValueError(f"{word} must not be a setting: a sweep has the keys seeds and recipe")
    try:
        config = read_settings(recipe_path(recipe), overrides, trust)
        initial = initial_of(config, overrides)
        steps = _steps_of_checked(config, metrics or (), trust, initial)
    except UntrustedCodeError as error:
        words = " ".join([recipe, *overrides])
        raise UntrustedCodeError(f"{words}: {error.what}", error.spec) from error
    except (ArgumentError, ValueError, TypeError, OSError) as error:
        raise ValueError(f"{' '.join([recipe, *overrides])}: {error}") from error
    keys = config.tree()
    kept = {key: value for key, value in keys.items() if key not in _NOT_IN_DIGEST}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    config.keys.steps = steps  # where other keys decide them
    return config, digest[:8]


@dataclass(frozen=True)
class _Expected:
    """What metrics need of a run, known before it trains."""

    autoencodes: bool
    factor_sizes: tuple[int, ...] | None
    held: tuple[int, ...]
    protocol: EvaluationProtocol


def _steps_of_checked(
    settings: Settings, metrics: tuple[str, ...], trust: Trust, initial: Initial | None
) -> int:
    """Steps of a recipe; refused if networks or first weights do not fit, or scores it has not."""
    recipe, protocol = settings.build(), settings.section("evaluation")
    trainer, data = start(recipe), recipe.data
    model = trainer.model
    if initial is not None:
        initial.give(trainer, quiet=True)
    protocol.check(model.latent_dim, data)
    sizes = data.factor_sizes if isinstance(data, FactorData) else None
    check_names(
        _Expected(isinstance(model, Autoencoder), sizes, protocol.held_of(data), protocol),
        metrics,
        trust,
    )
    return recipe.steps


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(
            f"FILE must be a YAML file of a sweep, there is none at {str(path)!r}"
        )
    return read_keys(path, "sweep")


def _mapping(values: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = values.get(key) or {}
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"{where}: {key} must be keys and values, got {value!r}")
    return value


def _list(
    values: Mapping[str, Any], key: str, kind: type, where: str, default: list[Any] | None = None
) -> list[Any]:
    value = values.get(key, default)
    if not isinstance(value, list) or not all(_is(item, kind) for item in value):
        of = {dict: " of keys and values", int: " of whole numbers"}.get(kind, "")
        raise TypeError(f"{where}: {key} must be a list{of}, got {value!r}")
    if not value:
        raise ValueError(f"{where}: {key} must not be an empty list")
    return value


def _names(values: Mapping[str, Any], key: str, where: str, default: Any) -> tuple[str, ...]:
    value = values.get(key, default)
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{where}: {key} must be a name or a list of names, got {value!r}")
    return tuple(names)


def _count(values: Mapping[str, Any], key: str, where: str, default: int) -> int:
    value = values.get(key, default)
    if not _is(value, int):
        raise TypeError(f"{where}: {key} must be a whole number, got {value!r}")
    if value < 0:
        raise ValueError(f"{where}: {key} must be at least 0, got {value}")
    return int(value)


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))
