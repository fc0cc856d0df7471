"""What the local scores give to codes that know the dots, but not which dot is which.

The factors name the dots, the images do not: an encoder must tell the dots apart by where they are,
and wherever two change places by that order its codes jump. So even the best encoder scores less
than the factors themselves do.

Run: python benchmarks/three_dots_ceiling.py
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from axiswise.data import ThreeDots
from axiswise.metrics import local_scores

RADII = (0.1, 0.2, 0.3, 0.6, 1.0)
DRAWS = 10  # of the angles

Encoder = Callable[[Tensor], Tensor]


def main() -> None:
    rng = torch.Generator().manual_seed(0)
    angles = math.pi * torch.rand(DRAWS, 3, generator=rng)
    rows: dict[str, list[Encoder]] = {
        "factors": [named],
        "factors, each dot's axes turned": [turned(named, angle) for angle in angles],
        "dots by their x": [by_x],
        "dots by their x, each dot's axes turned": [turned(by_x, angle) for angle in angles],
    }
    print("| codes | score |" + "".join(f" {radius} |" for radius in RADII))
    print("|---|---|" + "---|" * len(RADII))
    for name, encoders in rows.items():
        for score in ("mig", "modularity"):
            cells = []
            for radius in RADII:
                values = [
                    float(
                        local_scores(
                            encoder,
                            ThreeDots().factor_sizes,
                            radius,
                            centres=10,
                            samples=5_000,
                            rng=torch.Generator().manual_seed(seed),
                        )[score]
                    )
                    for seed, encoder in enumerate(encoders * (DRAWS // len(encoders)))
                ]
                cells.append(f" {sum(values) / len(values):.3f} |")
            print(f"| {name} | local {score.replace('mig', 'MIG')} |" + "".join(cells))


def named(factors: Tensor) -> Tensor:
    """The factors themselves, dot by dot: x, y."""
    return factors.double()


def by_x(factors: Tensor) -> Tensor:
    """The dots from left to right, as an encoder could name them."""
    dots = factors.double().view(-1, 3, 2)
    order = dots[..., 0].argsort(dim=1, stable=True)
    return dots.gather(1, order[..., None].expand(-1, -1, 2)).flatten(1)


def turned(encoder: Encoder, angles: Tensor) -> Encoder:
    """Codes with the two axes of each dot turned by an angle, as JL1 leaves them."""
    cosine, sine = angles.double().cos(), angles.double().sin()
    turn = torch.stack([cosine, -sine, sine, cosine], 1).view(3, 2, 2)
    return lambda factors: torch.einsum(
        "ndi,dij->ndj", encoder(factors).view(-1, 3, 2), turn
    ).flatten(1)


if __name__ == "__main__":
    main()
