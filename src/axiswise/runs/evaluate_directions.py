"""Scores of directions, and of coordinates for comparison."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from axiswise import metrics
from axiswise.directions import Directions
from axiswise.directions.space import SearchSpace
from axiswise.generators import ImageGenerator, SamplesLatents, draw, in_unit_range
from axiswise.jacobian import gram
from axiswise.metrics.jacobian_diagnostics import describe_columns
from axiswise.runs.directions_folder import DirectionsFolder, open_directions, searched
from axiswise.runs.evaluation import write_evaluation
from axiswise.runs.generator import weights_of
from axiswise.support.progress import StartBar, no_bars

_OF_COORDINATES = "_coordinates"
_LATENTS = 100  # at which the Jacobian is taken
_CHUNK = 64  # latents times directions at once, where the search had no bound
_MEASURED = 1000  # latents whose mean and standard deviation are taken


def evaluate_directions(
    folder: str | Path,
    generator: str | None = None,
    chosen: Sequence[str] | None = None,
    seed: int = 0,
    start_bar: StartBar = no_bars,
    *,
    trust: bool = False,
) -> dict[str, Any]:
    """Score directions and write evaluation.json into their folder, as `evaluate_run` does.

    Args:
        folder: What `axiswise discover` wrote.
        generator: Name of the generator; the one that the folder has if None.
        chosen: Names out of "jacobian" and "vp"; both if None.
        seed: Fixes what is sampled.
        start_bar: Starts a progress bar.
        trust: Whether code that the folder names may be run.

    Returns:
        What was written: name, method, generator, protocol and scores; a score that ends in
        "_coordinates" is that of as many coordinates of the searched latents, those that do most.

    Raises:
        ValueError: On an unknown score.
        OSError: If something cannot be read or written.

    It raises what `open_directions` raises, too.
    """
    for name in chosen or ():
        if name not in _SCORES:
            raise ValueError(f"metrics must be out of {', '.join(_SCORES)}; got {name!r}")
    found, loaded, source = open_directions(folder, generator, trust=trust)
    result: dict[str, Any] = {
        "name": Path(folder).resolve().name,
        "method": found.method,
        "generator": source,
        **({} if (weights := weights_of(loaded)) is None else {"weights": weights}),
        "directions": found.digest,
        "protocol": {"latents": _LATENTS, "vp": "dsprites", "evaluation_seed": seed},
        "scores": {"directions": len(found)},
    }
    space = _space(found, loaded, folder)
    for name, score in _SCORES.items():
        if chosen is None or name in chosen:
            rng = torch.Generator().manual_seed(seed)
            result["scores"] = {**result["scores"], **score(found, space, rng, start_bar)}
            # At once: an error in the next score must not lose those of minutes.
            result = write_evaluation(DirectionsFolder(folder).evaluation, result)
    return result


def score_table(scores: Mapping[str, float]) -> list[list[str]]:
    """Rows of score, its value, and that of coordinates where there is one; a header first."""
    rows = [["score", "directions", "coordinates"]]
    for name, value in scores.items():
        if not name.endswith(_OF_COORDINATES):
            other = scores.get(name + _OF_COORDINATES)
            rows.append([name, f"{value:.4g}", "" if other is None else f"{other:.4g}"])
    return rows


def jacobian(
    found: Directions, space: SearchSpace, rng: torch.Generator, start_bar: StartBar
) -> dict[str, float]:
    """How orthogonal, sparse and large the effects of directions are, and those of coordinates."""
    update = start_bar("Jacobian")
    matrix = found.matrix[:, space.subspace].double().to(space.device)
    grams, lengths, along = [], [], []
    outputs = done = 0
    for batch in space.batches(_LATENTS, space.size, rng):
        columns = batch.columns()
        outputs = columns.shape[2]
        wide = columns.double()
        grams.append(gram(wide).cpu())
        lengths.append(wide.abs().sum(2).cpu())
        along.append((matrix @ wide).abs().sum(2).cpu())
        done += len(batch)
        update(done, _LATENTS)
    products, rows = torch.cat(grams), matrix.cpu()
    most = products.diagonal(dim1=1, dim2=2).sqrt().mean(0).argsort(descending=True)[: len(found)]
    before = describe_columns(products[:, most][:, :, most], torch.cat(lengths)[:, most], outputs)
    after = describe_columns(rows @ products @ rows.T, torch.cat(along), outputs)
    scores: dict[str, float] = {}
    for name in ("off_diagonal_share", "mean_cosine", "sparsity"):
        scores |= {name + _OF_COORDINATES: getattr(before, name), name: getattr(after, name)}
    scores["importance"] = float(after.lengths.mean())
    scores["importance_max"] = float(after.lengths.max())
    return {name: value for name, value in scores.items() if math.isfinite(value)}


def vp(
    found: Directions, space: SearchSpace, rng: torch.Generator, start_bar: StartBar
) -> dict[str, float]:
    """Variation Predictability of directions: how often a classifier names the one that changed.

    The latents are their mean, changed along all directions at once by amounts uniform between −2
    and 2, in standard deviations of the latents: w from −2 to 2 in w ↦ G(wA) where they are
    standard normal. All images share one conditioning. Nothing else varies, so that nothing else
    distinguishes images. There is no score of a single direction, which would always be guessed.
    """
    if len(found) < 2:
        return {}
    generator = space.generator
    z, conditioning = draw(generator, space.latent_dim, _MEASURED, rng)
    matrix = found.matrix.to(z)
    mean, scale = z.new_zeros(1, space.latent_dim), z.new_ones(len(found))
    if isinstance(generator, SamplesLatents):
        mean, scale = z.mean(0, keepdim=True), (z @ matrix.T).std(0)

    def generate(w: Tensor) -> Tensor:
        one = {
            name: value[:1].expand(len(w), *value.shape[1:]) for name, value in conditioning.items()
        }
        return in_unit_range(generator, generator(mean + (w.to(z) * scale) @ matrix, **one))

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


Score = Callable[[Directions, SearchSpace, torch.Generator, StartBar], dict[str, float]]
_SCORES: dict[str, Score] = {"jacobian": jacobian, "vp": vp}


def _space(found: Directions, generator: ImageGenerator, folder: str | Path) -> SearchSpace:
    """The search space, differentiated as in the search."""
    settings = found.settings
    return SearchSpace(
        generator,
        found.latent_dim,
        searched(found, folder),
        derivative="finite" if settings.get("derivative") == "finite" else "forward",
        epsilon=settings.get("epsilon"),
        chunk_size=settings.get("chunk_size") or _CHUNK,
    )
