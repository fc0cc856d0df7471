"""`axiswise evaluate`: the scores of a run."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from axiswise.metrics import FEATURES
from axiswise.runs.code_scores import CODE_SCORES
from axiswise.runs.run import TrainedRun, VAERun, read_evaluation
from axiswise.runs.scores import (
    StartBar,
    Subject,
    check_features,
    known_scores,
    possible_scores,
    usual_scores,
)
from axiswise.support.files import UnreadableFileError, write_atomically
from axiswise.training.allocator import keep_freed_memory


def evaluate_run(
    run: TrainedRun,
    chosen: Sequence[str] | None = None,
    radius: Sequence[float] | None = None,
    seed: int = 0,
    start_bar: StartBar = lambda _: lambda *_: None,
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
    protocol = run.config.evaluation
    if features is not None:
        if features not in FEATURES:
            raise ValueError(f"features must be one of {', '.join(FEATURES)}, got {features!r}")
        protocol = replace(protocol, features=features)  # type: ignore[arg-type]
    if radius is not None:
        protocol = replace(protocol, radius=list(radius))
    known = known_scores(run)
    chosen = usual_scores(run, protocol.features) if chosen is None else list(chosen)
    if "all" in chosen:
        chosen = possible_scores(Subject(run, protocol, seed)) + chosen
        chosen = [name for name in chosen if name != "all"]
    for name in chosen:
        if name not in known:
            raise ValueError(f"metrics must be out of {_shown(known)}; got {name!r}")
    keep_freed_memory()
    subject = Subject(run, protocol, seed, start_bar, tuple(chosen))
    check_features(subject, chosen)

    of_axes = "kl_per_axis" if isinstance(run, VAERun) else "activeness_per_axis"
    result: dict[str, Any] = {
        "name": run.config.name,
        "seed": run.config.seed,
        "step": run.step,
        "weights": run.network.digest,
        "protocol": {**vars(protocol), "evaluation_seed": seed},
        of_axes: _rounded(subject.activity),
        "scores": {"active_axes": int(subject.active.sum())},
    }
    for name in known:
        if name in chosen:
            result["scores"] = result["scores"] | known[name](subject)
            if name == "jacobian":
                result["column_length_per_axis"] = _rounded(subject.diagnostics.lengths)
            # At once: minutes of scores are not lost to an error in the next.
            result = _with_earlier(run, result)
            write_atomically(run.folder.evaluation, (json.dumps(result, indent=2) + "\n").encode())
    return result


def _shown(known: Iterable[str]) -> str:
    """The names of scores for people: with the local form of each there would be too many."""
    names = [name for name in known if not name.startswith("local_")] + ["all"]
    if "local" not in names:
        return ", ".join(names) + " (the true factors of these images are not known)"
    return ", ".join(names) + f"; or local_NAME, of {', '.join(CODE_SCORES)}"


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]


def _with_earlier(run: TrainedRun, result: dict[str, Any]) -> dict[str, Any]:
    """A new evaluation, and what an earlier one has beyond it, unless that is of another kind."""
    try:
        earlier = read_evaluation(run.folder)
    except UnreadableFileError:  # about to be replaced by one that is whole
        return result

    def kind(evaluation: dict[str, Any]) -> list[Any]:
        # Features stand in the names of the scores that look at them.
        # What an earlier version had no choice of, it did not use.
        protocol = {**result["protocol"], **evaluation.get("protocol", {})}
        protocol |= {"radius": None, "features": None}
        return [*(evaluation.get(key) for key in ("name", "seed", "step", "weights")), protocol]

    if earlier is None or kind(earlier) != kind(result):
        return result
    scores = earlier["scores"] | result["scores"]
    for name, rows in scores.items():
        if isinstance(rows, dict):
            both = earlier["scores"].get(name, {}) | rows
            scores[name] = {value: both[value] for value in sorted(both, key=float)}
    radius = {*earlier["protocol"]["radius"], *result["protocol"]["radius"]}
    return {
        **earlier,
        **result,
        "protocol": {**result["protocol"], "radius": sorted(radius)},
        "scores": scores,
    }
