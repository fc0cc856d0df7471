"""`axiswise evaluate` on directions: what they do to the image, beside what coordinates do."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from axiswise import metrics
from axiswise.directions import Directions
from axiswise.directions.generators import (
    ImageGenerator,
    SamplesLatents,
    SearchSpace,
    draw,
    in_unit_range,
)
from axiswise.metrics.jacobian_diagnostics import describe_columns
from axiswise.runs.discover import open_directions
from axiswise.runs.scores import Scores
from axiswise.support.files import UnreadableFileError, write_atomically
from axiswise.support.progress import StartBar

EVALUATION = "evaluation.json"
_OF_COORDINATES = "_coordinates"
_LATENTS = 100  # at which the Jacobian is taken
_CHUNK = 64  # latents times directions in flight, where the search had no bound
_MEASURED = 1000  # latents of which mean and spread are taken


def evaluate_directions(
    folder: str | Path,
    generator: str | None = None,
    chosen: Sequence[str] | None = None,
    seed: int = 0,
    start_bar: StartBar = lambda _: lambda *_: None,
) -> dict[str, Any]:
    """Score directions and write evaluation.json into their folder.

    Args:
        folder: What `axiswise discover` wrote.
        generator: What the generator is called; what the folder says if None.
        chosen: Names out of "jacobian" and "vp"; both if None.
        seed: Fixes what is sampled.
        start_bar: Starts a progress bar.

    Returns:
        What was written: name, method, generator, protocol and scores; a score that ends in
        "_coordinates" is that of as many coordinates of the searched latents, those that do most.

    Raises:
        ValueError: On an unknown score, or as `open_directions`.
        OSError: If something cannot be read or written.
        ImportError: As `open_directions`.
        TypeError: As `open_directions`.
    """
    for name in chosen or ():
        if name not in _SCORES:
            raise ValueError(f"metrics must be out of {', '.join(_SCORES)}; got {name!r}")
    found, loaded, source = open_directions(folder, generator)
    result: dict[str, Any] = {
        "name": Path(folder).resolve().name,
        "method": found.method,
        "generator": source,
        "protocol": {"latents": _LATENTS, "vp": "dsprites", "evaluation_seed": seed},
        "scores": {"directions": len(found)},
    }
    space = _space(found, loaded, folder)
    for name, score in _SCORES.items():
        if chosen is None or name in chosen:
            rng = torch.Generator().manual_seed(seed)
            result["scores"] |= score(found, space, rng, start_bar)
            # At once: minutes of scores are not lost to an error in the next.
            content = json.dumps(result, indent=2) + "\n"
            write_atomically(Path(folder) / EVALUATION, content.encode())
    return result


def score_table(scores: Scores) -> list[list[str]]:
    """Scores as a table of text, a header first.

    Args:
        scores: Those of an evaluation of directions.

    Returns:
        Rows of score, value, and the value of coordinates where there is one.
    """
    rows = [["score", "directions", "coordinates"]]
    for name, value in scores.items():
        if not name.endswith(_OF_COORDINATES):
            other = scores.get(name + _OF_COORDINATES)
            rows.append([name, f"{value:.4g}", "" if other is None else f"{other:.4g}"])
    return rows


def jacobian(
    found: Directions, space: SearchSpace, rng: torch.Generator, start_bar: StartBar
) -> Scores:
    """How orthogonal and sparse the effects of directions are, and how large; and of coordinates.

    Args:
        found: The directions.
        space: The latents that were searched.
        rng: Source of randomness.
        start_bar: Starts a progress bar.

    Returns:
        Scores by name.
    """
    update = start_bar("Jacobian")
    matrix = found.matrix[:, space.subspace].double().to(space.device)
    grams, lengths, moved = [], [], []
    outputs = done = 0
    for point in space.points(_LATENTS, space.size, rng):
        columns = point.jacobian()
        outputs = columns.shape[2]
        wide = columns.double()
        grams.append((wide @ wide.transpose(1, 2)).cpu())
        lengths.append(wide.abs().sum(2).cpu())
        moved.append((matrix @ wide).abs().sum(2).cpu())
        done += len(point)
        update(done, _LATENTS)
    gram, rows = torch.cat(grams), matrix.cpu()
    most = gram.diagonal(dim1=1, dim2=2).sqrt().mean(0).argsort(descending=True)[: len(found)]
    before = describe_columns(gram[:, most][:, :, most], torch.cat(lengths)[:, most], outputs)
    after = describe_columns(rows @ gram @ rows.T, torch.cat(moved), outputs)
    scores: Scores = {}
    for name in ("off_diagonal_share", "mean_cosine", "sparsity"):
        scores |= {name + _OF_COORDINATES: getattr(before, name), name: getattr(after, name)}
    scores["importance"] = float(after.lengths.mean())
    scores["importance_max"] = float(after.lengths.max())
    return {name: value for name, value in scores.items() if math.isfinite(value)}


def vp(found: Directions, space: SearchSpace, rng: torch.Generator, start_bar: StartBar) -> Scores:
    """Variation Predictability of directions: can a classifier tell which one was moved along?

    Latents are the mean ones, moved along all directions at once by amounts uniform between −2 and
    2, in standard deviations of the latents: each w from −2 to 2 in w ↦ G(wA) where they are
    standard normal. All images share one conditioning. There are no parts of the latents that the
    directions do not reach, so that nothing else tells images apart.

    Args:
        found: The directions.
        space: The latents that were searched.
        rng: Source of randomness.
        start_bar: Starts a progress bar.

    Returns:
        Scores by name; none of a single direction, which would always be guessed.
    """
    if len(found) < 2:
        return {}
    generator = space.generator
    z, conditioning = draw(generator, space.latent_dim, _MEASURED, rng)
    matrix = found.matrix.to(z)
    mean, spread = z.new_zeros(1, space.latent_dim), z.new_ones(len(found))
    if isinstance(generator, SamplesLatents):
        mean, spread = z.mean(0, keepdim=True), (z @ matrix.T).std(0)

    def generate(w: Tensor) -> Tensor:
        one = {
            name: value[:1].expand(len(w), *value.shape[1:]) for name, value in conditioning.items()
        }
        return in_unit_range(generator, generator(mean + (w.to(z) * spread) @ matrix, **one))

    images, labels = metrics.vp_pairs(
        generate,
        len(found),
        rng=rng,
        batch_size=max(1, (space.chunk_size or _CHUNK) // 2),
        progress=start_bar("pairs of images"),
    )
    score = metrics.vp_score(
        images, labels, rng=rng, progress=start_bar("Variation Predictability")
    )
    return {"vp": score.mean, "vp_std": score.std}


Score = Callable[[Directions, SearchSpace, torch.Generator, StartBar], Scores]
_SCORES: dict[str, Score] = {"jacobian": jacobian, "vp": vp}


def _space(found: Directions, generator: ImageGenerator, folder: str | Path) -> SearchSpace:
    """What was searched, in the way it was."""
    settings = found.settings
    start, stop = searched(found, folder)
    return SearchSpace(
        generator,
        found.latent_dim,
        slice(start, stop),
        derivative="finite" if settings.get("derivative") == "finite" else "forward",
        epsilon=settings.get("epsilon") or SearchSpace.epsilon,
        chunk_size=settings.get("chunk_size") or _CHUNK,
    )


def searched(found: Directions, folder: str | Path) -> tuple[int, int]:
    """The latents that directions were searched in.

    Args:
        found: The directions.
        folder: Where they were read from.

    Returns:
        The first, and the one after the last.

    Raises:
        UnreadableFileError: If their settings say something impossible.
    """
    ends = found.settings.get("subspace") or [0, found.latent_dim]
    try:
        start, stop = map(int, ends)
    except (TypeError, ValueError):
        start, stop = 0, 0
    if not 0 <= start < stop <= found.latent_dim:
        raise UnreadableFileError(f"the settings in {folder} have an impossible subspace, {ends}")
    return start, stop
