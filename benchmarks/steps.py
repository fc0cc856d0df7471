"""What the benchmarks of training steps share."""

import argparse
import itertools
from collections.abc import Callable, Mapping

import torch
from lightning_fabric import Fabric

from axiswise.training.allocator import keep_freed_memory
from axiswise.training.trainer import Place, Recipe, Trainer, start
from timing import Timing, compare, machine, show


def arguments(description: str, batch: int) -> argparse.ArgumentParser:
    """The options of every such benchmark; two threads, and an allocator as in training."""
    torch.set_num_threads(2)
    keep_freed_memory()  # for all steps alike
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, default=batch)
    return parser


def stepping(config: Recipe, device: str, first: int = 0) -> tuple[Trainer, Callable[[], None]]:
    """A trainer, and what takes its next step, from the step `first` on."""
    fabric = Fabric(accelerator=device, devices=1)
    training = start(config)
    training.setup(Place(fabric, torch.Generator(fabric.device).manual_seed(0), slice(None)))
    count = itertools.count(first)

    def step() -> None:
        training.step(next(count))

    return training, step


def report(
    title: str,
    baseline: tuple[str, Callable[[], None]],
    steps: Mapping[str, Callable[[], None]],
    target: tuple[str, float],
    rounds: int,
) -> None:
    """Times steps beside the baseline's, by its name, and prints what share the target allows."""
    name, first = baseline
    timings: dict[str, Timing] = compare(first, steps, rounds=rounds)
    print(machine())
    show(title, timings)
    for way, timing in timings.items():
        print(f"  {way:<28} takes {1 / timing.ratio:5.2f} times {name}'s step")
    aimed, most = target
    print(f"target: {aimed} at most {most} times, reached {1 / timings[aimed].ratio:.2f}")
