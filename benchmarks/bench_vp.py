"""The VP score with its pairs in memory, against writing and reading them as JPEG files.

Both sides make the same pairs and train the same classifier; the baseline writes each pair as one
JPEG file of the two images side by side, as the authors' code does, and reads its batches back from
the files, decoding each anew in every epoch for training and once for the test.

Run: python benchmarks/bench_vp.py
"""

import tempfile
import time
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
    print(machine())
    start = time.perf_counter()
    images, labels = vp_pairs(
        generator.generate, LATENTS, pairs=PAIRS, rng=torch.Generator().manual_seed(0)
    )
    made = time.perf_counter()
    ours = vp_score(images, labels, repeats=REPEATS, rng=torch.Generator().manual_seed(1))
    scored = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        write(images, Path(folder))
        written = time.perf_counter()
        read_all(Path(folder), labels)
        read = time.perf_counter()
    print(f"{PAIRS} pairs at 64 x 64, {REPEATS} classifiers, score {ours.mean:.3f}")
    rows = {
        "making the pairs": made - start,
        "training and testing": scored - made,
        "writing files": written - scored,
        "reading them": read - written,
    }
    for name, seconds in rows.items():
        print(f"  {name:<28}{seconds:>8.2f} s")
    whole = (scored - start + read - scored) / (scored - start)
    print(f"the whole score: {whole:.2f} x; target: at least {TARGET:.0f} x")


def write(images: Tensor, folder: Path) -> None:
    """A file for each pair."""
    for number, pair in enumerate(images):
        sides = np.concatenate(list(pair[:, 0].numpy()), axis=1)
        Image.fromarray(sides).save(folder / f"{number:05d}.jpg", quality=95)


def read_all(folder: Path, labels: Tensor) -> None:
    """What three trainings and tests read: the training part in every epoch, the rest once."""
    protocol = VP_PROTOCOLS["dsprites"]
    train = round(protocol.train_share * len(labels))
    files = sorted(folder.iterdir())
    for _ in range(REPEATS):
        for file in files[:train] * protocol.epochs + files[train:]:
            with Image.open(file) as image:
                torch.from_numpy(np.array(image)).float().div_(255)


if __name__ == "__main__":
    main()
