"""β-TCVAE (Chen et al., NeurIPS 2018, arXiv 1802.04942)."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from axiswise.objectives.vae import VAEObjective, VAEPass, WeightedTerms, check_weights


@dataclass(frozen=True, kw_only=True)
class BetaTCVAE(VAEObjective):
    """The ELBO with its total correlation weighed β times (Eq. 4 with α = γ = 1).

    The total correlation is that of the aggregate posterior, estimated within the batch.

    Args:
        beta: Weight of the total correlation, ≥ 0, of which 1 is in the KL divergence already.
        sampling: "weighted" or "stratified", the paper's two estimators: see `total_correlation`.
        dataset_size: Number of images that there are, ≥ 1. Without it the weighted estimator leaves
            out its constant, as in disentanglement_lib: it changes no gradient. The stratified one
            needs it.
        likelihood: "bernoulli" or "gaussian", as in `negative_log_likelihood`.
        sigma: Standard deviation of the Gaussian likelihood, in grey values, > 0.

    Raises:
        ValueError: On a number out of range, an unknown sampling or likelihood, or stratified
            sampling without dataset_size.
    """

    beta: float = 4.0
    sampling: Literal["weighted", "stratified"] = "weighted"
    dataset_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights(self, "beta")
        if self.sampling not in ("weighted", "stratified"):
            raise ValueError(f"sampling must be 'weighted' or 'stratified', got {self.sampling!r}")
        if self.dataset_size is None and self.sampling == "stratified":
            raise ValueError("dataset_size must be given for stratified sampling, got None")
        if self.dataset_size is not None and self.dataset_size < 1:
            raise ValueError(f"dataset_size must be at least 1, got {self.dataset_size}")

    def code_terms(self, batch: VAEPass, ramp: float) -> WeightedTerms:
        """The terms beyond the likelihood.

        Args:
            batch: What the VAE made of a batch.
            ramp: How far annealing has come, 0…1; scales both weights.

        Returns:
            "kl" and "tc", nats, means over the batch.

        Raises:
            ValueError: For stratified sampling, if the batch has a single image or is larger than
                dataset_size.
        """
        weights = self.log_weights(len(batch.z)).to(batch.z)
        correlation = total_correlation(batch.z, batch.mean, batch.log_variance, weights)
        return {"kl": (ramp, batch.kl), "tc": (ramp * (self.beta - 1), correlation)}

    def log_weights(self, batch: int) -> Tensor:
        """Logarithms of what each image's density counts at each code.

        Args:
            batch: Images in the batch.

        Returns:
            (batch, batch), a row for each code; zeros for the weighted estimator without its
            constant.

        Raises:
            ValueError: For stratified sampling, if the batch has a single image or is larger than
                dataset_size.
        """
        if self.dataset_size is None:
            return torch.zeros(batch, batch)
        if self.sampling == "weighted":
            return torch.full((batch, batch), -math.log(batch * self.dataset_size))
        return stratified_weights(batch, self.dataset_size).log()


def stratified_weights(batch: int, dataset_size: int) -> Tensor:
    """What each image's density counts at each code in stratified sampling (appendix C.2).

    A code's own image stands for itself, 1/N of the data; of the M others in the batch, M − 1 count
    1/M each and one, the next in the batch, what is left. The estimate of the aggregate posterior's
    density is unbiased.

    Args:
        batch: Images in the batch, M + 1, at least 2.
        dataset_size: Images that there are, N, at least as many.

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

    The density at each code, of all latents together and of each by itself, is a weighted sum of
    the batch's Gaussians (Section 4 and appendix C). Weights 1/(N·M), for a batch of M among N
    images, make it minibatch-weighted sampling; `stratified_weights` the stratified one.

    Args:
        z: Codes, (batch, latent).
        mean: Means of their Gaussians, (batch, latent).
        log_variance: Their log-variances, (batch, latent).
        log_weights: Logarithms of the weights, (batch, batch), a row for each code.

    Returns:
        A scalar, nats, mean over the batch. Weighted sampling overestimates: its weights do not sum
        to 1.
    """
    deviation = (z[:, None] - mean) * (-log_variance / 2).exp()
    densities = -(deviation.square() + log_variance + math.log(2 * math.pi)) / 2
    joint = (log_weights + densities.sum(2)).logsumexp(1)
    marginals = (log_weights[:, :, None] + densities).logsumexp(1)
    return (joint - marginals.sum(1)).mean()
