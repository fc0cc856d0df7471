"""Sets of directions compared: do searches with other seeds or methods find the same?"""

import itertools
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from axiswise import plots
from axiswise.directions import Directions, match_directions
from axiswise.runs.compare import markdown_table
from axiswise.runs.directions_folder import DirectionsFolder, searched
from axiswise.support.files import remove_unfinished, write_atomically
from axiswise.support.locks import owning
from axiswise.support.progress import StartBar, no_bars

_DRAWS = 100  # of random directions


@dataclass(frozen=True)
class Agreement:
    """How well sets of directions match each other.

    Attributes:
        names: Of the sets.
        mean_cosine: (set, set), from 0 to 1: mean |cos| after the best matching.
        random: (set, set): the mean of that over random orthonormal directions, as many and in the
            same latents.
    """

    names: list[str]
    mean_cosine: Tensor
    random: Tensor

    @property
    def rows(self) -> list[list[str]]:
        """A table of text, a header first; last, the mean of what random directions score."""
        count = len(self.names)
        rows = [["directions", *(str(i + 1) for i in range(count)), "at random"]]
        for i, name in enumerate(self.names):
            others = [float(self.random[i, j]) for j in range(count) if j != i]
            at_random = f"{sum(others) / len(others):.2f}" if others else "–"
            rows.append(
                [f"{i + 1}  {name}", *(f"{value:.2f}" for value in self.mean_cosine[i]), at_random]
            )
        return rows


def compare_directions(
    folders: Sequence[str], seed: int = 0, start_bar: StartBar = no_bars
) -> Agreement:
    """Match each of several folders of directions with each; `seed` fixes the random directions.

    Raises:
        FileNotFoundError: If one is missing or has no directions.
        UnreadableFileError: If a file is damaged.
        ValueError: If they are of different generators, or numbers of latents.
    """
    sets = [Directions.load(folder) for folder in folders]
    _check_generators(folders)
    widths = [found.latent_dim for found in sets]
    if len(set(widths)) > 1:
        given = ", ".join(f"{width} of {name}" for name, width in zip(folders, widths, strict=True))
        raise ValueError(f"FOLDER … must have directions of equally many latents, got {given}")
    spaces = [searched(found, folder) for found, folder in zip(sets, folders, strict=True)]
    count = len(sets)
    values, random = torch.ones(count, count), torch.ones(count, count)
    pairs, progress = list(itertools.combinations(range(count), 2)), start_bar("pairs")
    for done, (i, j) in enumerate(pairs, start=1):
        values[i, j] = values[j, i] = float(match_directions(sets[i], sets[j]))
        rng = torch.Generator().manual_seed(seed)  # the same for pairs of the same sizes
        draws = [
            float(match_directions(*(_random(sets[k], spaces[k], rng) for k in (i, j))))
            for _ in range(_DRAWS)
        ]
        random[i, j] = random[j, i] = sum(draws) / _DRAWS
        progress(done, len(pairs))
    return Agreement(_names(folders), values, random)


def _check_generators(folders: Sequence[str]) -> None:
    """Refuse directions of generators with different weights, where these are known."""
    known: dict[str, str] = {}
    for folder in folders:
        source = DirectionsFolder(folder).source()
        if source is not None and source.weights is not None:
            known.setdefault(source.weights, folder)
    if len(known) > 1:
        first, second, *_ = known.values()
        raise ValueError(
            f"FOLDER … must have directions of one generator, but those that {first} and {second} "
            "belong to have different weights"
        )


def write_agreement(agreement: Agreement, sources: Sequence[str], out: Path) -> None:
    """Write agreement.md, agreement.json and agreement.png into a folder, made if missing.

    `sources` are the compared folders as the user named them, for the table's caption.
    """
    with owning(out):
        remove_unfinished(*(out / f"agreement.{kind}" for kind in ("md", "json", "png")))
        _write_agreement(agreement, sources, out)


def _write_agreement(agreement: Agreement, sources: Sequence[str], out: Path) -> None:
    lines = [
        markdown_table(agreement.rows),
        "",
        "Mean |cos| after the best matching, and that of random directions, as many and in the "
        f"same latents. Made by `axiswise compare {shlex.join(sources)}`.",
    ]
    write_atomically(out / "agreement.md", ("\n".join(lines) + "\n").encode())
    content = {
        "folders": list(sources),
        "mean_cosine": agreement.mean_cosine.tolist(),
        "random": agreement.random.tolist(),
    }
    write_atomically(out / "agreement.json", (json.dumps(content, indent=2) + "\n").encode())
    figure = plots.agreement(agreement.mean_cosine, agreement.random, agreement.names)
    plots.save(figure, out / "agreement.png")


def _random(like: Directions, space: slice, rng: torch.Generator) -> Tensor:
    """Random orthonormal directions, as many and in the same latents."""
    start, stop = space.start, space.stop
    q, _ = torch.linalg.qr(torch.randn(stop - start, stop - start, generator=rng))
    return torch.nn.functional.pad(q[: len(like)], (start, like.latent_dim - stop))


def _names(folders: Sequence[str]) -> list[str]:
    """The last part of each path, or the whole one where that is not enough."""
    last = [Path(folder).resolve().name for folder in folders]
    return last if len(set(last)) == len(last) else list(folders)
