"""What a model minimises: one paper a file."""

from axiswise.objectives.annealed_vae import AnnealedVAE
from axiswise.objectives.beta_tcvae import BetaTCVAE
from axiswise.objectives.beta_vae import BetaVAE
from axiswise.objectives.dip_vae import DIPVAE
from axiswise.objectives.factor_vae import FactorVAE
from axiswise.objectives.family import find_term, make_term, term, term_names
from axiswise.objectives.gan import GANObjective, judged
from axiswise.objectives.infogan import InfoGAN, PublishedInfoGAN
from axiswise.objectives.non_saturating import NonSaturating
from axiswise.objectives.penalty_term import PenaltyTerm
from axiswise.objectives.term import GeneratorPass, Term
from axiswise.objectives.vae import (
    VAEObjective,
    VAEPass,
    WeightedTerms,
    kl_divergence,
    negative_log_likelihood,
    sample_codes,
)
from axiswise.objectives.variation_predictability import (
    PublishedVariationPredictability,
    VariationPredictability,
)
from axiswise.objectives.wgan_gp import WGANGP, ProgressiveWGANGP

__all__ = [
    "DIPVAE",
    "WGANGP",
    "AnnealedVAE",
    "BetaTCVAE",
    "BetaVAE",
    "FactorVAE",
    "GANObjective",
    "GeneratorPass",
    "InfoGAN",
    "NonSaturating",
    "PenaltyTerm",
    "ProgressiveWGANGP",
    "PublishedInfoGAN",
    "PublishedVariationPredictability",
    "Term",
    "VAEObjective",
    "VAEPass",
    "VariationPredictability",
    "WeightedTerms",
    "find_term",
    "judged",
    "kl_divergence",
    "make_term",
    "negative_log_likelihood",
    "sample_codes",
    "term",
    "term_names",
]
