"""Directions found in generators whose true ones are known, seen through a random rotation.

Scenes of soft-edged squares that move, grow at constant energy and brighten; of round blobs; and
the decoder of a trained JL1-VAE, whose axes stand for the truth. The generator is turned by a
random rotation of its latents, each method searches, and what it finds is matched with the truth.

Run: python benchmarks/planted_directions.py [--decoder RUN_FOLDER]. Each result is added to
results/directions/planted.json at once; what stands there already is not done again. The table goes
to results/directions/planted.md.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

import axiswise as aw
from axiswise.support.files import write_atomically

FOLDER = Path(__file__).resolve().parents[1] / "results" / "directions"
SEEDS = range(5)
SIZE, UNIT = 32, 6.0  # pixels a side; brightness of a square of energy 1
# Name of a row: the method and its settings.
SEARCHES: dict[str, tuple[str, dict[str, object]]] = {
    "orojar": ("orojar", {}),
    "orojar, by Adam": ("orojar", {"solver": "adam"}),
    "jl1": ("jl1", {}),
    "orojar+jl1": ("orojar+jl1", {}),
    "hessian": ("hessian", {"steps": 300}),
    "sefa": ("sefa", {}),
    "ganspace": ("ganspace", {}),
    "jacobian-svd": ("jacobian-svd", {}),
    "random": ("random", {}),
}


class Squares(nn.Module):
    """Soft-edged squares, one in each cell of a 2 × 2 grid.

    Of each, the first latents move it in x and y; then one makes it grow at constant energy and one
    brightens it, unless these are None.

    Args:
        move: Pixels per unit of latent, where it is 0.
        grow: Growth of the side's logarithm per unit, or None.
        bright: Growth of the brightness's logarithm per unit, or None.
        bounded: Latents go through 2 tanh(z/2), so that a square stays in its cell; if not, columns
            of squares that only move have the same length at all latents.
    """

    def __init__(
        self,
        move: float,
        grow: float | None = None,
        bright: float | None = None,
        bounded: bool = True,
    ) -> None:
        super().__init__()
        self.move, self.grow, self.bright, self.bounded = move, grow, bright, bounded
        self.kinds = 2 + (grow is not None) + (bright is not None)
        self.latent_dim = 4 * self.kinds
        centres = SIZE * torch.tensor([[1, 1], [3, 1], [1, 3], [3, 3]]) / 4
        self.register_buffer("centres", centres)
        self.register_buffer("pixels", torch.arange(SIZE) + 0.5)

    def forward(self, z: Tensor) -> Tensor:
        """Latents (batch, latent) to images (batch, 1, SIZE, SIZE), ≥ 0."""
        parts = (2 * (z / 2).tanh() if self.bounded else z).view(len(z), 4, self.kinds)
        places = self.centres + self.move * parts[..., :2]
        rest = list(parts[..., 2:].unbind(-1))
        half = 3.0 * (self.grow * rest.pop(0)).exp() if self.grow is not None else None
        brightness = (self.bright * rest.pop(0)).exp() if self.bright is not None else None
        across, down = (self._profile(place, half) for place in places.unbind(-1))
        shapes = UNIT * down[..., :, None] * across[..., None, :]
        if brightness is not None:
            shapes = shapes * brightness[..., None, None]
        return shapes.sum(1, keepdim=True)

    def _profile(self, place: Tensor, half: Tensor | None) -> Tensor:
        """Along one side: (batch, square, pixel), of energy 1."""
        off = self.pixels - place[..., None]
        side = 3.0 if half is None else half[..., None]
        raw = ((off + side) / 0.7).sigmoid() * ((side - off) / 0.7).sigmoid()
        return raw / raw.square().sum(-1, keepdim=True).sqrt()


class Blobs(Squares):
    """Round blobs in place of the squares: no direction of moving one differs from another.

    Of this size, since the grid of pixels tells the directions apart in narrower ones, and the edge
    of the image in wider ones.
    """

    def _profile(self, place: Tensor, half: Tensor | None) -> Tensor:  # noqa: ARG002
        raw = (-((self.pixels - place[..., None]) ** 2) / (2 * 1.5**2)).exp()
        return raw / raw.square().sum(-1, keepdim=True).sqrt()


class Turned(nn.Module):
    """A generator behind a rotation of its latents."""

    def __init__(self, scene: nn.Module, rotation: Tensor) -> None:
        super().__init__()
        self.latent_dim = len(rotation)
        self.turn = nn.Linear(self.latent_dim, self.latent_dim, bias=False)
        self.turn.weight.data = rotation.clone()
        self.images = scene

    def forward(self, u: Tensor) -> Tensor:
        """Turned latents (batch, latent) to images."""
        return self.images(self.turn(u))


SCENES: dict[str, Callable[[], nn.Module]] = {
    "squares": lambda: Squares(move=2.0, grow=0.1, bright=0.5),
    "squares, alike in length": lambda: Squares(move=1.0, grow=0.28, bright=0.3),
    "squares that only move": lambda: Squares(move=0.7, bounded=False),
    "blobs": lambda: Blobs(move=0.7, bright=0.3, bounded=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decoder", metavar="RUN", help="a run of a JL1-VAE, by its folder")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / "planted.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    generators = {name: make() for name, make in SCENES.items()}
    if options.decoder:
        generators["decoder of a JL1-VAE"] = decoder(options.decoder)
    for row in searches(generators, {(r["scene"], r["search"], r["seed"]) for r in rows}):
        rows.append(row)
        write_atomically(path, (json.dumps(rows, indent=0) + "\n").encode())
        print(row, flush=True)
    (FOLDER / "planted.md").write_text(table(rows, generators))
    print(table(rows, generators))


def decoder(folder: str) -> nn.Module:
    """A VAE's decoder, its own axes the truth."""
    vae = aw.nets.ConvVAE.from_pretrained(folder)
    vae.decoder.latent_dim = vae.latent_dim
    return vae.decoder


def turn(generator: nn.Module, rotation: Tensor) -> nn.Module:
    """A network's own first layer is turned; a scene has no weights, so a layer comes before it."""
    if isinstance(generator, Squares):
        return Turned(generator, rotation)
    turned = aw.directions.with_axes(generator, rotation.T)
    turned.latent_dim = generator.latent_dim
    return turned


def searches(
    generators: dict[str, nn.Module], done: set[tuple[str, str, int]]
) -> Iterator[dict[str, object]]:
    for seed in SEEDS:
        for name, generator in generators.items():
            rng = torch.Generator().manual_seed(seed)
            rotation = torch.linalg.qr(torch.randn(2 * [generator.latent_dim], generator=rng)).Q
            turned = turn(generator, rotation)
            for search, (method, settings) in SEARCHES.items():
                if (name, search, seed) in done:
                    continue
                layer = {"layer": "images"} if search == "ganspace" and name in SCENES else {}
                start = time.perf_counter()
                found = aw.find_directions(turned, method, seed=seed, **settings, **layer)
                seconds = time.perf_counter() - start
                # z = u Rᵀ: moving u along row i of R moves z along its axis i.
                score = aw.match_directions(found, rotation)
                yield {
                    "scene": name,
                    "search": search,
                    "seed": seed,
                    "cosine": round(score.mean, 4),
                    "worst": round(float(score.scores.min()), 4),
                    "seconds": round(seconds, 1),
                }


def table(rows: list[dict[str, object]], generators: dict[str, nn.Module]) -> str:
    """Mean |cos| after matching, mean and spread over seeds."""
    scenes = list(dict.fromkeys(str(row["scene"]) for row in rows))
    lines = ["| method | " + " | ".join(scenes) + " |", "|---" * (len(scenes) + 1) + "|"]
    for search in SEARCHES:
        cells = []
        for scene in scenes:
            chosen = [row for row in rows if (row["scene"], row["search"]) == (scene, search)]
            found = [float(row["cosine"]) for row in chosen]
            spread = f" ± {statistics.stdev(found):.3f}" if len(found) > 1 else ""
            cells.append(f"{statistics.mean(found):.3f}{spread}" if found else "to do")
        lines.append(f"| {search} | " + " | ".join(cells) + " |")
    lines += ["", "| scene | latents | mean \\|cos\\| of the true columns | their lengths |"]
    lines.append("|---" * 4 + "|")
    for name, generator in generators.items():
        rng = torch.Generator().manual_seed(0)
        z = torch.randn(100, generator.latent_dim, generator=rng)
        found = aw.metrics.jacobian_diagnostics(generator, z)
        lengths = found.lengths[: getattr(generator, "kinds", generator.latent_dim)]
        numbers = ", ".join(f"{length:.2f}" for length in lengths)
        lines.append(f"| {name} | {generator.latent_dim} | {found.mean_cosine:.4f} | {numbers} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
