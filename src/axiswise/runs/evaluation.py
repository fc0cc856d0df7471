"""evaluation.json: what `axiswise evaluate` writes, and how others read it."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axiswise.runs.folder import RunFolder
from axiswise.support.files import (
    UnreadableFileError,
    remove_unfinished,
    replace_wrong,
    write_atomically,
)
from axiswise.support.locks import owning
from axiswise.support.notes import note
from axiswise.support.reading import read_json


def read_evaluation(folder: RunFolder) -> dict[str, Any] | None:
    """The evaluation of a run; None if it was not evaluated."""
    return read_evaluation_file(folder.evaluation) if folder.evaluation.is_file() else None


def read_evaluation_file(path: Path) -> dict[str, Any]:
    """Read an evaluation.json, or raise an UnreadableFileError."""
    try:
        found = read_json(path, finite=False)
        if _is_evaluation(found):
            return found  # type: ignore[no-any-return]
    except UnreadableFileError as error:
        reason = str(error).removeprefix(f"{path} ")
        raise UnreadableFileError(f"{path} is damaged: it {reason}") from error
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise UnreadableFileError(f"{path} is damaged or was not written by `axiswise evaluate`")


# What stands in an evaluation beside its scores, where it does.
_KINDS: dict[str, type] = {
    **dict.fromkeys(
        ("name", "weights", "recipe", "directions", "method", "generator", "folder"), str
    ),
    "seed": int,
    "step": int,
    "protocol": dict,
}


def _is_evaluation(found: Any) -> bool:
    """Whether a tree is one, as far as is read of it."""
    known = all(isinstance(found[name], kind) for name, kind in _KINDS.items() if name in found)
    axes = [values for name, values in found.items() if name.endswith("_per_axis")]
    numbers = [*itertools.chain.from_iterable(axes), *found.get("protocol", {}).get("radius", [])]
    scores = found["scores"]
    return (
        known
        and bool(found["name"])
        and all(isinstance(values, list) for values in axes)
        and all(isinstance(value, int | float) for value in numbers)
        and all(isinstance(row, dict) == key.startswith("local_") for key, row in scores.items())
        and all(map(_is_score, scores.values()))
    )


def write_evaluation(path: Path, evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Write an evaluation, joined with the file's if that is of the same weights and protocol.

    Otherwise what stood there is kept as NAME.wrong, and a line on standard error says so.

    Returns:
        What was written.

    Raises:
        OSError: It cannot be written; what stood there stays.
    """
    whole, why = dict(evaluation), ""
    with owning(path.parent, path.name, wait=True):
        remove_unfinished(path)
        if path.exists():
            try:
                earlier = read_evaluation_file(path)
                if _identity(earlier, whole) == _identity(whole, whole):
                    whole = _joined(earlier, whole)
                else:
                    why = "its scores are of other weights, or by another protocol or seed"
            except UnreadableFileError:
                why = "it is damaged"
        content = (json.dumps(whole, indent=2) + "\n").encode()
        if why:
            old = replace_wrong(path, content)
            note(f"{path} is written anew, since {why}; the old one is {old}")
        else:
            write_atomically(path, content)
    return whole


def stale(folder: RunFolder, evaluation: Mapping[str, Any]) -> str:
    """Why an evaluation in a run's folder is not of what is there now; "" if it is.

    An evaluation that does not say what it is of counts as of what is there, as does one whose
    weights have gone.

    Raises:
        UnreadableFileError: The weights are damaged.
    """
    recipe = folder.recipe_digest()
    if recipe and evaluation.get("recipe", recipe) != recipe:
        return f"{folder.config} was changed since"
    if "weights" in evaluation and folder.model_digest() not in (None, evaluation["weights"]):
        return f"the model was replaced or trained further since step {evaluation.get('step')}"
    return ""


def stale_words(folder: RunFolder, why: str) -> str:
    """What to say of scores that are `stale`."""
    return (
        f"the scores in {folder.evaluation} are stale, {why}: run `axiswise evaluate {folder.path}`"
    )


def flat_scores(scores: Mapping[str, Any]) -> dict[str, float]:
    """Scores of an evaluation, each a number; local ones by radius, as "local_mig 0.1"."""
    flat: dict[str, float] = {}
    for name, value in scores.items():
        if isinstance(value, dict):
            flat |= {f"{name} {radius}": row["mean"] for radius, row in value.items()}
        else:
            flat[name] = value
    return flat


def _identity(evaluation: Mapping[str, Any], newest: Mapping[str, Any]) -> list[Any]:
    """What is equal in two evaluations whose scores may be in one file."""
    # An earlier version had no choice of what it does not list: it used the default.
    protocol = {**newest["protocol"], **evaluation.get("protocol", {})}
    # Local scores are listed by radius, and the names of perceptual ones end in their features.
    protocol |= {"radius": None, "features": None}
    keys = ("name", "seed", "step", "weights", "method", "generator", "directions")
    recipe = evaluation.get("recipe", newest.get("recipe"))
    return [*(evaluation.get(key) for key in keys), recipe, protocol]


def _joined(earlier: dict[str, Any], newest: dict[str, Any]) -> dict[str, Any]:
    """The newest evaluation with the scores of an earlier one; local ones by radius."""
    scores = earlier["scores"] | newest["scores"]
    for name, rows in scores.items():
        if isinstance(rows, dict):
            both = earlier["scores"].get(name, {}) | rows
            scores[name] = {value: both[value] for value in sorted(both, key=float)}
    protocol = dict(newest["protocol"])
    if "radius" in protocol:
        radius = {*earlier.get("protocol", {}).get("radius", []), *protocol["radius"]}
        protocol["radius"] = sorted(radius)
    return {**earlier, **newest, "protocol": protocol, "scores": scores}


def _is_score(value: Any) -> bool:
    """Whether a value is a number, or rows of mean and standard deviation by radius."""
    if not isinstance(value, dict):
        return isinstance(value, int | float)
    numbers = [row[key] for row in value.values() for key in ("mean", "std")]
    return all(float(radius) > 0 for radius in value) and all(map(_is_score, numbers))
