"""The VP score with its pairs in memory, against writing and reading them as JPEG files.

Both sides make the same pairs and train the same classifiers. The baseline writes each pair as one
JPEG file of the two images side by side, as the authors' code does, and reads the files for every
batch: those of the training part in each epoch, those of the test part once. The authors' code
reads the test part in each epoch too; what that takes is computed from the time of one reading.

Run: python benchmarks/bench_vp.py
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import axiswise as aw
from axiswise.metrics import VP_PROTOCOLS, vp_pairs, vp_score
from axiswise.training.allocator import keep_freed_memory
from timing import machine

PAIRS, LATENTS, REPEATS, TARGET = 10_000, 6, 3, 5.0


def main() -> None:
    torch.set_num_threads(2)
    keep_freed_memory()  # for both sides alike
    generator = aw.nets.SimpleGenerator(latent_dim=LATENTS, width=0.25).eval()
    protocol = VP_PROTOCOLS["dsprites"]
    train = round(protocol.train_share * PAIRS)
    print(machine())
    start = time.perf_counter()
    images, labels = vp_pairs(
        generator.generate, LATENTS, pairs=PAIRS, rng=torch.Generator().manual_seed(0)
    )
    made = time.perf_counter()
    ours = vp_score(images, labels, repeats=REPEATS, rng=torch.Generator().manual_seed(1))
    scored = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writing = seconds(lambda: write(images, folder))
        files = sorted(folder.iterdir())
        for_training = seconds(lambda: read(files[:train] * 10)) / 10 * protocol.epochs * REPEATS
        for_test = seconds(lambda: read(files[train:]))
    handled = seconds(lambda: handle(images, train, protocol.epochs))
    rows = {
        "making the pairs": made - start,
        "training and testing": scored - made,
        "of which: pairs from memory": handled,
        "writing files": writing,
        "reading them, test once": for_training + for_test * REPEATS,
        "reading, test in each epoch": for_training + for_test * REPEATS * protocol.epochs,
    }
    print(f"{PAIRS} pairs at 64 x 64, {REPEATS} classifiers, score {ours.mean:.3f}")
    for row, time_ in rows.items():
        print(f"  {row:<28}{time_:>10.2f} s")
    whole = scored - start
    once = rows["writing files"] + rows["reading them, test once"]
    each = rows["writing files"] + rows["reading, test in each epoch"]
    print(f"the pairs alone, files over memory: {once / handled:.0f} x")
    print(f"the whole score, test once: {(whole + once) / whole:.2f} x")
    print(f"the whole score, test in each epoch (files alone): {(whole + each) / whole:.1f} x")
    print(f"target: at least {TARGET:.0f} x")


def seconds(way: Callable[[], None]) -> float:
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def write(images: Tensor, folder: Path) -> None:
    """A file for each pair."""
    for number, pair in enumerate(images):
        sides = np.concatenate(list(pair[:, 0].numpy()), axis=1)
        Image.fromarray(sides).save(folder / f"{number:05d}.jpg", quality=95)


def read(files: list[Path]) -> None:
    """As a data loader does."""
    for file in files:
        with Image.open(file) as image:
            torch.from_numpy(np.array(image)).float().div_(255)


def handle(images: Tensor, train: int, epochs: int) -> None:
    """What the score does with pairs from memory: all batches of three trainings and tests."""
    for _ in range(REPEATS):
        learned = images[:train].float().div_(255)
        for _ in range(epochs):
            for rows in torch.randperm(train).split(32):
                learned[rows]
        for part in images[train:].split(500):
            part.float().div_(255)


if __name__ == "__main__":
    main()
