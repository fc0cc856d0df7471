"""A whole training step of `sprites-orojar`, against one of `sprites-gan` and the published way.

The paper's network and width, batches of 32.

Run: python benchmarks/bench_gan_step.py [--device cuda] [--batch 32]
"""

from dataclasses import replace
from typing import Any, cast

from torch import Tensor

from axiswise.objectives import GeneratorPass, Term
from axiswise.runs.protocol import read_settings
from axiswise.training.gan import GANRecipe
from axiswise.training.recipe import recipe_path
from bench_orojar import outputs, published_penalty
from steps import arguments, report, stepping

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
    options = arguments(__doc__, 32).parse_args()

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
    steps = {name: stepping(config, options.device)[1] for name, config in configs.items()}
    _, plain = stepping(recipe("sprites-gan"), options.device)
    title = f"a training step, batch {options.batch}; the baseline is sprites-gan's"
    report(title, ("sprites-gan", plain), steps, ("sprites-orojar", TARGET), rounds=5)


if __name__ == "__main__":
    main()
