"""Scores of codes against known factors, and of generators: plain functions.

`float(result)` is the score. The rest of this page is true of all metrics; their own pages do not
repeat it.

**Codes** are (samples, latent), finite real numbers: the means of an encoder, not draws.
**Factors** are (samples, factor), whole numbers, of the same samples. Both are arrays, or tensors
on any device. To score some axes only, pass `codes[:, active]`. Metrics that learn from a part of
the samples take the first ones: samples come in random order.

**Errors.** TypeError: codes are not real numbers, factors are not integers, or a count is not an
integer. ValueError: codes or factors are not a matrix, are empty or differ in their number of
samples, codes are not finite, factors have fractions, no factor varies, or an argument is out of
range. A missing package is an ImportError, whose message has the pip line.

**`encode`** takes factors (n, factor), int64, on the device of `rng`, and returns codes (n,
latent): it renders images, then encodes them. It is called without gradients. **`factor_sizes`** is
(factor,), the number of values of each factor, which run from 0. A **`generator`** takes latents
(batch, latent), float32, on the device of `rng`, and returns images (batch, channel, height, width)
in [0, 1]. A ValueError says that one of them returned something else.

**`rng`** is the source of randomness; None is torch's global one. **`progress`** is called with the
number of steps done and their total. **`bins`** are equal-width bins of each code, 2 or more.
**`batch_size`** is the most that is computed at once; the result does not depend on it.

"disentanglement_lib" is the program of Locatello et al., ICML 2019, arXiv 1811.12359.
"""

from axiswise.metrics._factor_space import FactorDraws as FactorDraws
from axiswise.metrics.activeness import activeness as activeness
from axiswise.metrics.activeness import activeness_maps as activeness_maps
from axiswise.metrics.beta_vae_score import BetaVAEScore as BetaVAEScore
from axiswise.metrics.beta_vae_score import beta_vae_draws as beta_vae_draws
from axiswise.metrics.beta_vae_score import beta_vae_of_codes as beta_vae_of_codes
from axiswise.metrics.beta_vae_score import beta_vae_score as beta_vae_score
from axiswise.metrics.column_shapes import ColumnShapes as ColumnShapes
from axiswise.metrics.column_shapes import cell_energies as cell_energies
from axiswise.metrics.column_shapes import cell_shares as cell_shares
from axiswise.metrics.column_shapes import column_shapes as column_shapes
from axiswise.metrics.column_shapes import strongest_cell_share as strongest_cell_share
from axiswise.metrics.dci import DCI as DCI
from axiswise.metrics.dci import dci as dci
from axiswise.metrics.dci import importance_completeness as importance_completeness
from axiswise.metrics.dci import importance_disentanglement as importance_disentanglement
from axiswise.metrics.declaration import METRICS as METRICS
from axiswise.metrics.declaration import Metric as Metric
from axiswise.metrics.declaration import Subject as Subject
from axiswise.metrics.declaration import metric as metric
from axiswise.metrics.declaration import with_active as with_active
from axiswise.metrics.explicitness import Explicitness as Explicitness
from axiswise.metrics.explicitness import explicitness as explicitness
from axiswise.metrics.factor_vae_score import FactorVAEScore as FactorVAEScore
from axiswise.metrics.factor_vae_score import factor_vae_draws as factor_vae_draws
from axiswise.metrics.factor_vae_score import factor_vae_of_codes as factor_vae_of_codes
from axiswise.metrics.factor_vae_score import factor_vae_score as factor_vae_score
from axiswise.metrics.features import FEATURES as FEATURES
from axiswise.metrics.features import Features as Features
from axiswise.metrics.features import features as features
from axiswise.metrics.features import features_kind as features_kind
from axiswise.metrics.generated_codes import InverseEncoder as InverseEncoder
from axiswise.metrics.generated_codes import train_inverse as train_inverse
from axiswise.metrics.hessian_diagnostics import HessianDiagnostics as HessianDiagnostics
from axiswise.metrics.hessian_diagnostics import hessian_diagnostics as hessian_diagnostics
from axiswise.metrics.image_quality import KernelDistance as KernelDistance
from axiswise.metrics.image_quality import frechet_distance as frechet_distance
from axiswise.metrics.image_quality import kernel_distance as kernel_distance
from axiswise.metrics.infomec import InfoMEC as InfoMEC
from axiswise.metrics.infomec import infomec as infomec
from axiswise.metrics.irs import IRS as IRS
from axiswise.metrics.irs import irs as irs
from axiswise.metrics.jacobian_diagnostics import JACOBIAN_SAMPLES as JACOBIAN_SAMPLES
from axiswise.metrics.jacobian_diagnostics import JacobianDiagnostics as JacobianDiagnostics
from axiswise.metrics.jacobian_diagnostics import jacobian_diagnostics as jacobian_diagnostics
from axiswise.metrics.local import LocalScore as LocalScore
from axiswise.metrics.local import local_factors as local_factors
from axiswise.metrics.local import local_scores as local_scores
from axiswise.metrics.local import varies_locally as varies_locally
from axiswise.metrics.mean_mutual_information import MeanMutualInformation as MeanMutualInformation
from axiswise.metrics.mean_mutual_information import (
    mean_mutual_information as mean_mutual_information,
)
from axiswise.metrics.mig import MIG as MIG
from axiswise.metrics.mig import mig as mig
from axiswise.metrics.modularity import Modularity as Modularity
from axiswise.metrics.modularity import modularity as modularity
from axiswise.metrics.mutual_information import discretize as discretize
from axiswise.metrics.mutual_information import factor_entropies as factor_entropies
from axiswise.metrics.mutual_information import mutual_information as mutual_information
from axiswise.metrics.ppl import perceptual_path_length as perceptual_path_length
from axiswise.metrics.sap import SAP as SAP
from axiswise.metrics.sap import sap as sap
from axiswise.metrics.total_correlation import total_correlation as total_correlation
from axiswise.metrics.udr import UDR as UDR
from axiswise.metrics.udr import udr as udr
from axiswise.metrics.vp import VP_PROTOCOLS as VP_PROTOCOLS
from axiswise.metrics.vp import VPProtocol as VPProtocol
from axiswise.metrics.vp import VPScore as VPScore
from axiswise.metrics.vp import vp_pairs as vp_pairs
from axiswise.metrics.vp import vp_score as vp_score
from axiswise.metrics.wasserstein_correlation import (
    WassersteinCorrelation as WassersteinCorrelation,
)
from axiswise.metrics.wasserstein_correlation import (
    wasserstein_correlation as wasserstein_correlation,
)
