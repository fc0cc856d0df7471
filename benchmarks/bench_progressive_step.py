"""A training step of `clevr-simple-orojar` at full size, against one of `clevr-simple-gan`.

At 64 pixels, an eighth of the width, batches of 16 in one part; the penalty on all blocks but the
last, as published and in the authors' way: four whole passes of the generator, one for the images
and three for the penalty.

Run: python benchmarks/bench_progressive_step.py [--device cuda] [--batch 16] [--width 0.125]
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from axiswise.nets import ProgressiveGenerator
from axiswise.objectives import GeneratorPass, Term
from axiswise.runs.protocol import read_settings
from axiswise.training.progressive import ProgressiveRecipe
from axiswise.training.recipe import recipe_path
from steps import arguments, report, stepping

TARGET = 1.3
GROWN = 40  # steps after which it is at full size, with the settings below


class Published(Term):
    """The authors' way: whole passes at the latents and along each probe, one activation each."""

    def __init__(self, term: Any) -> None:
        super().__init__(weight=term.weight)
        object.__setattr__(self, "term", term)

    def draw(self, *given: Any) -> dict[str, Tensor]:
        """What OroJaR draws."""
        return self.term.draw(*given)

    def __call__(self, made: GeneratorPass, network: None, probes: Tensor) -> Tensor:  # noqa: ARG002
        """The penalty."""
        _ = made.output
        here = self._activations(made, made.z)
        there = [self._activations(made, made.z + 0.1 * probe) for probe in probes]
        total = made.z.new_zeros(())
        for own, *moved in zip(here, *there, strict=True):
            squares = [((other - own) / 0.1).square().sum((1, 2, 3)) for other in moved]
            total = total + torch.stack(squares).var(0, correction=0).max()
        return total

    def _activations(self, made: GeneratorPass, z: Tensor) -> list[Tensor]:
        found: list[Tensor] = []
        parts = [made.model.generator.get_submodule(name) for name in self.term.layers]
        hooks = [part.register_forward_hook(lambda *call: found.append(call[2])) for part in parts]
        made.model.generator(z, **made.conditioning)
        for hook in hooks:
            hook.remove()
        return found


def main() -> None:
    parser = arguments(__doc__, 16)
    parser.add_argument("--width", type=float, default=1 / 8)
    options = parser.parse_args()

    def recipe(kind: str) -> ProgressiveRecipe:
        words = ["--data.size", "64", "--batch_size", str(options.batch), "--parts", "1"]
        words += ["--stable_images", "1", "--fading_images", "0"]
        for network in ("generator", "critic"):
            words += [f"--{network}.width", str(options.width)]
        if kind in ("orojar", "hessian"):
            network = ProgressiveGenerator(64, width=0.01)
            layers = network.norms if kind == "hessian" else network.convolutions
            words += [f"--terms.{kind}.layers", str(layers[:-2])]
        made = read_settings(recipe_path(f"clevr-simple-{kind}"), words).build()
        assert isinstance(made, ProgressiveRecipe)
        return made

    orojar = recipe("orojar")
    exact = replace(orojar.terms["orojar"], method="forward", epsilon=None)  # type: ignore[call-arg]
    configs = {
        "clevr-simple-orojar": orojar,
        "the same, exact derivatives": replace(orojar, terms={"orojar": exact}),
        "published way": replace(orojar, terms={"orojar": Published(orojar.terms["orojar"])}),
        "clevr-simple-hessian": recipe("hessian"),
        "clevr-simple-infogan": recipe("infogan"),
    }
    steps = {name: step(config, options.device) for name, config in configs.items()}
    title = f"a step at lod 0, batch {options.batch}; the baseline is clevr-simple-gan's"
    plain = ("clevr-simple-gan", step(recipe("gan"), options.device))
    report(title, plain, steps, ("clevr-simple-orojar", TARGET), rounds=7)


def step(config: ProgressiveRecipe, device: str) -> Callable[[], None]:
    """What takes the next step at full size."""
    training, take = stepping(config, device, GROWN)

    def run() -> None:
        take()
        assert training.conditioning == {"lod": 0.0}

    return run


if __name__ == "__main__":
    main()
