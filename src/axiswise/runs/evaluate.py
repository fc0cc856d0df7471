"""`axiswise evaluate`: the scores of a run."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from axiswise.metrics import FEATURES
from axiswise.runs.code_scores import CODE_SCORES
from axiswise.runs.evaluation import write_evaluation
from axiswise.runs.run import Run
from axiswise.runs.scores import (
    Subject,
    check_features,
    known_scores,
    possible_scores,
    usual_scores,
)
from axiswise.support.progress import StartBar, no_bars
from axiswise.training.allocator import keep_freed_memory


def evaluate_run(
    run: Run,
    chosen: Sequence[str] | None = None,
    radius: Sequence[float] | None = None,
    seed: int = 0,
    start_bar: StartBar = no_bars,
    features: str | None = None,
) -> dict[str, Any]:
    """Score a run and write evaluation.json into its folder.

    Scores that the file holds already stay, if they are of the same weights by the same protocol.

    Args:
        run: The run.
        chosen: Names out of `known_scores`, or "all" for all that the run can have; the usual ones
            for its kind and data if None. What several need is encoded together.
        radius: Radii of the local scores; the recipe's if None.
        seed: Fixes what is sampled.
        start_bar: Starts a progress bar.
        features: What perceptual scores look at; the recipe's if None.

    Returns:
        What was written: the run's name, seed and step, the protocol, and the scores.

    Raises:
        ValueError: On an unknown metric, one that needs factors the data do not have, or that the
            features cannot give, or a radius or features out of range.
        ImportError: If a score needs a package that is not installed.
        OSError: If the file cannot be written.
    """
    protocol = run.protocol
    if features is not None:
        if features not in FEATURES:
            raise ValueError(f"features must be one of {', '.join(FEATURES)}, got {features!r}")
        protocol = replace(protocol, features=features)  # type: ignore[arg-type]
    if radius is not None:
        protocol = replace(protocol, radius=list(radius))
    known = known_scores(run)
    chosen = usual_scores(run, protocol.features) if chosen is None else list(chosen)
    run = replace(run, protocol=protocol, seed=seed, start_bar=start_bar)
    if "all" in chosen:
        chosen = possible_scores(Subject(run)) + chosen
        chosen = [name for name in chosen if name != "all"]
    for name in chosen:
        if name not in known:
            raise ValueError(f"metrics must be out of {_shown(known)}; got {name!r}")
    keep_freed_memory()
    subject = Subject(run, tuple(chosen))
    check_features(subject, chosen)

    of_axes = "kl_per_axis" if run.autoencodes else "activeness_per_axis"
    result: dict[str, Any] = {
        "name": run.recipe.name,
        "seed": run.recipe.seed,
        "step": run.step,
        "weights": run.model.digest,
        "protocol": {**vars(protocol), "evaluation_seed": seed},
        of_axes: _rounded(run.activity),
        "scores": {"active_axes": int(run.active.sum())},
    }
    for name in known:
        if name in chosen:
            result["scores"] = result["scores"] | known[name](subject)
            if name == "jacobian":
                result["column_length_per_axis"] = _rounded(run.diagnostics.lengths)
            # At once: minutes of scores are not lost to an error in the next.
            result = write_evaluation(run.folder, result)
    return result


def _shown(known: Iterable[str]) -> str:
    """The names of scores for people: with the local form of each there would be too many."""
    names = [name for name in known if not name.startswith("local_")] + ["all"]
    if "local" not in names:
        return ", ".join(names) + " (the true factors of these images are not known)"
    return ", ".join(names) + f"; or local_NAME, of {', '.join(CODE_SCORES)}"


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]
