"""Scores of codes against known factors: plain functions of arrays, and their local forms."""

from axiswise.metrics.explicitness import Explicitness as Explicitness
from axiswise.metrics.explicitness import explicitness as explicitness
from axiswise.metrics.local import LocalScore as LocalScore
from axiswise.metrics.local import local_factors as local_factors
from axiswise.metrics.local import local_metrics as local_metrics
from axiswise.metrics.local import local_mig as local_mig
from axiswise.metrics.local import local_modularity as local_modularity
from axiswise.metrics.local import local_scores as local_scores
from axiswise.metrics.mig import MIG as MIG
from axiswise.metrics.mig import mig as mig
from axiswise.metrics.modularity import Modularity as Modularity
from axiswise.metrics.modularity import modularity as modularity
from axiswise.metrics.mutual_information import discretize as discretize
from axiswise.metrics.mutual_information import factor_entropies as factor_entropies
from axiswise.metrics.mutual_information import mutual_information as mutual_information
