"""What a model minimises: one paper a file."""

from axiswise.objectives.beta_vae import BetaVAE
from axiswise.objectives.jacobian_term import JacobianTerm
from axiswise.objectives.vae import (
    VAEPass,
    WeightedTerms,
    kl_divergence,
    negative_log_likelihood,
    sample_codes,
)

__all__ = [
    "BetaVAE",
    "JacobianTerm",
    "VAEPass",
    "WeightedTerms",
    "kl_divergence",
    "negative_log_likelihood",
    "sample_codes",
]
