"""The table of a sweep, sweep.csv: every config key and every score of each run."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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


def write_table(rows: Sequence[TableRow], path: Path) -> None:
    """Write a table, CSV, whole or not at all.

    Columns: recipe, seed, folder; the config's keys, those first that differ between runs; status;
    the scores. A run with no scores yet has empty cells.

    Raises:
        OSError: If it cannot be written.
    """
    keys = _varying_first([row.config for row in rows])
    names = list(dict.fromkeys(name for row in rows for name in row.scores))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_FIRST, *keys, _BETWEEN, *names])
    for row in rows:
        config = [row.config.get(key, "") for key in keys]
        scores = [row.scores.get(name, "") for name in names]
        writer.writerow([row.recipe, row.seed, row.folder, *config, row.status, *scores])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.getvalue().encode())


def read_table(path: str | Path) -> list[TableRow]:
    """Read a table that `write_table` wrote.

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
    cells = list(zip(header, row, strict=True))
    return TableRow(
        recipe=row[0],
        seed=int(row[1]),
        folder=row[2],
        config=dict(cells[len(_FIRST) : middle]),
        status=row[middle],
        scores={name: float(value) for name, value in cells[middle + 1 :] if value},
    )


def _varying_first(configs: Sequence[Mapping[str, str]]) -> list[str]:
    keys = dict.fromkeys(key for config in configs for key in config)
    return sorted(keys, key=lambda key: len({config.get(key) for config in configs}) == 1)
