"""How the codes of a data set are distributed: which latents a decoder has seen."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class CodeStatistics:
    """Mean and standard deviation of each axis's codes over a data set.

    Of the codes as they are sampled in training: their means over images, and the noise around
    them. A term such as JL1, which makes the Jacobian smaller, spreads the means far wider than the
    prior; an axis that no image needs has the prior's 0 and 1.

    Attributes:
        mean: (latent,).
        deviation: (latent,), above 0.
        weights: Digest of the weights of the network whose codes they are.

    Raises:
        ValueError: They are not equally long, or a value is not finite or out of range.
    """

    mean: Sequence[float]
    deviation: Sequence[float]
    weights: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        values = [*self.mean, *self.deviation]
        if len(self.mean) != len(self.deviation) or not all(map(math.isfinite, values)):
            raise ValueError("mean and deviation must be finite, one of each for each latent")
        if not all(value > 0 for value in self.deviation):
            raise ValueError(f"deviation must be above 0, got {min(self.deviation)}")

    @classmethod
    def of(cls, posteriors: Iterable[tuple[Tensor, Tensor]]) -> "CodeStatistics | None":
        """Those of codes, from batches of their means and log-variances, (image, latent).

        None where they are not finite.
        """
        parts = [(mean.double().cpu(), spread.double().exp().cpu()) for mean, spread in posteriors]
        means, variances = (torch.cat(part) for part in zip(*parts, strict=True))
        deviation = (means.var(0, correction=0) + variances.mean(0)).sqrt()
        if not (means.isfinite().all() and deviation.isfinite().all() and deviation.gt(0).all()):
            return None
        return cls(_rounded(means.mean(0)), _rounded(deviation))

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """Latents (n, latent), normal with these means and deviations, on the device of `rng`."""
        noise = torch.randn(n, len(self.mean), generator=rng, device=rng.device)
        return noise * noise.new_tensor(self.deviation) + noise.new_tensor(self.mean)

    def along(self, direction: Tensor) -> tuple[float, float]:
        """Mean and standard deviation of the latents' component along a direction, (latent,)."""
        unit = direction.double().cpu() / direction.double().norm().cpu()
        mean, deviation = unit.new_tensor(self.mean), unit.new_tensor(self.deviation)
        return float(mean @ unit), float((deviation * unit).norm())


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]
