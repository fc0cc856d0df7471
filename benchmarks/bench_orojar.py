"""OroJaR in a training step, against the published finite differences; variance against time.

The generator is the paper's at 64 pixels, the penalised layers the paper's four convolutions. Each
way also gives G(z), as a step needs it for its loss, from the same pass; the published way runs the
whole generator three times for that, at z and ahead along two probes. Timed are value and gradient.

Run: python benchmarks/bench_orojar.py [--device cuda]. Draws results/orojar_time.png.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import axiswise as aw
from axiswise.jacobian import Method
from axiswise.training.allocator import keep_freed_memory
from timing import compare, machine, show

BATCH, PROBES, EPSILON, DRAWS = 32, 2, 0.1, 200
RESULTS = Path(__file__).resolve().parents[1] / "results"
# The forms of ours: name and arguments; the derivatives are exact where the name is not in FINITE.
FORMS = {
    "2 probes": {"probes": 2},
    "2 probes, finite": {"probes": 2},
    "3 probes": {"probes": 3},
    "4 probes": {"probes": 4},
    "2 groups": {"groups": 2},
    "3 groups": {"groups": 3},
    "4 groups": {"groups": 4},
    "exact": {},
}
FINITE = {"2 probes, finite"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    torch.set_num_threads(2)
    torch.manual_seed(0)
    keep_freed_memory()  # for all ways alike
    generator = aw.nets.SimpleGenerator().to(device)
    layers = generator.convolutions[:4]
    z = torch.randn(BATCH, generator.latent_dim, device=device)

    def ours(name: str) -> Callable[[], None]:
        def step() -> None:
            jacobian = jacobian_for(name, generator, layers, z)
            value = aw.orojar_penalty(jacobian, reduction="max", **FORMS[name])
            (value + jacobian.output.mean()).backward()
            generator.zero_grad()

        return step

    timings = compare(
        lambda: published_step(generator, layers, z),
        {name: ours(name) for name in FORMS},
        rounds=5,
    )
    print(machine())
    show(f"OroJaR's value and gradient with G(z), batch {BATCH}", timings)
    reached = timings["2 probes"].ratio
    print(f"target: 2 probes at least 1 x, reached {reached:.2f} x")
    spreads = {name: deviation(name, generator, layers, z) for name in FORMS}
    print("relative standard deviation of one draw, mean over the batch:")
    for name, spread in spreads.items():
        print(f"  {name:<28}{spread:.3f}")
    if device == "cpu":
        draw({name: (timings[name].seconds, spread) for name, spread in spreads.items()})


def jacobian_for(
    name: str, generator: aw.nets.SimpleGenerator, layers: list[str], z: Tensor
) -> aw.Jacobian:
    """A form's Jacobian."""
    method: Method = "finite" if name in FINITE else "forward"
    return aw.Jacobian(generator, z, method, layers=layers)


def published_step(generator: aw.nets.SimpleGenerator, layers: list[str], z: Tensor) -> None:
    """Differences of whole passes, as the authors' code takes them; G(z) is shared."""
    images, here = outputs(generator, layers, z)
    probes = 2.0 * torch.randint(0, 2, (PROBES, *z.shape), device=z.device) - 1
    (published_penalty(generator, layers, z, probes, here) + images.mean()).backward()
    generator.zero_grad()


def published_penalty(
    generator: aw.nets.SimpleGenerator,
    layers: list[str],
    z: Tensor,
    probes: Tensor,
    here: list[Tensor],
) -> Tensor:
    """The variance over probes of the squared length of differences, maximum over the batch."""
    squares = []
    for probe in probes:
        _, ahead = outputs(generator, layers, z + EPSILON * probe)
        moved = zip(ahead, here, strict=True)
        squares.append([((a - h) / EPSILON).square().flatten(1).sum(1) for a, h in moved])
    variances = [torch.stack(of_layer).var(0) for of_layer in zip(*squares, strict=True)]
    return torch.stack([variance.max() for variance in variances]).sum()


def outputs(
    generator: aw.nets.SimpleGenerator, layers: list[str], z: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """The images, and what the layers have made on the way."""
    found = []
    hidden = z
    for number, block in enumerate(generator):
        for place, layer in enumerate(block):
            hidden = layer(hidden)
            if f"{number}.{place}" in layers:
                found.append(hidden)
    return hidden, found


@torch.no_grad()
def deviation(name: str, generator: aw.nets.SimpleGenerator, layers: list[str], z: Tensor) -> float:
    """Of a draw, over the exact value; on a quarter of the batch, which is enough for a mean."""
    rng = torch.Generator(z.device).manual_seed(0)
    several = z[: BATCH // 4]
    exact = aw.orojar_penalty(generator, several, reduction=None, layers=layers)
    if not FORMS[name]:
        return 0.0
    jacobian = jacobian_for(name, generator, layers, several)
    draws = [
        aw.orojar_penalty(jacobian, reduction=None, rng=rng, **FORMS[name]) for _ in range(DRAWS)
    ]
    spread = torch.stack(draws).sum(1).std(0) / exact.sum(0)
    return float(spread.mean())


def draw(points: dict[str, tuple[float, float]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, (seconds, spread) in points.items():
        colour = {"p": "0.35", "g": "C0"}.get(name.split()[-1][0], "C3")
        axes.plot(1e3 * seconds, spread, "o", color=colour)
        beside = (5, -10) if name.endswith("finite") else (5, 4)  # else one lies on another
        axes.annotate(name, (1e3 * seconds, spread), beside, textcoords="offset points", size=8)
    axes.set(
        xlabel="time of value and gradient, ms",
        ylabel="relative standard deviation of one draw",
        title="OroJaR on the paper's generator, random weights: variance against time",
    )
    axes.title.set_fontsize(10)
    axes.set_ylim(bottom=-0.03)
    axes.margins(x=0.1)
    axes.grid(alpha=0.3)
    figure.savefig(RESULTS / "orojar_time.png", dpi=110)


if __name__ == "__main__":
    main()
