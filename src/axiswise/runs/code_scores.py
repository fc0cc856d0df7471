"""Scores of codes, by name, as `axiswise evaluate` takes them globally and locally."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, SupportsFloat

import torch
from torch import Tensor

from axiswise import metrics
from axiswise.runs.protocol import EvaluationProtocol

CodeScore = Callable[[Any, Any], dict[str, float]]
Progress = Callable[[int, int], object]
StartBar = Callable[[str], Progress]

CODE_SCORES = (
    "mig",
    "modularity",
    "explicitness",
    "sap",
    "irs",
    "dci",
    "infomec",
    "total_correlation",
    "wasserstein_correlation",
    "mean_mutual_information",
)
_CHOOSES_AXES = ("infomec",)  # by itself
NEED_TWO_FACTORS = ("modularity", "infomec")


def code_score(
    name: str,
    protocol: EvaluationProtocol,
    active: Tensor,
    seed: int,
    bins: int = 20,
    start_bar: StartBar | None = None,
) -> CodeScore:
    """A score of codes, over all axes and over the active ones.

    Args:
        name: One of `CODE_SCORES`.
        protocol: How to score.
        active: (latent,), boolean, on the CPU: which axes are active.
        seed: Fixes what is random in a score.
        bins: Equal-width bins of a code, for those scores that need them.
        start_bar: Starts a progress bar for each call of a score that takes long, if given.

    Returns:
        A function of codes (sample, latent) and factors (sample, factor) that gives numbers by
        name, those over active axes as NAME_active; none such if no axis is active, or if the score
        chooses axes by itself.
    """
    score = _over_all_axes(name, protocol, seed, bins, start_bar)
    if name in _CHOOSES_AXES or not active.any():
        return score
    axes = active.nonzero().flatten().numpy()

    def both(codes: Any, factors: Any) -> dict[str, float]:
        found = score(codes, factors)
        alone = found if len(axes) == codes.shape[1] else score(codes[:, axes], factors)
        return found | {f"{key}_active": value for key, value in alone.items()}

    return both


def _over_all_axes(
    name: str, protocol: EvaluationProtocol, seed: int, bins: int, start_bar: StartBar | None
) -> CodeScore:
    def progress() -> Progress | None:
        return None if start_bar is None else start_bar(name)

    if name == "dci":
        return lambda codes, factors: _dci(codes, factors, protocol.dci, seed, progress())
    if name == "infomec":
        return lambda codes, factors: _infomec(codes, factors, seed)
    if name == "sap":
        return lambda codes, factors: {
            "sap": float(metrics.sap(codes, factors, progress=progress()))
        }
    metric: Callable[..., SupportsFloat] = getattr(metrics, name)
    if name in ("mig", "modularity", "mean_mutual_information"):
        metric = partial(metric, bins=bins)
    if name in ("total_correlation", "wasserstein_correlation", "mean_mutual_information"):
        return lambda codes, _: {name: float(metric(codes))}
    return lambda codes, factors: {name: float(metric(codes, factors))}


def _dci(
    codes: Any,
    factors: Any,
    model: Literal["boosted", "forest"],
    seed: int,
    progress: Progress | None,
) -> dict[str, float]:
    rng = torch.Generator().manual_seed(seed)
    found = metrics.dci(codes, factors, model=model, rng=rng, progress=progress)
    return {
        "dci_disentanglement": found.disentanglement,
        "dci_completeness": found.completeness,
        "dci_informativeness": found.informativeness,
    }


def _infomec(codes: Any, factors: Any, seed: int) -> dict[str, float]:
    found = metrics.infomec(codes, factors, rng=torch.Generator().manual_seed(seed))
    return {"infom": found.infom, "infoc": found.infoc, "infoe": found.infoe}
