"""β-TCVAE (Chen et al., NeurIPS 2018, arXiv 1802.04942)."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from axiswise.objectives.vae import VAEObjective, VAEPass, WeightedTerms
from axiswise.support.checks import check_range


@dataclass(frozen=True, kw_only=True)
class BetaTCVAE(VAEObjective):
    """The ELBO with its total correlation weighed β times (Eq. 4 with α = γ = 1).

    The total correlation is that of the aggregate posterior, estimated within the batch.

    Args:
        beta: Weight of the total correlation, ≥ 0; the KL divergence has 1 of it.
        sampling: "weighted" or "stratified", the paper's two estimators: see `total_correlation`.
        dataset_size: Number of images of the data, ≥ 1; required for "stratified". Without it
            "weighted" omits a constant, as in disentanglement_lib, which changes no gradient.
    """

    beta: float = 4.0
    sampling: Literal["weighted", "stratified"] = "weighted"
    dataset_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "≥ 0", "beta")
        check_range(self, "at least 1", "dataset_size")
        if self.sampling not in ("weighted", "stratified"):
            raise ValueError(f"sampling must be 'weighted' or 'stratified', got {self.sampling!r}")
        if self.dataset_size is None and self.sampling == "stratified":
            raise ValueError("dataset_size must be given for stratified sampling, got None")

    def code_terms(self, batch: VAEPass, ramp: float) -> WeightedTerms:
        """The terms "kl" and "tc", nats."""
        weights = self.log_weights(len(batch.z)).to(batch.z)
        correlation = total_correlation(batch.z, batch.mean, batch.log_variance, weights)
        return {"kl": (ramp, batch.kl), "tc": (ramp * (self.beta - 1), correlation)}

    def log_weights(self, batch: int) -> Tensor:
        """Logarithms of the weights of the images' densities at each code, (batch, batch)."""
        if self.dataset_size is None:
            return torch.zeros(batch, batch)
        if self.sampling == "weighted":
            return torch.full((batch, batch), -math.log(batch * self.dataset_size))
        return stratified_weights(batch, self.dataset_size).log()


def stratified_weights(batch: int, dataset_size: int) -> Tensor:
    """The weight of each image's density at each code in stratified sampling (appendix C.2).

    A code's own image has 1/N; of the M others in the batch, M − 1 have 1/M each and the next in
    the batch has the rest. The estimate of the aggregate posterior's density is unbiased.

    Args:
        batch: Images in the batch, M + 1, at least 2.
        dataset_size: Images of the data, N, at least `batch`.

    Returns:
        (batch, batch), a row for each code, which sums to 1.

    Raises:
        ValueError: If a number is out of range.
    """
    if not 2 <= batch <= dataset_size:
        raise ValueError(
            f"batch must be at least 2 and at most dataset_size = {dataset_size}, got {batch}"
        )
    others = batch - 1
    rest = (dataset_size - others) / (dataset_size * others)
    weights = torch.full((batch, batch), 1 / others)
    index = torch.arange(batch)
    weights[index, (index + 1) % batch] = rest
    weights[index, index] = 1 / dataset_size
    return weights


def total_correlation(z: Tensor, mean: Tensor, log_variance: Tensor, log_weights: Tensor) -> Tensor:
    """Total correlation of the aggregate posterior, estimated within a batch.

    The density at each code, joint and of each latent, is a weighted sum of the batch's Gaussians
    (Section 4 and appendix C): weights 1/(N·M), for M of N images, give minibatch-weighted sampling
    (which overestimates), `stratified_weights` the stratified one.

    Args:
        z: Codes, (batch, latent).
        mean: Means of their Gaussians, (batch, latent).
        log_variance: Their log-variances, (batch, latent).
        log_weights: Logarithms of the weights, (batch, batch), a row for each code.

    Returns:
        A scalar, nats, mean over the batch.
    """
    deviation = (z[:, None] - mean) * (-log_variance / 2).exp()
    densities = -(deviation.square() + log_variance + math.log(2 * math.pi)) / 2
    joint = (log_weights + densities.sum(2)).logsumexp(1)
    marginals = (log_weights[:, :, None] + densities).logsumexp(1)
    return (joint - marginals.sum(1)).mean()
