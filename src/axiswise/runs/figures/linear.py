"""PCA and ICA of images: linear generators, to compare the axes of networks with."""

import warnings

import torch
from torch import Tensor

from axiswise import plots
from axiswise.metrics import column_shapes
from axiswise.plots.report import Cell
from axiswise.runs.figures.parts import Drawing, Page, Part

_PATCHES = 10_000  # images that they are fitted to, as published
_ITERATIONS = 1_000


def linear(page: Page) -> list[Part]:
    """Columns of PCA and ICA, with as many axes as the first model, of the images it trains on."""
    run = next(iter(page.pictured.values()), None)
    if run is None:
        return []
    images = run.images(_PATCHES).cpu()
    parts: list[Part] = []
    rows: list[list[Cell]] = []
    for kind in ("PCA", "ICA"):
        columns = linear_columns(kind, images, run.latent_dim)
        picture = plots.jacobian_columns(
            columns[None],
            images.mean(0, keepdim=True),
            columns.flatten(1).norm(dim=1),
            active_above=0.0,
            activity_name="length",
        )
        caption = (
            f"{kind} of {_PATCHES:,} images: their mean, and what a step along each axis adds."
        )
        parts.append(Drawing(f"{kind.lower()}.png", picture, caption))
        shapes = column_shapes(columns[None])
        measures = (shapes.hoyer, shapes.spread, shapes.orientation)
        rows.append([kind, *(f"{float(value.nanmean()):.3f}" for value in measures)])
    header = ["linear model", "hoyer", "spread", "orientation"]
    return [*parts, plots.Table(header, rows, "Columns of PCA and ICA, mean over axes.")]


def linear_columns(kind: str, images: Tensor, latent_dim: int) -> Tensor:
    """The Jacobian's columns of a linear generator of codes of variance 1, fitted to images.

    Args:
        kind: "PCA" or "ICA", of scikit-learn.
        images: (image, channel, height, width).
        latent_dim: Number of axes.

    Returns:
        (latent, channel, height, width): PCA's components by their standard deviation, largest
        first; ICA's mixing matrix.
    """
    from sklearn.decomposition import PCA, FastICA
    from sklearn.exceptions import ConvergenceWarning

    rows = images.double().flatten(1).numpy()
    if kind == "PCA":
        model = PCA(latent_dim, random_state=0).fit(rows)
        found = model.components_ * model.explained_variance_[:, None] ** 0.5
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = FastICA(
                latent_dim, whiten="unit-variance", max_iter=_ITERATIONS, random_state=0
            ).fit(rows)
        found = model.mixing_.T
    return torch.from_numpy(found.copy()).view(latent_dim, *images.shape[1:])
