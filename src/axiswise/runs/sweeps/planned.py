"""A run of a sweep: its files, its progress, its outcome."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal

from axiswise.runs.evaluation import read_evaluation_file, stale
from axiswise.runs.folder import RunFolder
from axiswise.support.files import remove_unfinished, write_atomically
from axiswise.support.locks import lock
from axiswise.support.reading import parse_yaml, read_json

State = Literal["finished", "there", "failed", "busy"]

_SIDE = ".sweep"  # hidden, so that a folder's visible content is its runs and its table


@dataclass(frozen=True)
class PlannedRun:
    """A run of a sweep, trained or not."""

    name: str  # the name that scores are grouped by
    recipe: str  # its shipped name or file
    overrides: tuple[str, ...]  # command-line words, such as "--steps=100"
    seed: int
    metrics: tuple[str, ...] | None  # the usual ones if None, none if empty
    folder: Path  # OUT/NAME-DIGEST-seedS
    config: str  # resolved, YAML
    trust: bool = False  # whether code that is not ours may be run, if the config names any
    after: Path | None = None  # the run that it is made of, which is finished before
    by_sefa: bool = False  # whether it is that run with the axes of SeFa, and nothing is trained

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The resolved config, as nested dictionaries."""
        return parse_yaml(self.config)  # type: ignore[no-any-return]

    @property
    def files(self) -> RunFolder:
        """Its files."""
        return RunFolder(self.folder)

    @property
    def log(self) -> Path:
        """The file with what its last attempt printed."""
        return self._beside("log")

    @property
    def record(self) -> Path:
        """The JSON file that lists the scores taken."""
        return self._beside("json")

    @property
    def start(self) -> Path:
        """The YAML file that its training starts from."""
        return self._beside("yaml")

    @property
    def trained(self) -> bool:
        """Whether there is a finished model."""
        return self.files.finished

    @property
    def evaluated(self) -> bool:
        """Whether all wanted scores are there, of the weights there, by the wanted protocol."""
        if self.metrics == ():
            return True
        try:
            record = read_json(self.record)
            found = read_evaluation_file(self.files.evaluation)
            return (
                set(self._wanted) <= set(record["metrics"])
                and set(record["scores"]) <= set(found["scores"])
                and self.belongs(found)
                and not stale(self.files, found)
            )
        except (OSError, KeyError, TypeError, ValueError):
            return False

    def belongs(self, evaluation: Mapping[str, Any]) -> bool:
        """Whether an evaluation is of a run that was trained and scored as this one is to be."""
        same = (evaluation["name"], evaluation["seed"], evaluation["step"])
        return same == (self.name, self.seed, self.steps) and _covers(
            evaluation["protocol"], self.settings["evaluation"]
        )

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
        """The last step in its table of metrics."""
        return self.steps if self.trained else self.files.last_step()

    def take(self) -> BinaryIO | None:
        """Lock it until the file is closed or this process ends; None if it is locked already."""
        return lock(self._beside("lock"))

    def write_record(self, scores: Mapping[str, Any]) -> None:
        """Note that the wanted scores were taken, and which its evaluation has now."""
        content = {"metrics": self._wanted, "scores": sorted(scores)}
        remove_unfinished(self.record)
        write_atomically(self.record, (json.dumps(content, indent=2) + "\n").encode())

    def to_json(self) -> str:
        """A line of JSON that `from_json` reads."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> "PlannedRun":
        """The run of a line that `to_json` made."""
        values = json.loads(text)
        metrics = None if values["metrics"] is None else tuple(values["metrics"])
        overrides, folder = tuple(values["overrides"]), Path(values["folder"])
        after = None if values["after"] is None else Path(values["after"])
        changed = {"overrides": overrides, "folder": folder, "metrics": metrics, "after": after}
        return cls(**{**values, **changed})

    def turned_by_sefa(self) -> "PlannedRun":
        """The run that `axiswise.runs.sefa.sefa_run` makes of this one."""
        name, folder = f"{self.name}-sefa", self.folder.with_name(f"{self.folder.name}-sefa")
        return replace(self, name=name, folder=folder, after=self.folder, by_sefa=True)

    def fine_tuned_from(self, first: "PlannedRun") -> "PlannedRun":
        """This run, but for its first weights, which are those that another run ends with."""
        name = self.folder.name.removesuffix(f"-seed{self.seed}")
        folder = self.folder.with_name(f"{name}-from-{first.folder.name}")
        config = f"{self.config}\ninit: {json.dumps(str(first.folder.resolve()))}\n"
        return replace(self, folder=folder, config=config, after=first.folder)

    @property
    def _wanted(self) -> list[str]:
        return ["usual"] if self.metrics is None else sorted(self.metrics)

    def _beside(self, kind: str) -> Path:
        return self.folder.parent / _SIDE / f"{self.folder.name}.{kind}"


@dataclass(frozen=True)
class Resources:
    """The cores and GPUs of one run."""

    cpus: int = 1  # ≥ 1; a local run may get more
    gpus: float | None = None  # ≥ 0; None: a whole one where there is any, but none on Ray

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
    """How an attempt at a run ended."""

    run: PlannedRun
    state: State  # "there": finished by an earlier call; "busy": another process works on it
    reason: str = ""  # why it failed, one line
    lost: bool = False  # whether it failed because its process or computer was lost


@dataclass(frozen=True)
class SweepProgress:
    """The progress of a sweep."""

    outcomes: tuple[Outcome, ...]  # in the order in which runs ended
    running: tuple[tuple[PlannedRun, int], ...]  # each with its steps done


def _covers(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether scores by one protocol serve for another; further radii do no harm."""
    # A key that an older evaluation lacks had its default.
    others = {key: value for key, value in wanted.items() if key in found and key != "radius"}
    same = all(found[key] == value for key, value in others.items())
    return same and set(wanted["radius"]) <= set(found["radius"])
