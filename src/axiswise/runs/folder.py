"""The folder of a run: its recipe and all its results."""

import csv
import hashlib
import io
import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axiswise.nets.pretrained import CONFIG, WEIGHTS, digest_of, read_about
from axiswise.support.files import (
    UnreadableFileError,
    naming,
    open_here,
    remove_unfinished,
    replace_wrong,
    write_atomically,
)
from axiswise.support.locks import is_free, owning
from axiswise.support.notes import note
from axiswise.support.reading import open_regular, read_text
from axiswise.support.tensors import load_safetensors
from axiswise.training.checkpoint import (
    checkpoint_path,
    list_checkpoints,
    load_checkpoint,
    step_of,
)
from axiswise.training.recipe import read_keys

SPEED = "images_per_second"  # the column of metrics that is another one in each run


class RunFolder:
    """Where the files of a run are.

    Args:
        path: The folder.

    Attributes:
        path: The folder.
        config: The resolved config, YAML.
        metrics: One row for each logged step, CSV.
        checkpoints: Folder of checkpoints.
        tensorboard: Folder of TensorBoard events.
        evaluation: Scores, JSON.
        pictures: Folder of pictures.
        samples: Folder of what was generated in the course of training.
        report: The page that shows it all.
        weights: The weights of the finished model.
        about: What else is to know of it, JSON. It is written last: with it, the model is whole.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.metrics = self.path / "metrics.csv"
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"
        self.evaluation = self.path / "evaluation.json"
        self.pictures = self.path / "pictures"
        self.samples = self.path / "samples"
        self.report = self.path / "report.html"
        self.weights = self.path / WEIGHTS
        self.about = self.path / CONFIG

    @classmethod
    def create(cls, path: str | Path, config: str) -> "RunFolder":
        """Make the folder of a new run.

        Args:
            path: A folder that does not exist or is empty.
            config: The resolved config as YAML.

        Returns:
            The run folder.

        Raises:
            FileExistsError: If something is in the folder already.
            OSError: If it cannot be made.
        """
        run = cls(path)
        if not is_free(run.path):
            raise FileExistsError(
                f"{run.path} exists already: choose another --out, or go on with it by "
                f"`axiswise train --resume {shlex.quote(str(run.path))}`"
            )
        run.path.mkdir(parents=True, exist_ok=True)
        write_atomically(run.config, config.encode())
        return run

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """Find the folder of a run.

        Args:
            path: The folder.

        Returns:
            The run folder.

        Raises:
            FileNotFoundError: If it is not there or is no run.
        """
        run = cls(path)
        if not run.config.is_file():
            raise FileNotFoundError(f"{run.path} is no run folder: it has no {run.config.name}")
        return run

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one that trains in it, and remove what one that was killed left unfinished.

        Raises:
            BusyError: Another process trains there.
        """
        with owning(self.path):
            files = (self.config, self.metrics, self.weights, self.about)
            remove_unfinished(*files, self.checkpoints / "step-*", self.samples / "step-*")
            yield

    @property
    def finished(self) -> bool:
        """Whether there is a whole model."""
        return self.weights.is_file() and self.about.is_file()

    def newest(self) -> tuple[Path, int | None] | None:
        """The file of its newest weights, and their step if it is known; None if there are none.

        That is the finished model, unless it was trained further: then a checkpoint.

        Raises:
            UnreadableFileError: If config.json is damaged.
        """
        checkpoints = list_checkpoints(self.checkpoints)
        reached = step_of(checkpoints[-1]) if checkpoints else 0
        if self.finished:
            step = read_about(self.path).get("step")
            if not isinstance(step, int) or step >= reached:
                return self.weights, step if isinstance(step, int) else None
        return (checkpoints[-1], reached) if checkpoints else None

    def model_digest(self) -> str | None:
        """The digest of its newest weights, as `Pretrained.digest`; None if there are none.

        Raises:
            UnreadableFileError: If they are damaged.
        """
        file, _ = self.newest() or (self.weights, None)
        if not file.is_file():
            return None
        if file == self.weights:
            return digest_of(load_safetensors(file))
        return digest_of(load_checkpoint(file)["model"])

    def recipe_digest(self) -> str:
        """SHA-256, in hexadecimal, over what in the config makes weights what they are.

        It leaves out what may be changed later: names, how it is scored, where it trains, its
        number of steps, and in which folders the data and the first weights are. It is "" where
        there is no config.
        """
        try:
            keys = read_keys(self.config)
        except (OSError, UnreadableFileError):
            return ""
        kept = {key: value for key, value in keys.items() if key not in _MAY_CHANGE}
        kept["data"] = _without_folders(kept.get("data"))
        if isinstance(init := kept.get("init"), dict):
            kept["init"] = init.get("weights")  # wherever they were
        return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()

    def append_metrics(self, row: Mapping[str, float]) -> None:
        """Add a row to the metrics; the first one brings the header.

        Args:
            row: Column name and value, the same columns each time.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self.metrics.exists() or not self.metrics.stat().st_size:
            writer.writerow(row)
        writer.writerow(row.values())
        with naming(self.metrics), open_here(self.metrics, "ab") as file:
            file.write(text.getvalue().encode())

    def read_metrics(self) -> dict[str, list[float]]:
        """The metrics, column by column; a last row that a crash cut short is left out.

        Returns:
            Column name and values; empty where nothing was logged.

        Raises:
            UnreadableFileError: If the file is not such a table.
        """
        try:
            header, *rows = csv.reader(self._whole_metric_lines() or [""])
            table = [[float(value) for value in row] for row in rows]
            columns = list(zip(*table, strict=True)) if table else [()] * len(header)
            metrics = {name: list(column) for name, column in zip(header, columns, strict=True)}
            if metrics and "step" not in metrics:
                raise ValueError("it has no column step")
        except (ValueError, csv.Error) as error:
            raise UnreadableFileError(f"{self.metrics} is no table of metrics: {error}") from error
        return metrics

    def last_step(self) -> int:
        """The step in the last whole row of the metrics; 0 where there is none."""
        try:
            with open_regular(self.metrics) as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
                lines = file.read().split(b"\n")[:-1]
            return int(lines[-1].split(b",")[0])
        except (OSError, IndexError, ValueError):
            return 0

    def save_metrics(self, step: int) -> dict[str, Any]:
        """Put the table so far on the disk for good, and a copy beside the checkpoint of a step.

        Returns:
            What `restore_metrics` knows it by, the same for all runs that log the same.
        """
        text = ""
        if self.metrics.exists():
            with naming(self.metrics), self.metrics.open("r+b") as file:
                os.fsync(file.fileno())
                text = file.read().decode(errors="replace")  # damage must not stop training
            self.checkpoints.mkdir(exist_ok=True)
            write_atomically(self._copy(step), text.encode())
        return _mark(text.splitlines(keepends=True))

    def restore_metrics(self, step: int, mark: Mapping[str, Any]) -> None:
        """Bring the table back to what it was at a checkpoint, by what `save_metrics` returned.

        Rows after that, which a resumed run will write again, are dropped. Where rows are missing
        or changed, the copy takes the place of the file, which is kept as metrics.csv.wrong; a line
        on standard error says so.

        Raises:
            UnreadableFileError: If the file is no table of metrics.
            OSError: If it cannot be written; it then stays as it is.
        """
        try:
            self.read_metrics()
        except UnreadableFileError as error:
            raise UnreadableFileError(
                f"{error}; move it away, and the rows of the checkpoint take its place"
            ) from error
        there = self._whole_metric_lines()[: mark["lines"]]
        if _mark(there) == mark:
            self._replace_metrics(there)
            return
        what = f"{self.metrics} lacks rows up to step {step}, or has others than the checkpoint"
        saved = self._copy(step)
        try:
            whole = read_text(saved).splitlines(keepends=True)
        except (OSError, UnreadableFileError):
            whole = []
        if _mark(whole) != mark:
            note(f"{what}; they are lost, as {saved} is missing or damaged")
            self.truncate_metrics(step)
            return
        missing = [line.split(",")[0] for line in whole[1:] if line not in there]
        if missing:
            what = f"{self.metrics} lacked {len(missing)} of {len(whole) - 1} rows"
            what += f", of steps {missing[0]} to {missing[-1]}"
        what += "; it has those of the checkpoint again"
        if self.metrics.exists() and self.metrics.stat().st_size:
            what += f", and the old file is {replace_wrong(self.metrics, saved.read_bytes())}"
        else:
            write_atomically(self.metrics, saved.read_bytes())
        note(what)

    def truncate_metrics(self, step: int) -> None:
        """Drop the rows after a step, which a resumed run will write again.

        Args:
            step: The last step to keep.

        Raises:
            UnreadableFileError: If the file is no table of metrics.
            OSError: If it cannot be written; it then stays as it is.
        """
        steps = self.read_metrics().get("step", [])
        header, *rows = self._whole_metric_lines() or [""]
        kept = [row for row, done in zip(rows, steps, strict=True) if done <= step]
        self._replace_metrics([header, *kept] if kept else [])

    def _replace_metrics(self, lines: Sequence[str]) -> None:
        content = "".join(lines).encode()
        if not content:
            self.metrics.unlink(missing_ok=True)
        elif self.metrics.read_bytes() != content:
            write_atomically(self.metrics, content)

    def _copy(self, step: int) -> Path:
        return checkpoint_path(self.checkpoints, step).with_suffix(".csv")

    def _whole_metric_lines(self) -> list[str]:
        if not self.metrics.exists():
            return []
        lines = read_text(self.metrics).splitlines(keepends=True)
        return [line for line in lines if line.endswith("\n")]


# Keys of a config that leave the weights as they are, or that a run may go on with.
_MAY_CHANGE = {
    *("name", "description", "source", "evaluation"),
    *("accelerator", "devices", "log_every", "checkpoint_every", "steps"),
}


def _without_folders(value: Any) -> Any:
    """Settings of data, with the last part of each path alone: data may be moved."""
    if isinstance(value, dict):
        return {key: _without_folders(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_folders(part) for part in value]
    return Path(value).name if isinstance(value, str) else value


@contextmanager
def alone_showing(report: Path, pictures: Path) -> Iterator[None]:
    """Be the only one that writes a report and its pictures, without leftovers of a killed one."""
    with owning(report.parent, report.name):
        pictures.mkdir(exist_ok=True)
        remove_unfinished(report, *(pictures / f"*.{kind}" for kind in ("png", "gif", "mp4")))
        yield


def _mark(lines: Sequence[str]) -> dict[str, Any]:
    """Number of lines of a table, and a digest of all but the column that says how fast it was."""
    try:
        rows = list(csv.reader(lines))
    except csv.Error:  # a cell without end
        rows = []
    speed = rows[0].index(SPEED) if rows and SPEED in rows[0] else -1
    kept = [[cell for place, cell in enumerate(row) if place != speed] for row in rows]
    return {
        "lines": len(lines),
        "sha256": hashlib.sha256(json.dumps(kept).encode()).hexdigest(),
    }
