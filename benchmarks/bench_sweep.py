"""A sweep of eight small runs, against training and scoring one after the other.

Whole processes, in turn: `axiswise train` and `axiswise evaluate` for each run, with as many
threads as they take by themselves; `axiswise sweep`; and `axiswise sweep --workers 1`, which shows
how much of the gain comes from runs at once, how much from fewer starts of Python.

Run: python benchmarks/bench_sweep.py
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from timing import machine

RECIPE, STEPS, WEIGHTS, SEEDS = "three-dots-demo", 400, (0.03, 0.1, 0.3, 1.0), (0, 1)
METRIC = "mig"
ROUNDS = 2
TARGET = 1.6
# The numbers of threads that the runs choose themselves.
ENVIRONMENT = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}


def main() -> None:
    ways: dict[str, Callable[[Path], None]] = {
        "one after the other": one_after_the_other,
        "axiswise sweep": sweep,
        "axiswise sweep, 1 worker": lambda folder: sweep(folder, "--workers", "1"),
    }
    taken = [{name: seconds(way) for name, way in ways.items()} for _ in range(ROUNDS)]
    baseline = next(iter(ways))
    print(machine())
    runs = len(WEIGHTS) * len(SEEDS)
    print(f"{runs} runs of {RECIPE}, {STEPS} steps and the score {METRIC} each, {ROUNDS} rounds")
    ratios = {}
    for name in ways:
        ratios[name] = statistics.median(times[baseline] / times[name] for times in taken)
        median = statistics.median(times[name] for times in taken)
        print(f"  {name:<28}{median:>8.1f} s  {ratios[name]:>6.2f} x")
    reached = ratios["axiswise sweep"]
    print(f"target: at least {TARGET} x, reached {reached:.2f} x")


def one_after_the_other(folder: Path) -> None:
    for weight in WEIGHTS:
        for seed in SEEDS:
            out = str(folder / f"{weight}-{seed}")
            words = [f"--steps={STEPS}", f"--terms.jl1.weight={weight}", f"--seed={seed}"]
            axiswise("train", RECIPE, f"--out={out}", *words)
            axiswise("evaluate", out, "--metrics", METRIC)


def sweep(folder: Path, *words: str) -> None:
    content = {
        "recipe": RECIPE,
        "settings": {"steps": STEPS},
        "grid": {"terms.jl1.weight": [*WEIGHTS]},
        "seeds": [*SEEDS],
        "metrics": [METRIC],
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump(content))
    axiswise("sweep", str(folder / "sweep.yaml"), "--out", str(folder / "out"), *words)


def axiswise(*words: str) -> None:
    command = [sys.executable, "-m", "axiswise.cli", *words]
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)


def seconds(way: Callable[[Path], None]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        way(Path(folder))
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
