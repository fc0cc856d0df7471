"""The grid of independent images: where its cells are, what its factors mean."""

import pickle

import jsonargparse
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from axiswise.data import FactorData, Grid, ImageSource, Sprites, ThreeDots, grid


class Flags:
    """Two-coloured images that are not square: left and right half, by two factors."""

    shape = (3, 2, 4)
    factor_sizes = (3, 5)
    factor_names = ("left", "right")

    def sample_factors(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        raise AssertionError(f"the grid draws for all cells at once, not {n} with {rng}")

    draw = sample_factors

    def render(self, factors: Tensor) -> Tensor:
        halves = factors / torch.tensor([2.0, 4.0])
        rows = halves.repeat_interleave(2, 1)[:, None, None].expand(-1, 3, 2, 4)
        return rows * torch.tensor([1.0, 0.5, 0.25])[:, None, None]


def factors_of(data: FactorData, n: int) -> Tensor:
    return data.sample_factors(n, torch.Generator().manual_seed(n))


def test_each_cell_is_the_image_of_its_own_factors() -> None:
    data = Grid(Flags(), rows=2, columns=3)
    assert data.shape == (3, 4, 12)
    factors = factors_of(data, 5)
    images = data.render(factors)
    for row in range(2):
        for column in range(3):
            first = 2 * (3 * row + column)
            cell = images[:, :, 2 * row : 2 * row + 2, 4 * column : 4 * column + 4]
            expected = Flags().render(factors[:, first : first + 2])
            torch.testing.assert_close(cell, expected, rtol=0, atol=0)


def test_a_factor_changes_its_cell_alone() -> None:
    data = Grid(Sprites(size=16))
    factors = factors_of(data, 1)
    x_of_last = data.factor_names.index("cell 1,1: x")
    moved = factors.clone()
    moved[:, x_of_last] = (factors[:, x_of_last] + 16) % 32
    changed = (data.render(moved) != data.render(factors))[0, 0]
    assert changed[16:, 16:].any()
    changed[16:, 16:] = False
    assert not changed.any()


def test_factors_run_cell_by_cell_row_by_row() -> None:
    data = Grid(Flags(), rows=2, columns=2)
    assert data.factor_sizes == (3, 5) * 4
    assert data.factor_names == (
        *("cell 0,0: left", "cell 0,0: right", "cell 0,1: left", "cell 0,1: right"),
        *("cell 1,0: left", "cell 1,0: right", "cell 1,1: left", "cell 1,1: right"),
    )
    assert isinstance(data, FactorData)


def test_cells_are_averaged_down_where_that_is_asked_for() -> None:
    data = Grid(ThreeDots(size=32), rows=1, columns=2, cell_size=16)
    assert data.shape == (1, 16, 32)
    factors = factors_of(data, 3)
    cells = ThreeDots(size=32).render(factors.view(6, 6))
    expected = functional.avg_pool2d(cells, 2).view(3, 2, 1, 16, 16).transpose(1, 2)
    torch.testing.assert_close(
        data.render(factors), torch.cat(expected.unbind(2), dim=3), rtol=0, atol=1e-6
    )


def test_many_images_are_drawn_in_parts_that_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Grid(Flags(), rows=1, columns=2)
    factors = factors_of(data, 7)
    whole = data.render(factors)
    monkeypatch.setattr(grid, "_CHUNK", 3 * 8 * 2 * 2)
    torch.testing.assert_close(data.render(factors), whole, rtol=0, atol=0)
    assert data.render(factors[:0]).shape == (0, 3, 2, 8)


def test_draws_cover_every_value_of_every_cell_independently() -> None:
    data = Grid(ThreeDots(size=8, dots=1, values=3))
    drawn = data.draw(2000, torch.Generator().manual_seed(0))
    assert drawn.shape == (2000, 8)
    assert {int(value) for value in drawn.unique()} == {0, 1, 2}
    correlations = torch.corrcoef(drawn.T.float()) - torch.eye(8)
    assert correlations.abs().max() < 0.1  # four standard errors


def test_factors_are_checked() -> None:
    data = Grid(Flags())
    wrong = torch.zeros(1, 8, dtype=torch.int64)
    wrong[0, 7] = 5
    with pytest.raises(ValueError, match=r"factors\[:, 7\] must be in 0 ... 4"):
        data.render(wrong)
    with pytest.raises(ValueError, match=r"\(n, 8\)"):
        data.render(torch.zeros(1, 2, dtype=torch.int64))


def test_loading_is_passed_on_and_comes_before_drawing() -> None:
    class Slow(Flags):
        loaded = 0

        def load(self, progress: object = None) -> None:
            self.loaded += 1
            if callable(progress):
                progress(1, 2)

    inner, told = Slow(), list[tuple[int, int | None]]()
    data = Grid(inner)
    data.load(lambda done, total: told.append((done, total)))
    assert told == [(1, 2)]
    data.draw(1)
    assert inner.loaded == 2


def test_wrong_arguments_are_refused() -> None:
    class Plain:
        shape = (1, 4, 4)

        def draw(self, n: int, rng: torch.Generator | None = None) -> Tensor:
            return torch.randint(2, (n,), generator=rng)

        def render(self, draws: Tensor) -> Tensor:
            return torch.zeros(len(draws), 1, 4, 4)

    assert isinstance(Plain(), ImageSource)
    with pytest.raises(TypeError, match=r"dataset must have known factors .* got Plain"):
        Grid(Plain())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="columns must be at least 1, got 0"):
        Grid(Sprites(), columns=0)
    with pytest.raises(ValueError, match=r"cell_size must be in .* got 65 for 64 × 64"):
        Grid(Sprites(), cell_size=65)
    with pytest.raises(ValueError, match=r"cell_size must be in .* got 2 for 2 × 4"):
        Grid(Flags(), cell_size=2)


def test_says_what_it_is_and_can_be_pickled() -> None:
    data = Grid(ThreeDots(size=8, dots=1, values=3), rows=1, cell_size=4)
    assert repr(data).startswith("Grid(ThreeDots(size=8")
    assert repr(data).endswith("rows=1, columns=2, cell_size=4)")
    factors = factors_of(data, 2)
    again = pickle.loads(pickle.dumps(data))
    torch.testing.assert_close(again.render(factors), data.render(factors), rtol=0, atol=0)


def test_is_named_in_a_recipe_with_the_data_in_its_cells() -> None:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=ImageSource)
    cells = "{class_path: axiswise.data.ThreeDots, init_args: {size: 8}}"
    words = ["--data", "axiswise.data.Grid", "--data.dataset", cells, "--data.rows", "3"]
    data = parser.instantiate(parser.parse_args(words)).data
    assert isinstance(data, Grid)
    assert data.shape == (1, 24, 16)
    unknown = "{class_path: axiswise.data.ImageFolder, init_args: {path: .}}"
    with pytest.raises(jsonargparse.ArgumentError, match="FactorData"):
        parser.parse_args(["--data", "axiswise.data.Grid", "--data.dataset", unknown])
