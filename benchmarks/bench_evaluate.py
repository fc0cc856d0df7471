"""`axiswise evaluate` at JL1-VAE's local protocol, on its encoder: seconds, against a target.

Scored is an untrained network with one dead axis, so that all axes and the active ones are scored
apart. By default a fifth of the centres is timed and the time scaled; --whole takes them all.

Run: python benchmarks/bench_evaluate.py [--whole]
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from axiswise.metrics import local_factors, mig, modularity
from axiswise.nets import ConvVAE
from axiswise.runs.evaluate import evaluate_run
from axiswise.runs.protocol import read_settings
from axiswise.runs.run import Run, load_run
from axiswise.training.recipe import recipe_path
from axiswise.training.trainer import start
from timing import machine

RECIPE, CENTRES, SAMPLES, RADII = "three-dots-jl1", 20, 10_000, [0.1, 0.2, 0.3, 0.6, 1.0]
SHARE = 4  # centres of the 20
TARGET = 180.0  # seconds on two cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--whole", action="store_true", help="all centres")
    centres = CENTRES if parser.parse_args().whole else SHARE
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder))
        evaluate_run(with_protocol(run, centres=1, samples=500), ["local"])  # does not count
        start = time.perf_counter()
        evaluate_run(with_protocol(run, centres=centres, samples=SAMPLES), ["local"])
        seconds = (time.perf_counter() - start) * CENTRES / centres
        print(machine())
        print(
            f"local MIG and modularity, {len(RADII)} radii x {CENTRES} centres x {SAMPLES} samples "
            f"(timed: {centres} centres)"
        )
        show_parts(run)
    print(f"target: at most {TARGET:.0f} s, took {seconds:.0f} s")


def make_run(folder: Path) -> Run:
    """Makes the folder of a run whose network was never trained, and opens it."""
    torch.manual_seed(0)
    config = read_settings(recipe_path(RECIPE))
    network = start(config.build()).model
    assert isinstance(network, ConvVAE)
    with torch.no_grad():
        for layer in (network.encoder.mean, network.encoder.log_variance):
            layer.weight[0] = 0.0
            layer.bias[0] = 0.0
    (folder / "config.yaml").write_text(config.dump(), encoding="utf-8")
    network.save_pretrained(folder)
    return load_run(folder)


def with_protocol(run: Run, centres: int, samples: int) -> Run:
    protocol = replace(run.protocol, radius=RADII, centres=centres, samples=samples, bins=5)
    return replace(run, protocol=protocol)


def show_parts(run: Run) -> None:
    """Prints where the time goes, for one centre's samples."""
    sizes = run.data.factor_sizes
    rng = torch.Generator().manual_seed(0)
    factors = local_factors(sizes, RADII[0], SAMPLES, [size // 2 for size in sizes], rng=rng)
    started = time.perf_counter()
    for part in factors.split(64):
        run.data.render(part)
    drawn = time.perf_counter()
    codes = run.codes(factors)
    encoded = time.perf_counter()
    for axes in (codes, codes[:, run.active]):
        for metric in (mig, modularity):
            metric(axes.double(), factors, bins=5)
    scored = time.perf_counter()
    print(f"  drawing {SAMPLES} images     {drawn - started:.2f} s")
    print(f"  drawing and encoding them {encoded - drawn:.2f} s")
    print(f"  scoring their codes       {scored - encoded:.2f} s")


if __name__ == "__main__":
    main()
