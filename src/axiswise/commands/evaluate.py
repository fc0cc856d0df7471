"""`axiswise evaluate`: the scores of a run."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from axiswise import metrics
from axiswise.commands.loading import TrainedRun, read_evaluation
from axiswise.data import FactorData
from axiswise.files import UnreadableFileError, write_atomically
from axiswise.jacobian import jacobian_columns
from axiswise.objectives import kl_divergence, negative_log_likelihood
from axiswise.penalties import ima_contrast, jl1_penalty
from axiswise.training.vae import ACTIVE, decoder_logits

# Scores that need the true factors, then those that any images allow.
FACTOR_METRICS = ("local", "mig", "modularity", "explicitness")
IMAGE_METRICS = ("reconstruction", "jacobian")
# Encoded at once. On a CPU, more fall out of its cache and take twice as long.
_BATCH = {"cpu": 64, "cuda": 4096}
_JACOBIAN_SAMPLES = 200

StartBar = Callable[[str], Callable[[int, int], None]]


def evaluate_run(
    run: TrainedRun,
    chosen: Sequence[str] | None = None,
    radius: Sequence[float] | None = None,
    seed: int = 0,
    start_bar: StartBar = lambda _: lambda *_: None,
) -> dict[str, Any]:
    """Score a run and write evaluation.json into its folder.

    Scores that the file holds already stay, if they are of the same weights by the same protocol.

    Args:
        run: The run.
        chosen: Names out of `FACTOR_METRICS` and `IMAGE_METRICS`; all that the data allow if None.
        radius: Radii of the local scores; the recipe's if None.
        seed: Fixes what is sampled.
        start_bar: Starts a progress bar.

    Returns:
        What was written: the run's name, seed and step, the protocol, and the scores.

    Raises:
        ValueError: On an unknown metric, or one that needs factors the data do not have.
        OSError: If the file cannot be written.
    """
    has_factors = isinstance(run.config.data, FactorData)
    known = (*FACTOR_METRICS, *IMAGE_METRICS) if has_factors else IMAGE_METRICS
    chosen = known if chosen is None else chosen
    for name in chosen:
        if name not in known:
            why = "" if has_factors else " (the true factors of these images are not known)"
            raise ValueError(f"metrics must be out of {', '.join(known)}{why}; got {name!r}")

    protocol = run.config.evaluation
    radius = protocol.radius if radius is None else radius
    activity = axis_activity(run, seed)
    active = activity > ACTIVE
    scores: dict[str, Any] = {"active_axes": int(active.sum())}
    if "local" in chosen:
        scores |= _local_scores(run, radius, active, seed, start_bar)
    if {"mig", "modularity", "explicitness"} & set(chosen):
        scores |= _global_scores(run, [name for name in chosen if name != "local"], active, seed)
    if "reconstruction" in chosen:
        scores |= _reconstruction_scores(run, seed)
    if "jacobian" in chosen:
        scores |= _jacobian_scores(run, active, seed)

    result = {
        "name": run.config.name,
        "seed": run.config.seed,
        "step": run.step,
        "protocol": {
            "radius": list(radius),
            "centres": protocol.centres,
            "samples": protocol.samples,
            "bins": protocol.bins,
            "evaluation_seed": seed,
        },
        "kl_per_axis": [round(value, 4) for value in activity.tolist()],
        "scores": scores,
    }
    result = _with_earlier(run, result)
    write_atomically(run.folder.evaluation, (json.dumps(result, indent=2) + "\n").encode())
    return result


def _with_earlier(run: TrainedRun, result: dict[str, Any]) -> dict[str, Any]:
    """A new evaluation, and what an earlier one has beyond it, unless that is of another kind."""
    try:
        earlier = read_evaluation(run.folder)
    except UnreadableFileError:  # about to be replaced by one that is whole
        return result

    def kind(evaluation: dict[str, Any]) -> list[Any]:
        protocol = {**evaluation.get("protocol", {}), "radius": None}
        # The axes' activity, to four digits, tells weights from other weights.
        return [*(evaluation.get(key) for key in ("name", "seed", "step", "kl_per_axis")), protocol]

    if earlier is None or kind(earlier) != kind(result):
        return result
    scores = earlier["scores"] | result["scores"]
    for name, rows in scores.items():
        if isinstance(rows, dict):
            both = earlier["scores"].get(name, {}) | rows
            scores[name] = {value: both[value] for value in sorted(both, key=float)}
    radius = {*earlier["protocol"]["radius"], *result["protocol"]["radius"]}
    return {
        **result,
        "protocol": {**result["protocol"], "radius": sorted(radius)},
        "scores": scores,
    }


@torch.no_grad()
def axis_activity(run: TrainedRun, seed: int = 0) -> Tensor:
    """KL divergence of each axis, mean over a thousand images.

    Args:
        run: The run.
        seed: Fixes the images.

    Returns:
        (latent,), nats, on the CPU.
    """
    mean, log_variance = run.vae.encoder(run.images(1000, seed))
    return kl_divergence(mean, log_variance).mean(0).cpu()


def _encoder_of_factors(run: TrainedRun) -> Callable[[Tensor], Tensor]:
    data = run.config.data

    @torch.no_grad()
    def encode(factors: Tensor) -> Tensor:
        parts = factors.to(run.device).split(_BATCH.get(run.device.type, 1024))
        return torch.cat([run.vae.encoder(data.render(part))[0] for part in parts]).cpu()

    return encode


def _local_scores(
    run: TrainedRun, radius: Sequence[float], active: Tensor, seed: int, start_bar: StartBar
) -> dict[str, Any]:
    data, protocol = run.config.data, run.config.evaluation
    assert isinstance(data, FactorData)
    table: dict[str, Any] = {}
    for value in radius:
        found = metrics.local_scores(
            _encoder_of_factors(run),
            data.factor_sizes,
            value,
            metrics.local_metrics(protocol.bins, active if active.any() else None),
            samples=protocol.samples,
            centres=protocol.centres,
            rng=torch.Generator().manual_seed(seed),
            progress=start_bar(f"local scores, radius {value:g}"),
        )
        for name, score in found.items():
            row = {"mean": score.mean, "std": score.std, "values": score.values.tolist()}
            table.setdefault(f"local_{name}", {})[f"{value:g}"] = row
    return table


def _global_scores(
    run: TrainedRun, names: Sequence[str], active: Tensor, seed: int
) -> dict[str, float]:
    data, protocol = run.config.data, run.config.evaluation
    assert isinstance(data, FactorData)
    factors = data.sample_factors(protocol.samples, torch.Generator().manual_seed(seed))
    codes = _encoder_of_factors(run)(factors)
    functions: dict[str, Callable[[Tensor], object]] = {
        "mig": lambda some: metrics.mig(some, factors),
        "modularity": lambda some: metrics.modularity(some, factors),
        "explicitness": lambda some: metrics.explicitness(some, factors),
    }
    scores = {}
    for name, function in functions.items():
        if name in names:
            scores[name] = float(function(codes))  # type: ignore[arg-type]
            if active.any():
                scores[f"{name}_active"] = float(function(codes[:, active]))  # type: ignore[arg-type]
    return scores


@torch.no_grad()
def _reconstruction_scores(run: TrainedRun, seed: int) -> dict[str, float]:
    images = run.images(1000, seed)
    mean, _ = run.vae.encoder(images)
    logits = decoder_logits(run.vae.decoder, mean)
    objective = run.config.objective
    likelihood = negative_log_likelihood(images, logits, objective.likelihood, objective.sigma)
    error = (logits.sigmoid() - images).abs().mean()
    return {"nll_of_means": float(likelihood.mean()), "mean_absolute_error": float(error)}


@torch.no_grad()
def _jacobian_scores(run: TrainedRun, active: Tensor, seed: int) -> dict[str, float]:
    z, _ = run.vae.encoder(run.images(_JACOBIAN_SAMPLES, seed))
    decoder = run.vae.decoder
    scores = {
        "jl1": float(jl1_penalty(decoder, z)),
        "jl1_over_l2": float(jl1_penalty(decoder, z, normalize=True)) / z.shape[1],
        "ima_contrast": float(ima_contrast(decoder, z, zero_columns="drop")),
    }
    if active.sum() > 1:
        cosines = column_cosines(run, z)[active][:, active]
        off_diagonal = cosines.sum() - cosines.diagonal().sum()
        scores["mean_cosine_active"] = float(off_diagonal) / (len(cosines) * (len(cosines) - 1))
    return scores


@torch.no_grad()
def column_cosines(run: TrainedRun, z: Tensor) -> Tensor:
    """Mean |cos| between the columns of the decoder's Jacobian.

    Args:
        run: The run.
        z: Latents to average over, (batch, latent).

    Returns:
        (latent, latent), 0…1, on the CPU; a column of length zero has cosine 0 with all.
    """
    columns = jacobian_columns(run.vae.decoder, z)
    assert isinstance(columns, Tensor)
    unit = torch.nn.functional.normalize(columns.flatten(2), dim=2)
    return (unit @ unit.transpose(1, 2)).abs().mean(0).cpu()
