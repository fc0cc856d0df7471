"""Three-dots, against drawing each image at 10 times its size with OpenCV and area-averaging it.

Run: python benchmarks/bench_three_dots.py
"""

from functools import partial

import cv2
import numpy as np
import torch
from torch import Tensor

from axiswise.data import ThreeDots
from timing import compare, machine, show

IMAGES, BATCHES, ENLARGED = 8192, (64, 1024), 10
TARGET = 20.0


def main() -> None:
    torch.set_num_threads(2)
    data = ThreeDots()
    factors = data.sample_factors(IMAGES, torch.Generator().manual_seed(0))
    difference = (opencv(data, factors) - data.render(factors)).abs().mean()
    assert difference <= 0.001, f"the two draw different images: {difference}"
    timings = compare(
        lambda: opencv(data, factors),
        {f"batches of {n}": partial(in_batches, data, factors, n) for n in BATCHES},
    )
    print(machine(), f", OpenCV {cv2.__version__} with {cv2.getNumThreads()} threads", sep="")
    show(f"{IMAGES} images of three-dots (mean difference {difference:.4f})", timings)
    for name, timing in timings.items():
        print(f"  {name:<28}{IMAGES / timing.seconds:>10,.0f} images/s")
    reached = timings[f"batches of {BATCHES[0]}"].ratio
    print(f"target: at least {TARGET:.0f} x, reached {reached:.1f} x in batches of {BATCHES[0]}")


def in_batches(data: ThreeDots, factors: Tensor, n: int) -> None:
    for part in factors.split(n):
        data.render(part)


def opencv(data: ThreeDots, factors: Tensor) -> Tensor:
    """Draws images one by one; the factors are turned into places beforehand, all at once."""
    scale = ENLARGED * data.size
    places = factors * scale / (data.values - 1) + ENLARGED * 0.05 - 0.5
    radius = round(ENLARGED * data.radius)
    large = np.empty((scale, scale), np.uint8)
    images = np.empty((len(factors), data.size, data.size), np.uint8)
    for image, place in zip(images, places.round().int().tolist(), strict=True):
        large.fill(255)
        for centre in zip(place[::2], place[1::2], strict=True):
            cv2.circle(large, centre, radius, 0, cv2.FILLED)
        cv2.resize(large, dsize=image.shape, dst=image, interpolation=cv2.INTER_AREA)
    return torch.from_numpy(images).unsqueeze(1).float().div_(255)


if __name__ == "__main__":
    main()
