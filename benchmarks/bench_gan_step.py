"""A whole training step of `sprites-orojar`, against one of `sprites-gan` and the published way.

The paper's network and width, batches of 32.

Run: python benchmarks/bench_gan_step.py [--device cuda] [--batch 32]
"""

import argparse
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor

from axiswise.objectives import GeneratorPass, Term
from axiswise.runs.protocol import read_settings
from axiswise.training.allocator import keep_freed_memory
from axiswise.training.gan import GANRecipe
from axiswise.training.recipe import recipe_path
from axiswise.training.trainer import Place, start
from bench_orojar import outputs, published_penalty
from timing import compare, machine, show

TARGET = 1.3


class Published(Term):
    """The authors' way: the generator's own pass, and three more for the penalty."""

    def __init__(self, term: Any) -> None:
        super().__init__(weight=term.weight)
        object.__setattr__(self, "term", term)

    def draw(self, *given: Any) -> dict[str, Tensor]:
        """What OroJaR draws."""
        return self.term.draw(*given)

    def __call__(self, made: GeneratorPass, network: None, probes: Tensor) -> Tensor:  # noqa: ARG002
        """The penalty."""
        layers, generator = self.term.layers, made.model.generator
        _ = made.output
        own = outputs(generator, layers, made.z)[1]
        return published_penalty(generator, layers, made.z, probes, own)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(2)
    keep_freed_memory()  # for all steps alike

    def recipe(name: str) -> GANRecipe:
        words = ["--batch_size", str(options.batch)]
        return cast(GANRecipe, read_settings(recipe_path(name), words).build())

    orojar = recipe("sprites-orojar")
    term = orojar.terms["orojar"]
    exact = {"method": "forward", "epsilon": None}
    configs = {
        "sprites-orojar": orojar,
        "the same, exact derivatives": replace(
            recipe("sprites-orojar"), terms={"orojar": replace(term, **exact)}
        ),
        "published way": replace(recipe("sprites-orojar"), terms={"orojar": Published(term)}),
        "sprites-hessian": recipe("sprites-hessian"),
        "sprites-vp": recipe("sprites-vp"),
        "sprites-jl1": recipe("sprites-jl1"),
    }
    steps = {name: step(config, options.device) for name, config in configs.items()}
    timings = compare(step(recipe("sprites-gan"), options.device), steps, rounds=5)
    print(machine())
    show(f"a training step, batch {options.batch}; the baseline is sprites-gan's", timings)
    for name, timing in timings.items():
        print(f"  {name:<28} takes {1 / timing.ratio:5.2f} times sprites-gan's step")
    print(f"target: sprites-orojar at most {TARGET} times", end=", ")
    print(f"reached {1 / timings['sprites-orojar'].ratio:.2f}")


def step(config: GANRecipe, device: str) -> Callable[[], None]:
    fabric = Fabric(accelerator=device, devices=1)
    training = start(config)
    training.setup(Place(fabric, torch.Generator(fabric.device).manual_seed(0), slice(None)))
    count = itertools.count()
    return lambda: (training.step(next(count)), None)[1]


if __name__ == "__main__":
    main()
