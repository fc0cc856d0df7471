"""Variance of OroJaR's grouped probes against the paper's estimator at equal cost.

Cost is counted in products of the Jacobian with a probe: k probes for the paper's estimator, m
groups for ours. Both are unbiased, so that the standard deviation of one draw is all there is to
compare. Each sample's draws are taken on its exact Gram matrix, in float64.

Run: python benchmarks/bench_groups.py [--run FOLDER], where FOLDER holds a trained ConvVAE. Writes
results/groups.md and results/groups.png.
"""

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import axiswise as aw
from timing import machine

PRODUCTS = (2, 3, 4, 6, 8, 10)
SAMPLES, DRAWS, SEED = 32, 2000, 0
RESULTS = Path(__file__).resolve().parents[1] / "results"

# One generator's relative standard deviations by number of products: (paper, grouped).
Deviations = dict[int, tuple[float, float | None]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="folder of a trained ConvVAE")
    run = parser.parse_args().run

    torch.manual_seed(SEED)
    generators: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
        "VAE decoder, random weights": (aw.nets.ConvVAE().decoder, 10),
        "OroJaR's generator at a quarter width, random weights": (
            aw.nets.SimpleGenerator(width=0.25),
            6,
        ),
    }
    if run is not None:
        trained = aw.nets.ConvVAE.from_pretrained(run)
        generators["VAE decoder, trained"] = (trained.decoder, trained.latent_dim)

    measured = {
        name: deviations(generator, latents) for name, (generator, latents) in generators.items()
    }
    command = "python benchmarks/bench_groups.py"
    if run is not None:
        command += f" --run {shlex.quote(str(run))}"
    page = report(measured, command)
    print(page)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "groups.md").write_text(page, encoding="utf-8")
    draw(measured, RESULTS / "groups.png")


def deviations(generator: Callable[[Tensor], Tensor], latents: int) -> Deviations:
    """Relative standard deviation of one draw, root mean square over samples."""
    rng = torch.Generator().manual_seed(SEED)
    z = torch.randn(SAMPLES, latents, generator=rng)
    with torch.no_grad():
        gram = aw.jacobian_gram(generator, z, chunk_size=64)
    assert isinstance(gram, Tensor)
    values, vectors = torch.linalg.eigh(gram.double())
    roots = vectors * values.clamp(min=0).sqrt()[:, None]  # roots @ roots.T is the Gram matrix
    return {
        products: (
            spread(roots, rng, probes=products),
            spread(roots, rng, groups=products) if products <= latents else None,
        )
        for products in PRODUCTS
    }


def spread(roots: Tensor, rng: torch.Generator, **estimator: int) -> float:
    squares = []
    for root in roots:
        origin = root.new_zeros(DRAWS, len(root))

        def same_gram(z: Tensor, root: Tensor = root) -> Tensor:
            return z @ root

        exact = aw.orojar_penalty(same_gram, origin[:1])
        drawn = aw.orojar_penalty(same_gram, origin, reduction=None, rng=rng, **estimator)
        squares.append(((drawn - exact) / exact).square().mean())
    return float(torch.stack(squares).mean().sqrt())


def report(measured: dict[str, Deviations], command: str) -> str:
    lines = [
        "# Grouped probes against the paper's estimator",
        "",
        f"Relative standard deviation of one draw of OroJaR, {DRAWS} draws at each of {SAMPLES} "
        "latents; a product is one",
        "Jacobian-vector product. Exact where there are as many groups as latents.",
        "",
        f"`{command}`",
        "",
        machine(),
    ]
    for name, table in measured.items():
        lines += ["", f"## {name}", "", "| products | paper | grouped | variance, paper/grouped |"]
        lines += ["|---|---|---|---|"]
        for products, (paper, grouped) in table.items():
            lines.append(f"| {products} | {paper:.2f} | {compared(paper, grouped)} |")
    return "\n".join(lines) + "\n"


def compared(paper: float, grouped: float | None) -> str:
    if grouped is None:
        return "– | –"
    if grouped < 1e-6:
        return "0 (exact) | ∞"
    return f"{grouped:.2f} | {(paper / grouped) ** 2:.1f}"


def draw(measured: dict[str, Deviations], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(
        1, len(measured), figsize=(4.2 * len(measured), 3.6), sharey=True, squeeze=False
    )
    for panel, (name, table) in zip(panels[0], measured.items(), strict=True):
        paper = {products: both[0] for products, both in table.items()}
        grouped = {products: both[1] for products, both in table.items() if both[1] is not None}
        panel.plot(*zip(*paper.items(), strict=True), "o--", color="0.35", label="paper's probes")
        panel.plot(*zip(*grouped.items(), strict=True), "s-", color="C0", label="grouped probes")
        panel.set(title=name, xlabel="Jacobian products", xticks=PRODUCTS)
        panel.title.set_fontsize(10)
        panel.grid(alpha=0.3)
        panel.legend(frameon=False)
    panels[0][0].set(ylabel="relative standard deviation of one draw")
    panels[0][0].set_ylim(bottom=-0.03)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
