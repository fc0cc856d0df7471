"""Scores of codes against known factors, and of generators: plain functions."""

from axiswise.metrics._factor_space import FactorDraws as FactorDraws
from axiswise.metrics.activeness import activeness as activeness
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
from axiswise.metrics.generated_codes import InverseEncoder as InverseEncoder
from axiswise.metrics.generated_codes import train_inverse as train_inverse
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
from axiswise.metrics.local import local_metrics as local_metrics
from axiswise.metrics.local import local_mig as local_mig
from axiswise.metrics.local import local_modularity as local_modularity
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
