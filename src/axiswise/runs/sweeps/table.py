"""The table that comes of a sweep: every config key and every score of each run."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from axiswise.runs.evaluation import flat_scores, read_evaluation_file
from axiswise.runs.folder import RunFolder
from axiswise.runs.run import flat_config
from axiswise.runs.sweeps.planned import Outcome, PlannedRun
from axiswise.support.files import UnreadableFileError, write_atomically

TABLE = "sweep.csv"

_FIRST = ["recipe", "seed", "folder"]
_BETWEEN = "status"


@dataclass(frozen=True)
class TableRow:
    """A run, as the table has it.

    Attributes:
        recipe: What the runs of its config are grouped by.
        seed: Its seed.
        folder: Its run folder.
        config: Config key, dotted, and value, as text; lists are JSON.
        status: "finished", "there", "failed", or "missing" if the sweep did not come to it.
        scores: Score and value; local ones by radius, as "local_mig 0.1".
    """

    recipe: str
    seed: int
    folder: str
    config: dict[str, str]
    status: str
    scores: dict[str, float]


def write_table(runs: Sequence[PlannedRun], outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the table of a sweep, CSV, whole or not at all.

    Columns: recipe, seed, folder; the config's keys, dotted, those first that differ between runs;
    status; the scores. A run with no scores yet has empty cells.

    Args:
        runs: A row for each.
        outcomes: What became of them, or of some.
        path: Where to; a file that stands there is replaced.

    Raises:
        OSError: If it cannot be written.
    """
    status = {outcome.run.folder: outcome.state for outcome in outcomes}
    configs = [flat_config(run.settings) for run in runs]
    scores = [_scores(run) for run in runs]
    keys = _varying_first(configs)
    names = list(dict.fromkeys(name for found in scores for name in found))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_FIRST, *keys, _BETWEEN, *names])
    for run, config, found in zip(runs, configs, scores, strict=True):
        writer.writerow(
            [
                *(run.name, run.seed, run.folder),
                *(config.get(key, "") for key in keys),
                status.get(run.folder, "missing"),
                *(found.get(name, "") for name in names),
            ]
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.getvalue().encode())


def read_table(path: str | Path) -> list[TableRow]:
    """Read a table that `write_table` wrote.

    Args:
        path: The file.

    Returns:
        Its rows.

    Raises:
        UnreadableFileError: If it is damaged or something else.
        OSError: If it cannot be read.
    """
    path = Path(path)
    try:
        header, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
        middle = header.index(_BETWEEN)
        if header[: len(_FIRST)] != _FIRST:
            raise ValueError
        return [_row(header, row, middle) for row in rows]
    except (csv.Error, ValueError) as error:
        raise UnreadableFileError(f"{path} is no table of `axiswise sweep`") from error


def _row(header: list[str], row: list[str], middle: int) -> TableRow:
    if len(row) != len(header):
        raise ValueError
    start = len(_FIRST)
    cells = list(zip(header, row, strict=True))
    return TableRow(
        recipe=row[0],
        seed=int(row[1]),
        folder=row[2],
        config=dict(cells[start:middle]),
        status=row[middle],
        scores={name: float(value) for name, value in cells[middle + 1 :] if value},
    )


def _varying_first(configs: Sequence[Mapping[str, str]]) -> list[str]:
    keys = dict.fromkeys(key for config in configs for key in config)

    def constant(key: str) -> bool:
        return len({config.get(key) for config in configs}) == 1

    return sorted(keys, key=constant)


def _scores(run: PlannedRun) -> dict[str, float]:
    """The scores of a run, local ones by radius; none where it was not evaluated."""
    try:
        found = read_evaluation_file(RunFolder(run.folder).evaluation)["scores"]
    except (OSError, UnreadableFileError):
        return {}
    return flat_scores(found)
