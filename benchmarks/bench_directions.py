"""A step of OroJaR's directions in BigGAN at 128, against the published way.

The published way runs the whole generator k + 1 times, at z and ahead along k = 2 probes, with its
spectral norms live, and goes back through the probes' passes to the directions. (It leaves out that
the directions are made orthonormal again, which ours does.) Ours moves each latent along one random
direction, and has the norms folded in. Weights are random: the time does not depend on them.

Run: python benchmarks/bench_directions.py [--device cuda --batch 32].
"""

import argparse
import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

import axiswise as aw
from axiswise.directions.solving import drawn_directions, fresh_steps, learn
from axiswise.directions.space import SearchSpace
from axiswise.generators import frozen
from axiswise.jacobian import JacobianOperator
from axiswise.training.allocator import keep_freed_memory
from timing import compare, machine, show

PROBES, EPSILON = 2, 0.1
SUBSPACES = {f"{n} directions": slice(120 - n, 120) for n in (20, 40, 80, 120)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    keep_freed_memory()  # for all ways alike
    live = aw.nets.BigGAN().eval().requires_grad_(False).to(options.device)
    folded = copy.deepcopy(live).fold().to(memory_format=torch.channels_last)
    whole = slice(0, 120)
    ways = {
        "published, norms folded": published(folded, options.batch),
        "ours": ours(folded, whole, options.batch, 1),
        "ours, norms live": ours(live, whole, options.batch, 1),
        "ours, 2 columns": ours(folded, whole, options.batch, 2),
        "ours, chunk_size=1": ours(folded, whole, options.batch, 1, chunk_size=1),
        **{
            f"ours, {name}": ours(folded, part, options.batch, 1)
            for name, part in SUBSPACES.items()
        },
    }
    timings = compare(published(live, options.batch), ways, rounds=3)
    print(machine())
    show(f"a step of OroJaR's directions, BigGAN at 128, batch {options.batch}", timings)
    taken = timings["ours"].seconds / timings["baseline"].seconds
    both = timings["ours"].seconds / timings["published, norms folded"].seconds
    print(f"target: at most 0.8 of the published way's time, reached {taken:.2f}")
    print(f"with the norms folded in both: {both:.2f}")
    if options.device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        ways["ours"]()
        print(f"peak memory: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


def published(generator: aw.nets.BigGAN, batch: int) -> Callable[[], None]:
    matrix = nn.Parameter(torch.eye(generator.latent_dim, device=generator.shared.weight.device))
    optimizer = torch.optim.Adam([matrix], 0.01)

    def step() -> None:
        z, y = drawn(generator, batch)
        with torch.no_grad():
            here = generator(z, y)
        squares = []
        for _ in range(PROBES):
            probe = 2.0 * torch.randint(0, 2, z.shape, device=z.device) - 1
            ahead = generator(z + EPSILON * probe @ matrix, y)
            squares.append(((ahead - here) / EPSILON).square().flatten(1).sum(1))
        optimizer.zero_grad()
        torch.stack(squares).var(0).mean().backward()
        optimizer.step()

    return step


def ours(
    generator: aw.nets.BigGAN,
    subspace: slice,
    batch: int,
    columns: int,
    chunk_size: int | None = None,
) -> Callable[[], None]:
    space = SearchSpace(generator, generator.latent_dim, subspace, chunk_size=chunk_size)
    rng = torch.Generator().manual_seed(0)
    start = torch.eye(space.size, device=space.device)

    def terms(along: JacobianOperator) -> dict[str, Tensor]:
        index = drawn_directions(along, columns, rng)
        return {"orojar": aw.orojar_penalty(along, columns=index, all_pairs=True, reduction=None)}

    step = fresh_steps(space, terms, columns, batch_size=batch, rng=rng)

    def one() -> None:
        with frozen(generator):
            learn(start, step, steps=1, learning_rate=0.01)

    return one


def drawn(generator: aw.nets.BigGAN, batch: int) -> tuple[Tensor, Tensor]:
    device = generator.shared.weight.device
    z = torch.randn(batch, generator.latent_dim, device=device)
    return z, torch.randint(generator.classes, (batch,), device=device)


if __name__ == "__main__":
    main()
