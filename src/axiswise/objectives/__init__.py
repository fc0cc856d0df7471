"""What a model minimises: one paper a file."""

from axiswise.objectives.beta_vae import BetaVAE
from axiswise.objectives.game import Game
from axiswise.objectives.infogan import InfoGAN
from axiswise.objectives.jacobian_term import JacobianTerm
from axiswise.objectives.non_saturating import NonSaturating
from axiswise.objectives.schedule import Scheduled
from axiswise.objectives.vae import (
    VAEPass,
    WeightedTerms,
    kl_divergence,
    negative_log_likelihood,
    sample_codes,
)
from axiswise.objectives.variation_predictability import VariationPredictability, changed
from axiswise.objectives.wgan_gp import WGANGP

__all__ = [
    "WGANGP",
    "BetaVAE",
    "Game",
    "InfoGAN",
    "JacobianTerm",
    "NonSaturating",
    "Scheduled",
    "VAEPass",
    "VariationPredictability",
    "WeightedTerms",
    "changed",
    "kl_divergence",
    "negative_log_likelihood",
    "sample_codes",
]
