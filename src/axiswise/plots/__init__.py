"""Pictures: functions of arrays that give matplotlib figures, a film or an HTML page.

None of them touches pyplot or any other global state. `save` writes a figure.
"""

from axiswise.plots.activeness import activeness
from axiswise.plots.columns import jacobian_columns
from axiswise.plots.cosines import column_cosines
from axiswise.plots.reconstructions import reconstructions
from axiswise.plots.report import Picture, Preformatted, Section, Table, report
from axiswise.plots.samples import samples
from axiswise.plots.saving import save
from axiswise.plots.scores import comparison, loss_curves, scores_against_radius
from axiswise.plots.traversals import traversal_video, traversals

__all__ = [
    "Picture",
    "Preformatted",
    "Section",
    "Table",
    "activeness",
    "column_cosines",
    "comparison",
    "jacobian_columns",
    "loss_curves",
    "reconstructions",
    "report",
    "samples",
    "save",
    "scores_against_radius",
    "traversal_video",
    "traversals",
]
