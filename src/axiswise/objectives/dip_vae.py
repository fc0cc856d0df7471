"""DIP-VAE-I and -II (Kumar, Sattigeri & Balakrishnan, ICLR 2018, arXiv 1711.00848)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from axiswise.objectives.vae import VAEObjective, VAEPass, WeightedTerms
from axiswise.support.checks import check_range


@dataclass(frozen=True, kw_only=True)
class DIPVAE(VAEObjective):
    """The ELBO plus the distance of a covariance of codes from the identity (Eqs. 6 and 7).

    Args:
        variant: "i" takes the covariance of the codes' means, "ii" adds the mean of the
            encoder's variances, which makes it the covariance of the codes.
        lambda_od: Weight λ_od of the squares off the diagonal, ≥ 0; 5 is the third value of
            disentanglement_lib's study.
        lambda_d: Weight λ_d of the squared differences of the diagonal from 1, ≥ 0; as in the study
            if null: 10·λ_od for "i" and λ_od for "ii".
    """

    variant: Literal["i", "ii"] = "i"
    lambda_od: float = 5.0
    lambda_d: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variant not in ("i", "ii"):
            raise ValueError(f"variant must be 'i' or 'ii', got {self.variant!r}")
        check_range(self, "≥ 0", "lambda_od", "lambda_d")

    def code_terms(self, batch: VAEPass, ramp: float) -> WeightedTerms:
        """The terms "kl", nats; "dip_off_diagonal" and "dip_diagonal", the sums of squares."""
        covariance = covariance_of_means(batch.mean)
        if self.variant == "ii":
            covariance = covariance + batch.log_variance.exp().mean(0).diag()
        diagonal = covariance.diagonal()
        off_diagonal = covariance - diagonal.diag()
        return {
            "kl": (ramp, batch.kl),
            "dip_off_diagonal": (ramp * self.lambda_od, off_diagonal.square().sum()),
            "dip_diagonal": (ramp * self._lambda_d, (diagonal - 1).square().sum()),
        }

    @property
    def _lambda_d(self) -> float:
        if self.lambda_d is not None:
            return self.lambda_d
        return 10 * self.lambda_od if self.variant == "i" else self.lambda_od


def covariance_of_means(mean: Tensor) -> Tensor:
    """Covariance (latent, latent) of the means (batch, latent), divided by the batch."""
    centred = mean - mean.mean(0)
    # No matrix product: mixed precision would round it.
    return torch.mean(centred[:, :, None] * centred[:, None, :], 0)
