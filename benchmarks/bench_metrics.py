"""Local MIG from given codes, against mutual information by scikit-learn, pair by pair.

Run: python benchmarks/bench_metrics.py
"""

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import mutual_info_score

from axiswise.metrics import local_factors, mig
from timing import compare, machine, show

CENTRES, SAMPLES, LATENTS, FACTOR_SIZES, BINS, RADIUS = 20, 10_000, 10, (64,) * 6, 5, 0.1
TARGET = 10.0

Sets = list[tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]]


def main() -> None:
    sets = draw_sets(torch.Generator().manual_seed(0))
    np.testing.assert_allclose(ours(sets), published(sets), rtol=0, atol=1e-12)
    timings = compare(lambda: published(sets), {"axiswise": lambda: ours(sets)}, rounds=5)
    print(machine())
    show(
        f"local MIG, {CENTRES} centres x {SAMPLES} samples, {LATENTS} latents, "
        f"{len(FACTOR_SIZES)} factors, {BINS} bins (same scores to 1e-12)",
        timings,
    )
    print(f"target: at least {TARGET:.0f} x, reached {timings['axiswise'].ratio:.1f} x")


def draw_sets(rng: torch.Generator) -> Sets:
    """Draws each centre's codes, noisy mixtures of its factors, and its factors."""
    mixing = torch.randn(len(FACTOR_SIZES), LATENTS, generator=rng, dtype=torch.float64)
    sets = []
    for _ in range(CENTRES):
        centre = [int(torch.randint(size, (), generator=rng)) for size in FACTOR_SIZES]
        factors = local_factors(FACTOR_SIZES, RADIUS, SAMPLES, centre, rng=rng)
        noise = torch.randn(SAMPLES, LATENTS, generator=rng, dtype=torch.float64)
        codes = factors.double() @ mixing + noise
        sets.append((codes.numpy(), factors.numpy()))
    return sets


def ours(sets: Sets) -> list[float]:
    return [float(mig(codes, factors, bins=BINS)) for codes, factors in sets]


def published(sets: Sets) -> list[float]:
    return [published_mig(codes, factors) for codes, factors in sets]


def published_mig(codes: npt.NDArray[np.float64], factors: npt.NDArray[np.int64]) -> float:
    """Scores in the way that disentanglement_lib made usual."""
    information = np.empty((codes.shape[1], factors.shape[1]))
    for i, code in enumerate(codes.T):
        binned = np.digitize(code, np.histogram(code, BINS)[1][:-1])
        for j, factor in enumerate(factors.T):
            information[i, j] = mutual_info_score(factor, binned)
    entropies = np.array([mutual_info_score(factor, factor) for factor in factors.T])
    ranked = np.sort(information, axis=0)
    return float(np.mean((ranked[-1] - ranked[-2]) / entropies))


if __name__ == "__main__":
    main()
