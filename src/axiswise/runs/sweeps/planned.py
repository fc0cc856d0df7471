"""A run that a sweep asks for: where it is to be, how far it has come, what became of it."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml

from axiswise.nets.pretrained import WEIGHTS
from axiswise.runs.evaluation import read_evaluation_file
from axiswise.runs.folder import RunFolder
from axiswise.support.files import UnreadableFileError, write_atomically

State = Literal["finished", "there", "failed"]

_SIDE = ".sweep"  # hidden, so that a folder's visible content is its runs and its table


@dataclass(frozen=True)
class PlannedRun:
    """A run that a sweep asks for.

    Attributes:
        name: What the runs of its config are grouped by.
        recipe: The recipe's shipped name or file.
        overrides: Command-line words that change it, as "--penalty.weight=0.3".
        seed: Of everything random.
        metrics: Names of the scores wanted; the usual ones if None, none if empty.
        folder: Its run folder, OUT/NAME-DIGEST-seedS.
        config: The resolved config, YAML.
    """

    name: str
    recipe: str
    overrides: tuple[str, ...]
    seed: int
    metrics: tuple[str, ...] | None
    folder: Path
    config: str

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The resolved config, as nested dictionaries."""
        return yaml.safe_load(self.config)  # type: ignore[no-any-return]

    @property
    def log(self) -> Path:
        """What its last attempt printed."""
        return self._beside("log")

    @property
    def lock(self) -> Path:
        """The file that whoever works on it holds."""
        return self._beside("lock")

    @property
    def record(self) -> Path:
        """What was evaluated by which protocol, JSON."""
        return self._beside("json")

    @property
    def told(self) -> Path:
        """The config that its training starts from, YAML."""
        return self._beside("yaml")

    @property
    def trained(self) -> bool:
        """Whether there is a finished model."""
        return (self.folder / WEIGHTS).is_file()

    @property
    def evaluated(self) -> bool:
        """Whether all wanted scores are there, by the wanted protocol."""
        if self.metrics == ():
            return True
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
            found = read_evaluation_file(RunFolder(self.folder).evaluation)
            return (
                set(self._wanted) <= set(record["metrics"])
                and set(record["scores"]) <= set(found["scores"])
                and _covers(found["protocol"], self.settings["evaluation"])
            )
        except (OSError, UnreadableFileError, KeyError, TypeError, ValueError):
            return False

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.trained and self.evaluated

    @property
    def steps(self) -> int:
        """Steps in all."""
        return int(self.settings["steps"])

    @property
    def steps_done(self) -> int:
        """Steps that its table of metrics has come to."""
        return self.steps if self.trained else _last_step(RunFolder(self.folder).metrics)

    def write_record(self, scores: Mapping[str, Any]) -> None:
        """Note that the wanted scores were taken.

        Args:
            scores: The scores that its evaluation holds now, by name.

        Raises:
            OSError: If the note cannot be written.
        """
        content = {"metrics": self._wanted, "scores": sorted(scores)}
        write_atomically(self.record, (json.dumps(content, indent=2) + "\n").encode())

    def to_json(self) -> str:
        """Itself as a line of JSON."""
        return json.dumps({**asdict(self), "folder": str(self.folder)})

    @classmethod
    def from_json(cls, text: str) -> "PlannedRun":
        """The run that `to_json` wrote.

        Args:
            text: The line.
        """
        told = json.loads(text)
        metrics = None if told["metrics"] is None else tuple(told["metrics"])
        rest = {"overrides": tuple(told["overrides"]), "folder": Path(told["folder"])}
        return cls(**{**told, **rest, "metrics": metrics})

    @property
    def _wanted(self) -> list[str]:
        return ["usual"] if self.metrics is None else sorted(self.metrics)

    def _beside(self, kind: str) -> Path:
        return self.folder.parent / _SIDE / f"{self.folder.name}.{kind}"


@dataclass(frozen=True)
class Resources:
    """What one run takes.

    Args:
        cpus: Cores, ≥ 1. Of local runs, the least.
        gpus: GPUs, ≥ 0; 0.25 puts four runs on one. If None, a local run takes a whole one where
            there is any; on Ray, none.

    Raises:
        ValueError: On a number out of range.
        TypeError: On something that is no number.
    """

    cpus: int = 1
    gpus: float | None = None

    def __post_init__(self) -> None:
        if type(self.cpus) is not int:
            raise TypeError(f"resources.cpus must be a whole number, got {self.cpus!r}")
        if type(self.gpus) not in (int, float, type(None)):
            raise TypeError(f"resources.gpus must be a number or null, got {self.gpus!r}")
        if self.cpus < 1:
            raise ValueError(f"resources.cpus must be at least 1, got {self.cpus}")
        if self.gpus is not None and not 0 <= self.gpus < float("inf"):
            raise ValueError(f"resources.gpus must be at least 0, got {self.gpus}")


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        run: The run.
        state: "finished" by this call, "there" from an earlier one or by another process, or
            "failed".
        reason: Why it failed, one line; else empty.
    """

    run: PlannedRun
    state: State
    reason: str = ""

    @property
    def log(self) -> Path:
        """What the run's last attempt printed."""
        return self.run.log


@dataclass(frozen=True)
class Progress:
    """How far a sweep is.

    Attributes:
        outcomes: What became of those that have ended, in the order in which they did.
        running: Those at work, each with its steps done.
        waiting: How many are still to start.
    """

    outcomes: tuple[Outcome, ...]
    running: tuple[tuple[PlannedRun, int], ...]
    waiting: int


def _covers(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether scores by one protocol are what another asks for; more radii than asked do no harm.

    A key that the evaluation does not know yet had its default.
    """
    others = {key: value for key, value in wanted.items() if key in found and key != "radius"}
    same = all(found[key] == value for key, value in others.items())
    return same and set(wanted["radius"]) <= set(found["radius"])


def _last_step(metrics: Path) -> int:
    """The step in the last whole row of a table of metrics; 0 where there is none."""
    try:
        with metrics.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().split(b"\n")[:-1]
        return int(lines[-1].split(b",")[0])
    except (OSError, IndexError, ValueError):
        return 0
