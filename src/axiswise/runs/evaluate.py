"""`axiswise evaluate`: the scores of a run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from axiswise import metrics
from axiswise.data.factors import load
from axiswise.metrics import FEATURES, Features
from axiswise.runs.evaluation import write_evaluation
from axiswise.runs.run import Run
from axiswise.runs.scores import Scoring, check_radius, choose
from axiswise.support.progress import StartBar, late_bar, no_bars
from axiswise.training.allocator import keep_freed_memory


def evaluate_run(
    run: Run,
    names: Sequence[str] | None = None,
    radius: Sequence[float] | None = None,
    seed: int = 0,
    start_bar: StartBar = no_bars,
    features: str | None = None,
    held: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Score a run and write evaluation.json into its folder.

    Scores that are in the file already stay, if they are of the same weights by the same protocol;
    the file is kept as evaluation.json.wrong if not.

    Args:
        run: The run.
        names: Metrics, as `choose` takes them; the usual ones of such a run if None.
        radius: Radii of the local scores; the recipe's if None.
        seed: Seed of the samples.
        start_bar: Starts a progress bar.
        features: Features of perceptual scores, or a file of their weights, as
            `axiswise.metrics.features` takes it; the recipe's if None.
        held: Names of factors that local scores leave at each centre; the recipe's if None.

    Returns:
        What was written: the run's name, seed and step, the protocol, and the scores.

    Raises:
        ValueError: A metric is unknown or the run cannot have it, or radius or features are not
            allowed.
        ImportError: A metric cannot be imported, or needs a package that is not installed.
        TypeError: An import path names no metric.
        OSError: The file cannot be written.
    """
    protocol = run.protocol
    if features is not None:
        own = None if features in FEATURES else _of_file(features, run.device)
        run = replace(run, own_features=own)
        name = features if own is None else own.name
        protocol = replace(protocol, features=name)  # type: ignore[arg-type]
    if radius is not None:
        protocol = replace(protocol, radius=list(radius))
    if held is not None:
        protocol = replace(protocol, held=list(held))
        protocol.check(run.latent_dim, run.data)
    run = replace(run, protocol=protocol, seed=seed, start_bar=start_bar)
    # The usual scores leave out local ones where the recipe's have no use.
    if radius is not None or held is not None:
        check_radius(run)
    chosen = choose(run, names)
    load(run.data, late_bar(start_bar, "data"))
    keep_freed_memory()
    result: dict[str, Any] = {
        "name": run.recipe.name,
        "seed": run.recipe.seed,
        "step": run.step,
        "weights": run.model.digest,
        "recipe": run.folder.recipe_digest(),
        "protocol": {**vars(protocol), "evaluation_seed": seed},
        f"{run.activity_name.lower()}_per_axis": _rounded(run.activity),
        "scores": {"active_axes": int(run.active.sum())},
    }
    scoring = Scoring(run, chosen)
    for one in chosen:
        for name, value in scoring.take(one).items():
            if isinstance(value, Tensor):
                result[name] = _rounded(value)
            else:
                result["scores"] = {**result["scores"], name: value}
        # At once: minutes of scores are not lost to an error in the next.
        result = write_evaluation(run.folder.evaluation, result)
    return result


def _of_file(path: str, device: torch.device) -> Features:
    if not Path(path).is_file():
        raise ValueError(
            f"features must be one of {', '.join(FEATURES)}, or a file of weights; got {path!r}"
        )
    return metrics.features(path, device)


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]
