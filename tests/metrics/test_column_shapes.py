"""Shapes of Jacobian columns, against pictures whose numbers are known."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from axiswise.metrics import cell_shares, column_shapes, strongest_cell_share
from axiswise.metrics.column_shapes import column_scores


def one(picture):
    """A picture (height, width) as the only column at a single latent."""
    return torch.as_tensor(picture)[None, None, None]


def grating(degrees, size=32, period=8.0):
    """Stripes that run this many degrees anticlockwise from the horizontal."""
    down, right = torch.meshgrid(
        torch.arange(float(size)), torch.arange(float(size)), indexing="ij"
    )
    turn = math.radians(degrees)
    across = math.sin(turn) * right + math.cos(turn) * down
    middle = (down - size / 2 + 0.5).square() + (right - size / 2 + 0.5).square()
    return torch.cos(2 * math.pi / period * across) * torch.exp(-middle / (size / 3) ** 2)


def test_hoyer_of_k_equal_pixels():
    """That is (√n − √k)/(√n − 1), for k of n pixels."""
    for k in (1, 4, 64):
        picture = torch.zeros(8, 8)
        picture.view(-1)[torch.randperm(64, generator=torch.Generator().manual_seed(k))[:k]] = -2.0
        expected = (8 - math.sqrt(k)) / 7
        assert column_shapes(one(picture)).hoyer.item() == pytest.approx(expected, abs=1e-12)


def test_spread_of_a_spot_a_plane_and_two_edges():
    spot, edges = torch.zeros(8, 8), torch.zeros(8, 8)
    spot[2, 5] = 3.0
    edges[:, 0] = edges[:, -1] = 1.0
    # Of the edges: 3.5² across and the uniform (8² − 1)/12 along, over twice the latter.
    uniform = 63 / 12
    expected = math.sqrt((3.5**2 + uniform) / (2 * uniform))
    assert column_shapes(one(spot)).spread.item() == pytest.approx(0, abs=1e-12)
    assert column_shapes(one(torch.ones(8, 8))).spread.item() == pytest.approx(1)
    assert column_shapes(one(edges)).spread.item() == pytest.approx(expected)


@pytest.mark.parametrize("degrees", [0, 20, 45, 70, 90, 135, 160])
def test_a_grating_is_oriented_and_its_angle_is_found(degrees):
    found = column_shapes(one(grating(degrees)))
    wrong = (math.degrees(found.angle.item()) - degrees + 90) % 180 - 90
    assert abs(wrong) < 1.5
    assert found.orientation.item() > 0.9


def test_nothing_round_is_oriented():
    """A blob, and two crossed gratings, prefer no direction."""
    place = torch.arange(32.0) - 15.5
    blob = torch.exp(-(place[:, None].square() + place.square()) / 20)
    assert column_shapes(one(blob)).orientation.item() < 0.01
    crossed = grating(30) + grating(120)
    assert column_shapes(one(crossed)).orientation.item() < 0.05


def test_orientation_of_noise_is_what_the_docstring_says():
    noise = torch.randn(1, 2000, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert column_shapes(noise).orientation.mean().item() * 16 == pytest.approx(1.4, abs=0.1)


def test_numbers_do_not_depend_on_sign_scale_or_neighbours():
    columns = torch.randn(2, 3, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    whole = column_shapes(columns)
    alone = column_shapes(-5 * columns[1:, 2:])
    for name in ("hoyer", "spread", "orientation", "angle"):
        torch.testing.assert_close(getattr(whole, name)[1:, 2:], getattr(alone, name))


def test_a_zero_column_has_no_numbers():
    found = column_shapes(torch.zeros(1, 1, 1, 8, 8))
    assert all(torch.isnan(value).all() for value in (found.hoyer, found.spread, found.orientation))
    assert torch.isnan(cell_shares(torch.zeros(1, 1, 1, 8, 8), 2, 2)).all()


def test_cell_shares_against_numpy():
    columns = torch.randn(2, 3, 2, 8, 12, generator=torch.Generator().manual_seed(2))
    found = cell_shares(columns, 2, 3).numpy()
    energy = np.square(columns.double().numpy()).sum(2)
    for cell in range(6):
        row, column = divmod(cell, 3)
        part = energy[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].sum((2, 3))
        np.testing.assert_allclose(found[:, :, cell], part / energy.sum((2, 3)), rtol=1e-12)


def test_the_strongest_cells_share_by_energy_by_hand():
    """Energies of a column in two cells; the zero column adds nothing above the line or below."""
    energies = torch.tensor([[[3.0, 1.0], [0.0, 0.0]], [[0.5, 1.5], [8.0, 0.0]]])
    assert strongest_cell_share(energies) == pytest.approx((3 + 1.5 + 8) / (4 + 2 + 8))
    assert math.isnan(strongest_cell_share(torch.zeros(1, 2, 2)))


def test_columns_of_a_run_weigh_as_much_as_their_energy():
    """By hand: two cells side by side; the first axis does nothing where its latent is below 0."""
    latents = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])

    def generator(z):
        left, right = torch.zeros(2, 1, 4, 8)
        left[:, :, :4], right[:, :, 4:] = 1, 1
        first = torch.relu(z[:, 0])[:, None, None, None] * (2 * left + right)
        return first + z[:, 1, None, None, None] * right + z[:, 2, None, None, None] * 9

    run = SimpleNamespace(
        active=torch.tensor([True, True, False]),
        grid=(1, 2),
        latents=lambda _: latents,
        generator=generator,
    )
    found = column_scores(run)
    # Energies of 16 pixels: (64, 16) and 0 of the first axis, (0, 16) twice of the second.
    assert found["column_cell_share_by_energy"] == pytest.approx((64 + 2 * 16) / (80 + 2 * 16))
    assert found["column_cell_share"] == pytest.approx((0.8 + 1 + 1) / 3)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: column_shapes(torch.ones(1, 1, 1, 8, 8, dtype=torch.int64)),
            TypeError,
            "floating",
        ),
        (lambda: column_shapes(torch.ones(1, 1, 8, 8)), ValueError, r"got \(1, 1, 8, 8\)"),
        (lambda: column_shapes(torch.ones(1, 1, 1, 3, 8)), ValueError, "4 × 4 at least"),
        (lambda: cell_shares(torch.ones(1, 1, 1, 8, 8), 3, 2), ValueError, "rows must divide"),
        (lambda: cell_shares(torch.ones(1, 1, 1, 8, 8), 2, 0), ValueError, "across must divide"),
    ],
)
def test_bad_columns_and_grids_are_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
