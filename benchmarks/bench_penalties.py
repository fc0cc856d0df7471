"""Penalties of the paper's three-dots decoder, forward and backward, against the published ways.

The published way of JL1-VAE: one-sided differences, latent + 1 decodes of the batch, transposed
convolutions without padding whose output is cropped. Those of OroJaR and the Hessian Penalty:
differences along as many probes as ours takes products.

Run: python benchmarks/bench_penalties.py
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

import axiswise as aw
from axiswise.training.allocator import keep_freed_memory
from timing import Timing, compare, machine, show

LATENTS, BATCH, THREADS = 10, 64, 2
JL1_EPSILON, PROBE_EPSILON = 1e-3, 0.1
EXACT_TARGET, EXACT_STRETCH, SAMPLED_TARGET = 2.5, 4.0, 10.0

Decode = Callable[[Tensor], Tensor]


class CroppedUp(nn.ConvTranspose2d):
    """Doubles the size as published: no padding, one pixel cropped on each side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 4, stride=2)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Upsample (batch, channel, height, width)."""
        return super().forward(x)[:, :, 1:-1, 1:-1]


def padded_up(inputs: int, outputs: int) -> nn.Module:
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)


def decoder(up: Callable[[int, int], nn.Module]) -> nn.Sequential:
    """The decoder of the paper; whichever way it doubles sizes, with the same weights."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [
        nn.Linear(LATENTS, 256),
        nn.ReLU(),
        nn.Linear(256, 1024),
        nn.ReLU(),
        nn.Unflatten(1, (64, 4, 4)),
    ]
    for inputs, outputs in [(64, 64), (64, 32), (32, 32)]:
        layers += [up(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, up(32, 1), nn.Sigmoid())


def published_jl1(decode: Decode, z: Tensor) -> Tensor:
    here = decode(z)
    cost = z.new_zeros(())
    for i in range(z.shape[1]):
        moved = z.clone()
        moved[:, i] += JL1_EPSILON
        cost = cost + ((decode(moved) - here) / JL1_EPSILON).abs().flatten(1).sum(1).mean()
    return cost


def published_orojar(decode: Decode, z: Tensor, probes: int) -> Tensor:
    here = decode(z)
    squares = []
    for _ in range(probes):
        moved = decode(z + PROBE_EPSILON * signs(z))
        squares.append(((moved - here) / PROBE_EPSILON).square().flatten(1).sum(1))
    return torch.stack(squares).var(0).mean()


def published_hessian(decode: Decode, z: Tensor, probes: int) -> Tensor:
    here = decode(z)
    curvatures = []
    for _ in range(probes):
        step = PROBE_EPSILON * signs(z)
        curvatures.append((decode(z + step) - 2 * here + decode(z - step)) / PROBE_EPSILON**2)
    return torch.stack(curvatures).var(0).mean()


def signs(z: Tensor) -> Tensor:
    return torch.randint(0, 2, z.shape).to(z) * 2 - 1


def main() -> None:
    torch.set_num_threads(THREADS)
    keep_freed_memory()  # for both sides alike
    ours, cropped = decoder(padded_up), decoder(CroppedUp)
    z = torch.randn(BATCH, LATENTS)

    def trained(penalty: Callable[[], Tensor], low: bool = False) -> Callable[[], None]:
        """Forward and backward."""

        def step() -> None:
            ours.zero_grad()
            cropped.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=low):
                value = penalty()
            value.backward()  # type: ignore[no-untyped-call]

        return step

    def general(z: Tensor) -> Tensor:  # not recognised as a stack of known layers
        return ours(z)  # type: ignore[no-any-return]

    same = aw.jl1_penalty(ours, z).item() / published_jl1(cropped, z).item()
    if abs(same - 1) > 0.02:
        raise AssertionError(f"the two ways differ: ratio {same}")

    print(machine())
    print(f"decoder of JL1-VAE on three-dots, {LATENTS} latents, batch {BATCH}, with gradients")
    jl1 = report(
        "JL1; baseline: published differences, 11 decodes, float32",
        lambda: published_jl1(cropped, z),
        trained,
        {
            "exact": lambda: aw.jl1_penalty(ours, z),
            "exact, any callable": lambda: aw.jl1_penalty(general, z),
            "one sampled column": lambda: aw.jl1_penalty(ours, z, columns=1),
            "one sampled, any callable": lambda: aw.jl1_penalty(general, z, columns=1),
        },
        {
            "exact, bfloat16": lambda: aw.jl1_penalty(ours, z),
            "one sampled, bfloat16": lambda: aw.jl1_penalty(ours, z, columns=1),
        },
    )
    report(
        "OroJaR; baseline: published differences, 2 probes",
        lambda: published_orojar(cropped, z, 2),
        trained,
        {"2 probes": lambda: aw.orojar_penalty(ours, z, probes=2)},
    )
    report(
        "OroJaR; baseline: published differences, 4 probes",
        lambda: published_orojar(cropped, z, 4),
        trained,
        {
            "4 probes": lambda: aw.orojar_penalty(ours, z, probes=4),
            "4 groups": lambda: aw.orojar_penalty(ours, z, groups=4),
        },
    )
    report(
        f"OroJaR; baseline: published differences, {LATENTS} probes",
        lambda: published_orojar(cropped, z, LATENTS),
        trained,
        {"exact": lambda: aw.orojar_penalty(ours, z)},
    )
    report(
        "Hessian Penalty; baseline: published differences, 2 probes",
        lambda: published_hessian(cropped, z, 2),
        trained,
        {"2 probes": lambda: aw.hessian_penalty(ours, z, probes=2)},
    )
    print(
        f"exact JL1: target at least {EXACT_TARGET} x (stretch {EXACT_STRETCH:.0f} x), "
        f"reached {jl1['exact'].ratio:.1f} x\n"
        f"one sampled column: target at least {SAMPLED_TARGET:.0f} x, "
        f"reached {jl1['one sampled column'].ratio:.1f} x\n"
        "bfloat16: under autocast; the published differences drown in its rounding"
    )


def report(
    title: str,
    baseline: Callable[[], Tensor],
    trained: Callable[..., Callable[[], None]],
    penalties: Mapping[str, Callable[[], Tensor]],
    low: Mapping[str, Callable[[], Tensor]] | None = None,
) -> dict[str, Timing]:
    ways = {name: trained(penalty) for name, penalty in penalties.items()}
    ways |= {name: trained(penalty, low=True) for name, penalty in (low or {}).items()}
    timings = compare(trained(baseline), ways)
    show(title, timings)
    return timings


if __name__ == "__main__":
    main()
