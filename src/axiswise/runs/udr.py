"""`axiswise compare --udr`: runs of one recipe and config scored by each other."""

from collections.abc import Sequence
from typing import Any, Literal

from axiswise import metrics
from axiswise.data.factors import load
from axiswise.runs.run import Run, load_run
from axiswise.support.progress import StartBar, late_bar, no_bars

IMAGES = 1000
# By the score's name.
SIMILARITIES: dict[str, Literal["lasso", "spearman"]] = {"udr": "lasso", "udr_spearman": "spearman"}


def add_udr(
    evaluations: Sequence[dict[str, Any]], start_bar: StartBar = no_bars, *, trust: bool = False
) -> list[dict[str, Any]]:
    """Add UDR to the scores of evaluations: each run against the others of its recipe and config.

    `udr` is by Lasso, `udr_spearman` by rank correlation, of the means of 1,000 images; see
    `axiswise.metrics.udr`. A single run gets none.

    Raises:
        FileNotFoundError: The folder of a run is not known or not there.
        UnreadableFileError: A file of a run is damaged.
        ValueError: No two runs have the same recipe and config, or a run is no VAE.
    """
    by_recipe: dict[str, list[dict[str, Any]]] = {}
    found = [{**evaluation, "scores": dict(evaluation["scores"])} for evaluation in evaluations]
    for evaluation in found:
        by_recipe.setdefault(evaluation["name"], []).append(evaluation)
    groups = [group for group in by_recipe.values() if len(group) > 1]
    if not groups:
        raise ValueError("FOLDER … must have two runs or more of one recipe and config for --udr")
    for group in groups:
        _score(group, start_bar, trust)
    return found


def _score(group: Sequence[dict[str, Any]], start_bar: StartBar, trust: bool) -> None:
    """Add the scores of runs of one recipe."""
    codes, informative = [], []
    progress = start_bar(f"codes for UDR, {group[0]['name']}")
    for done, evaluation in enumerate(group, start=1):
        run = _open(evaluation, trust)
        load(run.data, late_bar(start_bar, "data"))
        codes.append(run.codes_of_images(run.images(IMAGES)))
        informative.append(run.active)
        progress(done, len(group))
    for score, similarity in SIMILARITIES.items():
        progress = start_bar(f"{score}, {group[0]['name']}")
        ranking = metrics.udr(codes, informative, similarity, progress=progress)
        for evaluation, value in zip(group, ranking.per_model.tolist(), strict=True):
            evaluation["scores"][score] = value


def _open(evaluation: dict[str, Any], trust: bool) -> Run:
    if "folder" not in evaluation:
        raise FileNotFoundError(f"--udr needs the run folders of {evaluation['name']}, not files")
    run = load_run(evaluation["folder"], trust=trust)
    if not run.autoencodes:
        raise ValueError(f"--udr is for VAEs, and {evaluation['folder']} is none")
    return run
