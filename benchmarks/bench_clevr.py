"""Images of CLEVR a second on two threads, against casting every ray at every body.

Run: python benchmarks/bench_clevr.py [--device cuda]
"""

import argparse
from unittest.mock import patch

import torch
from torch import Tensor

from axiswise.data import Clevr, clevr_renderer
from timing import compare, machine, show

TARGETS = {64: 500, 128: 100}
SIZES, BATCH, DENSE_BATCH = (32, 64, 128, 256), 64, 2


def everywhere(_: object, body: clevr_renderer.Bodies, *__: object) -> Tensor:
    return (body.shape != clevr_renderer.NOTHING).expand(-1, 64**2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    torch.set_num_threads(2)
    print(machine())
    rng = torch.Generator(device).manual_seed(0)
    data = Clevr("simple", 64)
    few = data.draw(DENSE_BATCH, rng)

    def dense() -> Tensor:
        with (
            patch.object(clevr_renderer.Renderer, "_in_view", everywhere),
            patch.object(clevr_renderer, "_between", everywhere),
        ):
            return data.render(few)

    assert torch.equal(dense(), data.render(few))
    timings = compare(dense, {"rays that can meet a body": lambda: data.render(few)})
    show(f"simple, {DENSE_BATCH} images of 64 pixels; baseline: every ray at every body", timings)
    before = None
    for size in SIZES:
        source = Clevr("simple", size)
        draws = source.draw(BATCH, rng)
        seconds = compare(lambda s=source, d=draws: s.render(d), {}, rounds=5)["baseline"].seconds
        target = f", target {TARGETS[size]}" if size in TARGETS else ""
        growth = f", {seconds / before:.2f} times the time of half the side" if before else ""
        print(f"  simple, {size:>3} pixels: {BATCH / seconds:>8,.0f} images/s{target}{growth}")
        before = seconds
    for variant in ("complex", "full"):
        source = Clevr(variant, 64)
        draws = source.draw(BATCH, rng)
        seconds = compare(lambda s=source, d=draws: s.render(d), {}, rounds=5)["baseline"].seconds
        print(f"  {variant}, 64 pixels: {BATCH / seconds:>8,.0f} images/s")


if __name__ == "__main__":
    main()
