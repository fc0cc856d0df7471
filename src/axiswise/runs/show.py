"""`axiswise show`: the pictures of a run, and one page with all of them."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from axiswise import plots
from axiswise.data.factors import load
from axiswise.jacobian import jacobian_columns
from axiswise.metrics import JACOBIAN_SAMPLES
from axiswise.runs.evaluation import read_evaluation, stale, stale_words
from axiswise.runs.folder import alone_showing
from axiswise.runs.run import Run
from axiswise.support.files import write_atomically
from axiswise.support.notes import note
from axiswise.support.progress import StartBar, late_bar, no_bars
from axiswise.support.reading import read_bytes, read_text

_IMAGES = 4  # rows in the pictures of Jacobian columns
_SAMPLES = 32  # images in the sheet of what a generator makes
_STEPS = 21  # of traversals; a picture has every other one


def show_run(run: Run, seed: int = 0, start_bar: StartBar = no_bars) -> Path:
    """Draw a run's pictures into its folder, and write report.html beside them.

    Args:
        run: The run.
        seed: Seed of the images.
        start_bar: Starts a progress bar.

    Returns:
        Path of the report.

    Raises:
        UnreadableFileError: The scores or metrics in the folder are damaged.
        BusyError: Another process draws them.
        OSError: A picture cannot be written.
    """
    with alone_showing(run.folder.report, run.folder.pictures):
        return _show(run, seed, start_bar)


def _show(run: Run, seed: int, start_bar: StartBar) -> Path:
    scores = read_evaluation(run.folder)
    why = "" if scores is None else stale(run.folder, scores)
    if why:
        scores = None
        note(stale_words(run.folder, why))
    load(run.data, late_bar(start_bar, "data"))
    on_picture = start_bar("pictures")
    drawings = _drawings(replace(run, seed=seed, start_bar=start_bar), scores)
    pictures = []
    for done, (name, (draw, caption)) in enumerate(drawings.items(), start=1):
        path = run.folder.pictures / name
        draw(path)
        # The page plays the MP4; the GIF, ten times as large, is for slides and issues.
        if path.suffix != ".gif":
            pictures.append(plots.Picture(read_bytes(path), caption))
        on_picture(done, len(drawings))

    sections = [plots.Section("What the axes do", pictures)]
    names = re.compile(r"step-\d+\.png")
    if samples := sorted(p for p in run.folder.samples.glob("*") if names.fullmatch(p.name)):
        course = [
            plots.Picture(read_bytes(path), f"After {int(path.stem[5:])} steps.")
            for path in samples
        ]
        what = "traversals of one image" if run.autoencodes else "images of the same latents"
        sections.append(plots.Section(f"In the course of training: {what}", course))
    if scores is not None:
        sections.insert(0, plots.Section("Scores", [_score_table(scores)]))
    if why:
        sections.insert(0, plots.Section("Scores", [], f"None: {stale_words(run.folder, why)}."))
    sections.append(plots.Section("Config", [plots.Preformatted(read_text(run.folder.config))]))
    page = plots.report(
        f"{run.recipe.name}, seed {run.recipe.seed}",
        sections,
        f"{run.recipe.description}. {run.step} of {run.recipe.steps} steps.",
    )
    write_atomically(run.folder.report, page.encode())
    return run.folder.report


def local_curves(scores: dict[str, Any]) -> dict[str, tuple[list[float], list[float], list[float]]]:
    """Local scores of an evaluation → radii, means and standard deviations over centres."""
    return {
        name: (
            [float(radius) for radius in rows],
            [row["mean"] for row in rows.values()],
            [row["std"] for row in rows.values()],
        )
        for name, rows in scores.items()
        if name.startswith("local_")
    }


# What draws a picture, and its caption.
Drawing = tuple[Callable[[Path], object], str]


def _drawings(run: Run, scores: dict[str, Any] | None) -> dict[str, Drawing]:
    """What a run's pictures are, by file name."""
    drawings = pictures_of_axes(run)
    if run.autoencodes:
        drawings["reconstructions.png"] = (
            _figure(lambda: _reconstructions(run)),
            "Images and what the decoder makes of their codes.",
        )
    else:
        drawings["activeness.png"] = (
            _figure(lambda: plots.activeness({run.recipe.name: run.activity})),
            "How much each axis changes the image: its variance over −2, 0 and 2.",
        )
        drawings["samples.png"] = (
            _figure(lambda: _samples(run)),
            "Images of the data, and images that the generator makes.",
        )
    history = run.folder.read_metrics()
    if history and len(history["step"]) > 1:
        drawings["losses.png"] = (
            _figure(lambda: plots.loss_curves(history)),
            f"Training, from metrics.csv, up to step {history['step'][-1]:.0f}.",
        )
    if scores is not None and (curves := local_curves(scores["scores"])):
        drawings["local_scores.png"] = (
            _figure(lambda: plots.scores_against_radius({run.recipe.name: curves})),
            "Local scores against radius, mean and standard deviation over centres.",
        )
    return drawings


def pictures_of_axes(run: Run) -> dict[str, Drawing]:
    """Pictures of what the axes do, by file name."""
    activity, order = run.activity, _order(run)
    z = run.latents(_IMAGES)
    images = run.generate(z).cpu()
    columns = columns_of(run, z)
    values, frames = traversals_of(run, z)
    own = z.cpu()
    film = "The same, all axes at once, with the images' own values marked."

    def video(path: Path) -> None:
        plots.traversal_video(frames[:2], path, activity, values=values, own=own[:2], **order)

    return {
        "columns.png": (
            _figure(lambda: plots.jacobian_columns(columns, images, activity, **order)),
            "Columns of the generator's Jacobian: what a small step along each axis adds (red) to "
            "and takes (blue) from each image. The most active axes come first.",
        ),
        "traversals.png": (
            _figure(lambda: _drawn(run, values, frames, own)),
            f"One axis goes {_course(run)}, all others stay as they are. Marks: the values that "
            "each image itself has.",
        ),
        "traversals.gif": (video, film),
        "traversals.mp4": (video, film),
        "cosines.png": (
            _figure(lambda: plots.column_cosines(run.diagnostics.cosines, activity, **order)),
            f"Mean |cos| between columns over {JACOBIAN_SAMPLES} latents: 0 for axes that change "
            "different pixels.",
        ),
    }


def picture_of_traversals(run: Run, images: int) -> Any:
    """Traversals of a few images."""
    z = run.latents(images)
    return _drawn(run, *traversals_of(run, z), z.cpu())


def _drawn(run: Run, values: Tensor, frames: Tensor, own: Tensor) -> Any:
    """The picture of some traversals, with every other step."""
    order = _order(run)
    return plots.traversals(frames[:, :, ::2], run.activity, values[:, ::2], own=own, **order)


def _order(run: Run) -> dict[str, Any]:
    """What orders axes in pictures, beside their activity."""
    return {"activity_name": run.activity_name, "active_above": run.threshold}


def _figure(make: Callable[[], Any]) -> Callable[[Path], object]:
    """What draws and saves a figure."""
    return lambda path: plots.save(make(), path)


@torch.no_grad()
def columns_of(run: Run, z: Tensor) -> Tensor:
    """Columns of a run's Jacobian at some latents, (z, latent, *image), on the CPU."""
    columns = jacobian_columns(run.generator, z)
    assert isinstance(columns, Tensor)
    return columns.cpu()


def _reconstructions(run: Run) -> Any:
    images = run.images(_IMAGES)
    decoded = run.generate(run.latents(_IMAGES))  # the codes of these images
    return plots.reconstructions(images.cpu(), decoded.cpu())


def _samples(run: Run) -> Any:
    generated = run.generate(run.latents(_SAMPLES))
    data = run.images(_SAMPLES)
    return plots.samples({"data": data.cpu(), "generated": generated.cpu()})


def _course(run: Run) -> str:
    """Where a traversal goes, in words."""
    if run.code_statistics is None:
        return "from −2 to 2"
    return "over the values of the codes of its data (their mean, two deviations to either side)"


def traversals_of(run: Run, z: Tensor) -> tuple[Tensor, Tensor]:
    """Values (latent, step), and frames (image, latent, step, *image), both on the CPU."""
    low, high = run.ranges(z)
    share = torch.linspace(0, 1, _STEPS, device=z.device)
    values = low[:, None] + (high - low)[:, None] * share
    latents = z[:, None, None].repeat(1, z.shape[1], _STEPS, 1)
    for axis in range(z.shape[1]):
        latents[:, axis, :, axis] = values[axis]
    parts = latents.flatten(0, 2).split(500)
    frames = torch.cat([run.generate(part).cpu() for part in parts])
    return values.cpu(), frames.reshape(*latents.shape[:3], *frames.shape[1:])


def _score_table(evaluation: dict[str, Any]) -> plots.Table:
    header, *rows = score_rows(evaluation["scores"])
    step = evaluation.get("step", "?")
    return plots.Table(
        header, rows, f"After {step} steps. Local scores: mean ± standard deviation over centres."
    )


def score_rows(scores: dict[str, Any]) -> list[list[str]]:
    """Scores of an evaluation as a table of text, a header first: score, radius and value."""
    rows = [["score", "radius", "value"]]
    for name, value in scores.items():
        if isinstance(value, dict):
            rows += [
                [name, radius, f"{row['mean']:.4f} ± {row['std']:.4f}"]
                for radius, row in value.items()
            ]
        else:
            rows.append([name, "", f"{value:.4g}"])
    return rows
