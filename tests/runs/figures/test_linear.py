"""PCA and ICA as linear generators, on images whose sources are known."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from axiswise.metrics import column_shapes
from axiswise.plots import Table
from axiswise.runs.figures import linear as module
from axiswise.runs.figures.linear import linear, linear_columns
from axiswise.runs.figures.parts import Drawing


def mixed(sources: torch.Tensor, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Images, and the Jacobian's columns of the linear generator that made them."""
    columns = torch.randn(sources.shape[1], 1, 4, 4, generator=rng, dtype=torch.float64)
    return torch.einsum("ni,ichw->nchw", sources, columns) + 0.5, columns


def test_ica_finds_independent_sources_up_to_sign_and_order() -> None:
    rng = torch.Generator().manual_seed(0)
    sources = (torch.rand(8000, 3, generator=rng, dtype=torch.float64) - 0.5) * 12**0.5
    images, columns = mixed(sources, rng)
    found = linear_columns("ICA", images, 3)
    lengths = found.flatten(1).norm(dim=1)[:, None] * columns.flatten(1).norm(dim=1)
    cosines = (found.flatten(1) @ columns.flatten(1).T / lengths).abs()
    assert sorted(cosines.argmax(1).tolist()) == [0, 1, 2]
    assert cosines.amax(1).min() > 0.99
    best = columns[cosines.argmax(1)]
    ratio = found.flatten(1).norm(dim=1) / best.flatten(1).norm(dim=1)
    assert ((ratio - 1).abs() < 0.05).all()  # codes of variance 1


def test_pca_gives_orthogonal_columns_of_the_covariance() -> None:
    rng = torch.Generator().manual_seed(1)
    sources = torch.randn(500, 3, generator=rng, dtype=torch.float64)
    images, _ = mixed(sources, rng)
    found = linear_columns("PCA", images, 3)
    assert found.shape == (3, 1, 4, 4)
    flat = found.flatten(1)
    # All of the covariance is theirs, as there are no more sources.
    torch.testing.assert_close(flat.T @ flat, images.flatten(1).T.cov())
    gram = flat @ flat.T
    torch.testing.assert_close(gram, gram.diag().diag(), atol=1e-9, rtol=0)
    assert gram.diag().diff().max() < 0


def test_both_come_with_a_picture_and_a_row_of_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATCHES", 300)
    images, _ = mixed(torch.rand(300, 3, dtype=torch.float64), torch.Generator().manual_seed(2))
    run = SimpleNamespace(latent_dim=2, images=lambda count: images[:count].float().clamp(0, 1))
    page: Any = SimpleNamespace(pictured={"a": run, "b": None})
    pca, ica, table = linear(page)
    assert isinstance(pca, Drawing)
    assert isinstance(ica, Drawing)
    assert (pca.file, ica.file) == ("pca.png", "ica.png")
    assert isinstance(table, Table)
    columns = linear_columns("PCA", images.float().clamp(0, 1), 2)
    hoyer = float(column_shapes(columns[None]).hoyer.mean())
    assert table.rows[0][:2] == ["PCA", f"{hoyer:.3f}"]
    page.pictured = {}
    assert linear(page) == []
