"""Images of sprites a second, at 64 × 64 on two threads.

Run: python benchmarks/bench_sprites.py [--device cuda]
"""

import argparse
import time

import torch

from axiswise.data import Sprites
from timing import machine

BATCHES, TARGET, SECONDS = (32, 128, 1024), 50_000, 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    torch.set_num_threads(2)
    print(machine())
    data, rng = Sprites(), torch.Generator(device).manual_seed(0)
    reached = {}
    for batch in BATCHES:
        data.render(data.sample_factors(batch, rng))
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < SECONDS:
            data.render(data.sample_factors(batch, rng))
            count += batch
        if device != "cpu":
            torch.cuda.synchronize()
        reached[batch] = count / (time.perf_counter() - start)
        print(f"  batches of {batch:<10}{reached[batch]:>12,.0f} images/s")
    print(f"target: at least {TARGET:,} images/s, reached {reached[128]:,.0f} in batches of 128")


if __name__ == "__main__":
    main()
