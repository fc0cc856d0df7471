"""Functions of arrays that return a picture (a matplotlib Figure), a film or an HTML page.

None of them uses pyplot or changes global state. `save` writes a picture.
"""

from axiswise.plots.activeness import activeness
from axiswise.plots.agreement import agreement
from axiswise.plots.beside import Axis, heat_maps, hessians, traversals_beside
from axiswise.plots.columns import jacobian_columns
from axiswise.plots.cosines import column_cosines
from axiswise.plots.directions import (
    direction_clip,
    direction_cosines,
    direction_film,
    direction_importance,
    direction_sheet,
    direction_strip,
)
from axiswise.plots.reconstructions import reconstructions
from axiswise.plots.report import Clip, Gallery, Picture, Preformatted, Section, Table, report
from axiswise.plots.samples import samples
from axiswise.plots.saving import film_bytes, save, save_film
from axiswise.plots.scores import comparison, loss_curves, scores_against_radius
from axiswise.plots.traversals import traversal_video, traversals

__all__ = [
    "Axis",
    "Clip",
    "Gallery",
    "Picture",
    "Preformatted",
    "Section",
    "Table",
    "activeness",
    "agreement",
    "column_cosines",
    "comparison",
    "direction_clip",
    "direction_cosines",
    "direction_film",
    "direction_importance",
    "direction_sheet",
    "direction_strip",
    "film_bytes",
    "heat_maps",
    "hessians",
    "jacobian_columns",
    "loss_curves",
    "reconstructions",
    "report",
    "samples",
    "save",
    "save_film",
    "scores_against_radius",
    "traversal_video",
    "traversals",
    "traversals_beside",
]
