"""A run that a sweep asks for: where it will be, how far it is, how it ended."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal

import yaml

from axiswise.runs.evaluation import read_evaluation_file
from axiswise.runs.folder import RunFolder
from axiswise.support.files import UnreadableFileError, write_atomically

State = Literal["finished", "there", "failed", "busy"]

_SIDE = ".sweep"  # hidden, so that a folder's visible content is its runs and its table


@dataclass(frozen=True)
class PlannedRun:
    """A run that a sweep asks for.

    Attributes:
        name: What the runs of its config are grouped by.
        recipe: The recipe's shipped name or file.
        overrides: Command-line words that change it, as "--steps=100".
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
    def files(self) -> RunFolder:
        """Its files."""
        return RunFolder(self.folder)

    @property
    def log(self) -> Path:
        """What its last attempt printed."""
        return self._beside("log")

    @property
    def record(self) -> Path:
        """Which scores were taken, JSON."""
        return self._beside("json")

    @property
    def start(self) -> Path:
        """The config that its training starts from, YAML."""
        return self._beside("yaml")

    @property
    def trained(self) -> bool:
        """Whether there is a finished model."""
        return self.files.weights.is_file()

    @property
    def evaluated(self) -> bool:
        """Whether all wanted scores are there, by the wanted protocol."""
        if self.metrics == ():
            return True
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
            found = read_evaluation_file(self.files.evaluation)
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
        return self.steps if self.trained else self.files.last_step()

    def take(self) -> BinaryIO | None:
        """Lock it until the file is closed or this process ends; None if another process has."""
        lock = self._beside("lock").open("a+b")
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                return None
        return lock

    def write_record(self, scores: Mapping[str, Any]) -> None:
        """Note that the wanted scores were taken, and which its evaluation holds now."""
        content = {"metrics": self._wanted, "scores": sorted(scores)}
        write_atomically(self.record, (json.dumps(content, indent=2) + "\n").encode())

    def to_json(self) -> str:
        """Itself as a line of JSON."""
        return json.dumps({**asdict(self), "folder": str(self.folder)})

    @classmethod
    def from_json(cls, text: str) -> "PlannedRun":
        """The run of a line that `to_json` made."""
        values = json.loads(text)
        metrics = None if values["metrics"] is None else tuple(values["metrics"])
        overrides, folder = tuple(values["overrides"]), Path(values["folder"])
        return cls(**{**values, "overrides": overrides, "folder": folder, "metrics": metrics})

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
    """How an attempt at a run ended.

    Attributes:
        run: The run.
        state: "finished" by this call, "there" from an earlier one or by another process, "failed",
            or "busy" where another process works on it.
        reason: Why it failed, one line; else empty.
        lost: Whether it failed because its process or machine has gone.
    """

    run: PlannedRun
    state: State
    reason: str = ""
    lost: bool = False


@dataclass(frozen=True)
class SweepProgress:
    """How far a sweep is.

    Attributes:
        outcomes: Of the runs that have ended, in the order in which they did.
        running: The runs that train now, each with its steps done.
    """

    outcomes: tuple[Outcome, ...]
    running: tuple[tuple[PlannedRun, int], ...]


def _covers(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether scores by one protocol are what another asks for; further radii do no harm.

    A key that the evaluation does not know yet had its default.
    """
    others = {key: value for key, value in wanted.items() if key in found and key != "radius"}
    same = all(found[key] == value for key, value in others.items())
    return same and set(wanted["radius"]) <= set(found["radius"])
