"""Reproduces a figure of a paper: trains its runs, and writes our numbers beside the paper's."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from axiswise import plots
from axiswise.runs.compare import markdown_table
from axiswise.runs.directions_folder import DirectionsFolder
from axiswise.runs.evaluation import read_evaluation_file, stale
from axiswise.runs.figures.figure import Figure, Model, Scale, read_figure
from axiswise.runs.figures.pages import needs_runs, page_parts
from axiswise.runs.figures.parts import Drawing, Evaluations, Films, Page, Part
from axiswise.runs.figures.searches import evaluations_of, searched
from axiswise.runs.folder import RunFolder
from axiswise.runs.run import Run, load_run
from axiswise.runs.sweeps import (
    Bars,
    OnProgress,
    Outcome,
    PlannedRun,
    SweepProgress,
    no_sweep_bars,
    plan,
    run_all,
)
from axiswise.support.files import UnreadableFileError, remove_unfinished, write_atomically
from axiswise.support.locks import owning
from axiswise.support.progress import StartBar, no_bars


@dataclass(frozen=True)
class Reproduction:
    """A figure that was reproduced."""

    page: Path  # HTML
    missing: list[tuple[PlannedRun, str]]  # runs without scores, each with the reason
    lacks: str = ""  # what of the user's own it needs, and was not given


def reproduce(
    name: str,
    scale: str = "fast",
    out: Path = Path("runs/figures"),
    seeds: Sequence[int] | None = None,
    *,
    data: str | Path | None = None,
    generator: str | None = None,
    workers: int | None = None,
    train: bool = True,
    bars: Bars = no_sweep_bars,
    drawing: Callable[[], AbstractContextManager[StartBar]] = lambda: nullcontext(no_bars),
) -> Reproduction:
    """Train and score the missing runs of a figure, and write its page.

    Args:
        name: One of `axiswise.runs.figures.figure.figure_names`.
        scale: "fast", or "paper" for the paper's own budget.
        out: Folder of the runs, which figures share, and of their scores, which stay when a run is
            deleted; the page goes to `out`/NAME-SCALE.
        seeds: Of each model; the figure's own if None.
        data: A folder of the user's own with images to train on.
        generator: What a figure of directions is about, by any name that `discover` takes.
        workers: Number of runs at once; by the number of cores and GPUs if None.
        train: Whether to train and score what is missing.
        bars: Opens progress bars for a number of runs.
        drawing: Opens progress bars for the page.

    Returns:
        The page, and the runs that it lacks.

    Raises:
        ValueError: On an unknown figure or scale, no seeds, no such folder, or data or a generator
            for a figure that has its own.
    """
    figure = read_figure(name)
    if scale not in figure.scales:
        raise ValueError(f"scale must be one of {', '.join(figure.scales)}, got {scale!r}")
    budget = figure.scales[scale]
    if seeds is not None:
        if not seeds:
            raise ValueError("seeds must be at least one number, got none")
        budget = replace(budget, seeds=list(seeds))
    given = {"data": data, "generator": generator}
    for key, value in given.items():
        if value is not None and key not in figure.needs:
            raise ValueError(f"--{key} is not for {name}, which has its own; got {str(value)!r}")
    if data is not None and not Path(data).is_dir():
        raise ValueError(f"--data must be a folder with images; there is none at {str(data)!r}")
    lacks = next((why for key, why in figure.needs.items() if given[key] is None), "")
    if data is not None:
        own = {"data.path": str(Path(data).resolve())}
        budget = replace(budget, settings={**budget.settings, **own})
    shown = _Shown()
    if generator is not None:
        with drawing() as start_bar:
            folders = searched(budget, generator, out, start_bar, search=train)
        shown = _Shown(evaluations_of(folders), searches=folders)
    elif not lacks:
        shown = _of_runs(figure, budget, out, workers, bars if train else None)
    command = f"axiswise reproduce {name} --scale {scale}"
    folder = out / f"{name}-{scale}"
    with owning(folder, wait=True):
        old = [folder / f"*.{kind}" for kind in ("png", "mp4")]
        remove_unfinished(folder / "report.html", folder / "page.md", *old)
        with drawing() as start_bar:
            page = Page(
                figure, shown.evaluations, shown.pictured, shown.searches, budget, start_bar
            )
            parts = page_parts(page)
        written = _write(folder, figure, budget, parts, command, lacks)
    return Reproduction(written, shown.missing, lacks)


@dataclass(frozen=True)
class _Shown:
    """What a page is made of, and the runs that it lacks, each with the reason."""

    evaluations: Evaluations = field(default_factory=dict)
    pictured: Mapping[str, Run] = field(default_factory=dict)
    searches: Mapping[str, list[DirectionsFolder]] = field(default_factory=dict)
    missing: list[tuple[PlannedRun, str]] = field(default_factory=list)


def _of_runs(
    figure: Figure, scale: Scale, out: Path, workers: int | None, bars: Bars | None
) -> _Shown:
    """Train and score the missing runs, unless `bars` is None, and take what is there."""
    models = planned_runs(figure, scale, out)
    runs = [run for of_model in models.values() for run in of_model]
    drawn = {model: first for model, (first, *_) in models.items() if needs_runs(figure)}

    kept = _Kept(out / "scores", figure)
    untrained = [run for run in drawn.values() if not run.trained]
    wanted = [run for run in runs if not kept.has(run) or run in untrained]
    reasons: dict[Path, str] = {}
    if bars is not None and wanted:
        sources = {run.after for run in wanted if not run.trained}
        wanted = [
            run for run in runs if run in wanted or (run.folder in sources and not run.trained)
        ]
        with bars(len(wanted)) as on_progress:
            reasons = _made(wanted, workers, kept.watching(on_progress))
    for run in runs:
        kept.take(run)
    there = {model: [run for run in of if kept.has(run)] for model, of in models.items()}
    missing = [run for run in runs if not kept.has(run)]
    return _Shown(
        {model: [kept.read(run) for run in of] for model, of in there.items()},
        {model: load_run(run.folder) for model, run in drawn.items() if run.trained},
        missing=[(run, reasons.get(run.folder, "not trained yet")) for run in missing],
    )


def planned_runs(figure: Figure, scale: Scale, out: Path) -> dict[str, list[PlannedRun]]:
    """Model → its runs in the folder `out`, one for each seed."""
    shared = {"seeds": scale.seeds, "metrics": scale.metrics or figure.metrics}
    planned: dict[str, list[PlannedRun]] = {}
    for name, model in scale.models.items():
        if model.sefa:
            planned[name] = [run.turned_by_sefa() for run in planned[model.sefa]]
        else:
            settings = {**scale.settings, **model.settings}
            planned[name] = plan({"recipe": model.recipe, "settings": settings, **shared}, out)
        if model.init:
            pairs = zip(planned[name], planned[model.init], strict=True)
            planned[name] = [run.fine_tuned_from(first) for run, first in pairs]
    return planned


def _made(runs: Sequence[PlannedRun], workers: int | None, show: OnProgress) -> dict[Path, str]:
    """Train and score runs, those last that are made of others'; folder → why it failed, if so."""
    ended: tuple[Outcome, ...] = ()

    def on_progress(progress: SweepProgress) -> None:
        show(replace(progress, outcomes=ended + progress.outcomes))

    for derived in (False, True):
        wave = [run for run in runs if (run.after is not None) == derived]
        ended += tuple(run_all(wave, workers, on_progress=on_progress)) if wave else ()
    return {outcome.run.folder: outcome.reason for outcome in ended}


class _Kept:
    """Scores of runs, kept apart from their weights."""

    def __init__(self, folder: Path, figure: Figure) -> None:
        self.folder, self.figure = folder, figure

    def path(self, run: PlannedRun) -> Path:
        return self.folder / f"{run.folder.name}.json"

    def has(self, run: PlannedRun) -> bool:
        """Whether a run has the scores that the figure shows, of the weights there, if any are."""
        try:
            found = self.read(run)
            if not run.belongs(found) or stale(run.files, found):
                return False
        except (OSError, UnreadableFileError, KeyError, TypeError):
            return False
        scores = found["scores"]
        if "active_axes" not in scores:
            return False
        # A run without active axes has no columns to describe, and never will.
        return scores["active_axes"] == 0 or set(self.figure.scores) <= set(scores)

    def read(self, run: PlannedRun) -> dict[str, Any]:
        return read_evaluation_file(self.path(run))

    def take(self, run: PlannedRun) -> None:
        """Keep a copy of a finished run's scores."""
        if run.finished:
            found = read_evaluation_file(run.files.evaluation)
            path = self.path(run)
            with owning(self.folder, path.name, wait=True):
                remove_unfinished(path)
                write_atomically(path, (json.dumps(found, indent=2) + "\n").encode())

    def watching(self, on_progress: OnProgress) -> OnProgress:
        """Keep the scores of each run as it ends, and call `on_progress`."""
        seen = 0

        def watch(progress: SweepProgress) -> None:
            nonlocal seen
            for outcome in progress.outcomes[seen:]:
                if outcome.state != "failed":
                    self.take(outcome.run)
            seen = len(progress.outcomes)
            on_progress(progress)

        return watch


def _write(
    folder: Path, figure: Figure, scale: Scale, parts: Sequence[Part], command: str, lacks: str
) -> Path:
    """Write report.html and page.md, and the pictures and films beside them."""
    blocks: list[plots.Picture | plots.Table] = []
    films = list[plots.Section]()
    lines = [f"# {figure.title}", f"{figure.source}. {figure.about}", f"Made by `{command}`."]
    for part in parts:
        if isinstance(part, Drawing):
            if isinstance(part.picture, bytes):
                write_atomically(folder / part.file, part.picture)
            else:
                plots.save(part.picture, folder / part.file)
            blocks.append(plots.Picture((folder / part.file).read_bytes(), part.caption))
            lines.append(f"![{part.caption}]({part.file})")
        elif isinstance(part, Films):
            for file, video in part.files.items():
                write_atomically(folder / file, video)
            films.append(plots.Section(part.title, [part.gallery], part.caption))
            lines.append(f"{part.title}: in report.html, and as files beside it.")
        else:
            blocks.append(part)
            lines += [part.caption, _markdown(part)]
    recipes = "\n".join(
        f"{name}: {_command(model, {**scale.settings, **model.settings})}"
        for name, model in scale.models.items()
    )
    lines += [*([lacks] if lacks else []), f"```\n{recipes}\n```"]
    sections = [
        plots.Section("Figure", blocks, " ".join(filter(None, (figure.about, lacks)))),
        *films,
        plots.Section("Runs", [plots.Preformatted(f"{command}\n\n{recipes}")]),
    ]
    page = RunFolder(folder).report
    write_atomically(folder / "page.md", ("\n\n".join(lines) + "\n").encode())
    write_atomically(page, plots.report(figure.title, sections, f"{figure.source}.").encode())
    return page


def _command(model: Model, settings: Mapping[str, Any]) -> str:
    """How a run of a model is made by hand."""
    if model.discover:
        own = {
            "subspace": model.subspace,
            "classes": model.classes and model.classes[0],
            **settings,
        }
        words = [f"--{key} {value}" for key, value in own.items() if value is not None]
        return " ".join([f"axiswise discover GENERATOR --method {model.discover}", *words])
    if model.sefa:
        return f"axiswise sefa, on each run of {model.sefa}"
    words = [f"axiswise train {model.recipe}"]
    words += [f"--init, each run of {model.init},"] if model.init else []
    return " ".join([*words, *(f"--{key} {_quoted(value)}" for key, value in settings.items())])


def _quoted(value: Any) -> str:
    """A setting as a word of the shell."""
    return shlex.quote(value if isinstance(value, str) else json.dumps(value))


def _markdown(table: plots.Table) -> str:
    rows = [["–" if cell is None else str(cell) for cell in row] for row in table.rows]
    return markdown_table([table.header, *rows])
