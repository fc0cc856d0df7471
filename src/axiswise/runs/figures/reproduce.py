"""`axiswise reproduce`: from a figure's runs to a page with our numbers beside the paper's."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from axiswise import plots
from axiswise.runs.compare import markdown_table
from axiswise.runs.evaluation import read_evaluation_file
from axiswise.runs.figures.figure import Figure, Scale, read_figure
from axiswise.runs.figures.pages import Drawing, Part, page_parts
from axiswise.runs.run import load_run
from axiswise.runs.sweeps import PlannedRun, Progress, plan, run_all
from axiswise.support.files import UnreadableFileError, write_atomically

OnProgress = Callable[[Progress], None]
# Given the number of runs, what shows their progress while it is open.
Bars = Callable[[int], AbstractContextManager[OnProgress]]


@dataclass(frozen=True)
class Reproduction:
    """A figure that was reproduced.

    Attributes:
        page: The page, HTML.
        missing: Runs whose scores it lacks, each with the reason, if it is known.
    """

    page: Path
    missing: list[tuple[PlannedRun, str]]


def reproduce(
    name: str,
    scale: str = "fast",
    out: Path = Path("runs/figures"),
    seeds: Sequence[int] | None = None,
    *,
    workers: int | None = None,
    train: bool = True,
    bars: Bars = lambda _: nullcontext(lambda _: None),
) -> Reproduction:
    """Train what is missing for a figure, score it, and write its page.

    Runs lie in `out`, each in a folder that its config and seed name, so that figures share them.
    The scores of each are kept in `out`/scores: where they are, the run itself is not needed any
    more, unless the page shows its Jacobian.

    Args:
        name: One of `axiswise.runs.figures.figure.figure_names`.
        scale: "fast", or "paper" for the paper's own budget.
        out: Folder of the runs; the page goes to `out`/NAME-SCALE.
        seeds: Of each model; the figure's own if None.
        workers: Processes that train at once; as many as there are cores or GPUs if None.
        train: Whether to train and score what is missing; else the page has what is there.
        bars: Opens progress bars for that many runs.

    Returns:
        The page, and what it lacks.

    Raises:
        ValueError: On an unknown figure or scale, or no seeds.
        KeyboardInterrupt: On Ctrl-C, after all that was trained is saved.
        OSError: If something cannot be read or written.
    """
    figure = read_figure(name)
    if scale not in figure.scales:
        raise ValueError(f"scale must be one of {', '.join(figure.scales)}, got {scale!r}")
    chosen = figure.scales[scale]
    if seeds is not None:
        if not seeds:
            raise ValueError("seeds must be at least one number, got none")
        chosen = replace(chosen, seeds=list(seeds))
    models = planned_runs(figure, chosen, out)
    drawn = {model: runs[0] for model, runs in models.items()} if figure.page == "columns" else {}

    kept = _Kept(out / "scores", figure)
    wanted = [
        run
        for runs in models.values()
        for run in runs
        if not kept.has(run) or (run in drawn.values() and not run.trained)
    ]
    outcomes = []
    if train and wanted:
        with bars(len(wanted)) as on_progress:
            outcomes = run_all(wanted, workers, on_progress=kept.watching(on_progress))
    for runs in models.values():
        for run in runs:
            kept.take(run)

    evaluations = {
        model: [kept.read(run) for run in runs if kept.has(run)] for model, runs in models.items()
    }
    pictured = {model: load_run(run.folder) for model, run in drawn.items() if run.trained}
    parts = page_parts(figure, evaluations, pictured)
    command = f"axiswise reproduce {name} --scale {scale}"
    page = _write(out / f"{name}-{scale}", figure, chosen, parts, command)
    reasons = {outcome.run.folder: outcome.reason for outcome in outcomes}
    missing = [
        (run, reasons.get(run.folder, "not trained yet"))
        for runs in models.values()
        for run in runs
        if not kept.has(run)
    ]
    return Reproduction(page, missing)


def planned_runs(figure: Figure, scale: Scale, out: Path) -> dict[str, list[PlannedRun]]:
    """The runs that a figure takes.

    Args:
        figure: The figure.
        scale: How much to spend on it.
        out: Folder of the runs.

    Returns:
        Model → a run for each seed.
    """
    shared = {"settings": scale.settings, "seeds": scale.seeds, "metrics": figure.metrics}
    return {model: plan({"recipe": name, **shared}, out) for model, name in scale.models.items()}


class _Kept:
    """Scores of runs, kept apart from their weights."""

    def __init__(self, folder: Path, figure: Figure) -> None:
        self.folder, self.figure = folder, figure

    def path(self, run: PlannedRun) -> Path:
        return self.folder / f"{run.folder.name}.json"

    def has(self, run: PlannedRun) -> bool:
        """Whether the scores are there that the figure shows."""
        try:
            scores = self.read(run)["scores"]
        except (OSError, UnreadableFileError):
            return False
        # A run without active axes has no columns to describe, and never will.
        return scores["active_axes"] == 0 or set(self.figure.scores) <= set(scores)

    def read(self, run: PlannedRun) -> dict[str, Any]:
        return read_evaluation_file(self.path(run))

    def take(self, run: PlannedRun) -> None:
        """Keep a copy of a finished run's scores."""
        if run.finished:
            found = read_evaluation_file(run.folder / "evaluation.json")
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path(run), (json.dumps(found, indent=2) + "\n").encode())

    def watching(self, on_progress: OnProgress) -> OnProgress:
        """What keeps the scores of each run as it ends, and passes the news on."""
        taken: set[Path] = set()

        def watch(progress: Progress) -> None:
            for outcome in progress.outcomes:
                if outcome.run.folder not in taken and outcome.state != "failed":
                    self.take(outcome.run)
                    taken.add(outcome.run.folder)
            on_progress(progress)

        return watch


def _write(folder: Path, figure: Figure, scale: Scale, parts: Sequence[Part], command: str) -> Path:
    """Write report.html and page.md, and the pictures beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    blocks: list[plots.Picture | plots.Table] = []
    lines = [f"# {figure.title}", f"{figure.source}. {figure.about}", f"Made by `{command}`."]
    for part in parts:
        if isinstance(part, Drawing):
            plots.save(part.picture, folder / part.file)
            blocks.append(plots.Picture((folder / part.file).read_bytes(), part.caption))
            lines.append(f"![{part.caption}]({part.file})")
        else:
            blocks.append(part)
            lines += [part.caption, _markdown(part)]
    recipes = "\n".join(
        f"{model}: axiswise train {recipe}"
        + "".join(f" --{key} {value}" for key, value in scale.settings.items())
        for model, recipe in scale.models.items()
    )
    lines += [f"```\n{recipes}\n```"]
    sections = [
        plots.Section("Figure", blocks, figure.about),
        plots.Section("Runs", [plots.Preformatted(f"{command}\n\n{recipes}")]),
    ]
    page = folder / "report.html"
    write_atomically(folder / "page.md", ("\n\n".join(lines) + "\n").encode())
    write_atomically(page, plots.report(figure.title, sections, f"{figure.source}.").encode())
    return page


def _markdown(table: plots.Table) -> str:
    rows = [["–" if cell is None else str(cell) for cell in row] for row in table.rows]
    return markdown_table([table.header, *rows])
