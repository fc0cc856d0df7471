"""The folder of a run: its recipe and all its results."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

from axiswise.nets.pretrained import WEIGHTS
from axiswise.support.files import UnreadableFileError, naming, write_atomically
from axiswise.support.reading import open_regular, read_text


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
        weights: The finished model.
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
        if run.path.exists() and (not run.path.is_dir() or any(run.path.iterdir())):
            raise FileExistsError(
                f"{run.path} exists already: choose another --out, or go on with it by "
                f"`axiswise train --resume {run.path}`"
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

    def append_metrics(self, row: Mapping[str, float]) -> None:
        """Add a row to the metrics; the first one brings the header.

        Args:
            row: Column name and value, the same columns each time.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self.metrics.exists():
            writer.writerow(row)
        writer.writerow(row.values())
        with naming(self.metrics), self.metrics.open("a", encoding="utf-8") as file:
            file.write(text.getvalue())

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
        if kept:
            write_atomically(self.metrics, "".join([header, *kept]).encode())
        else:
            self.metrics.unlink(missing_ok=True)

    def _whole_metric_lines(self) -> list[str]:
        if not self.metrics.exists():
            return []
        lines = read_text(self.metrics).splitlines(keepends=True)
        return [line for line in lines if line.endswith("\n")]
