"""The table of a sweep, sweep.csv: every config key and every score of each run."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from axiswise.support.files import (
    UnreadableFileError,
    remove_unfinished,
    replace_wrong,
    write_atomically,
)
from axiswise.support.locks import owning
from axiswise.support.notes import note
from axiswise.support.reading import read_text

TABLE = "sweep.csv"

_FIRST = ["recipe", "seed", "folder"]
_BETWEEN = "status"


@dataclass(frozen=True)
class TableRow:
    """A run, as a row of the table."""

    recipe: str  # the name that its scores are grouped by
    seed: int
    folder: str
    config: dict[str, str]  # by dotted key; lists are JSON
    status: str  # "finished", "there", "failed", or "missing" if the sweep has not come to it
    scores: dict[str, float]  # local ones by radius, as "local_mig 0.1"


def write_table(rows: Sequence[TableRow], path: Path) -> None:
    """Write the rows of a sweep, and keep those of others whose runs are in the same folder.

    A file that is no table is kept as sweep.csv.wrong.

    Raises:
        OSError: If it cannot be written; what stood there stays.
    """
    ours = {Path(row.folder).name for row in rows}
    with owning(path.parent, path.name, wait=True):
        remove_unfinished(path)
        try:
            there = read_table(path) if path.exists() else []
        except UnreadableFileError as error:
            note(f"{error}: the old file is {replace_wrong(path, _content(rows))}")
            return
        names = [(Path(row.folder).name, row) for row in there]
        others = [row for name, row in names if name not in ours and (path.parent / name).is_dir()]
        write_atomically(path, _content([*rows, *others]))


def _content(rows: Sequence[TableRow]) -> bytes:
    """A table as CSV, those keys first in which configs differ; cells may be empty."""
    configs = [row.config for row in rows]
    keys = list(dict.fromkeys(key for config in configs for key in config))
    keys.sort(key=lambda key: len({config.get(key) for config in configs}) == 1)
    names = list(dict.fromkeys(name for row in rows for name in row.scores))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_FIRST, *keys, _BETWEEN, *names])
    for row in rows:
        config = [row.config.get(key, "") for key in keys]
        scores = [row.scores.get(name, "") for name in names]
        writer.writerow([row.recipe, row.seed, row.folder, *config, row.status, *scores])
    return text.getvalue().encode()


def read_table(path: str | Path) -> list[TableRow]:
    """Read the table of a sweep.

    Args:
        path: Its sweep.csv.

    Returns:
        A row for each run.

    Raises:
        UnreadableFileError: If it is damaged or something else.
        OSError: If it cannot be read.
    """
    path = Path(path)
    try:
        header, *rows = csv.reader(io.StringIO(read_text(path)))
        middle = header.index(_BETWEEN)
        if header[: len(_FIRST)] != _FIRST:
            raise ValueError
        return [_row(header, row, middle) for row in rows]
    except UnreadableFileError:
        raise
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
