"""The local protocol: what is drawn, how often, and what ideal codes score."""

import math

import numpy as np
import pytest
import torch

from axiswise.metrics import (
    LocalScore,
    local_factors,
    local_scores,
    mig,
    modularity,
    varies_locally,
    with_active,
)

DOTS = (64,) * 6


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def over_active(active):
    """The published metrics, over all axes and over active ones."""

    def both(codes, factors):
        return {"mig": mig(codes, factors, 5), "modularity": modularity(codes, factors, 5)}

    return {"both": with_active(both, active)}


def identity(factors):
    return factors


def drawn(sizes, radius, centre, samples=20_000, **options):
    return local_factors(sizes, radius, samples, centre, rng=seeded(), **options)


# What is drawn.


def test_held_factors_stay_at_the_centre_and_others_are_drawn_as_without():
    """As the authors' Cars3D: the model has 183 values in no order."""
    cars, centre = (4, 24, 183), [2, 20, 100]
    held, free = (drawn(cars, 0.1, centre, held=which) for which in ((2,), ()))
    assert held.unique(dim=0)[:, [0, 2]].unique(dim=0).tolist() == [[2, 100]]
    assert held[:, 1].unique().tolist() == [18, 19, 20, 21, 22]
    assert torch.equal(held[:, 1], free[:, 1])
    assert free[:, 2].unique().tolist() == list(range(82, 119))
    assert not varies_locally((4, 183), 0.1, held=(1,))
    seen = []
    local_scores(
        lambda factors: seen.append(factors) or factors,
        cars, 0.1, samples=50, centres=3, held=[2], rng=seeded(),
    )  # fmt: skip
    assert len(torch.cat(seen)[:, 2].unique()) <= 3
    with pytest.raises(ValueError, match=r"held must be indices .* in 0 ... 2, got \[3\]"):
        drawn(cars, 0.1, centre, held=[3])
    with pytest.raises(ValueError, match=r"but for held \[1\]"):
        local_scores(identity, (4, 183), 0.1, held=[1])


@pytest.mark.parametrize(
    ("centre", "radius", "low", "high"),
    [
        (32, 0.1, 26, 38),  # floor(6.4) = 6 to each side
        (2, 0.1, 0, 8),
        (63, 0.1, 57, 63),
        (10, 0.3, 0, 29),
        (50, 0.6, 12, 63),
        (0, 1.0, 0, 63),
        (63, 7.5, 0, 63),
    ],
)
def test_values_within_reach_that_exist_are_drawn_uniformly(centre, radius, low, high):
    """No clamping: at the end of the range the last value is drawn as often as the others."""
    counts = torch.bincount(drawn((64,), radius, [centre])[:, 0], minlength=64).double()
    assert counts[:low].sum() == counts[high + 1 :].sum() == 0
    expected = 20_000 / (high - low + 1)
    chi_squared = ((counts[low : high + 1] - expected) ** 2 / expected).sum().item()
    degrees = high - low
    assert chi_squared < degrees + 5 * math.sqrt(2 * degrees)


def test_factors_are_drawn_independently():
    factors = drawn((64, 64), 0.1, [20, 40]).double()
    assert abs(torch.corrcoef(factors.T)[0, 1].item()) < 0.03


def test_factors_below_the_cutoff_stay_at_the_centre():
    factors = drawn((9, 10, 64), 1.0, [4, 4, 4])
    assert factors[:, 0].unique().tolist() == [4]
    assert factors[:, 1].unique().tolist() == list(range(10))
    assert factors[:, 2].unique().tolist() == list(range(64))


def test_the_cutoff_is_an_argument():
    factors = drawn((9, 10), 1.0, [4, 4], continuity_cutoff=2)
    assert factors[:, 0].unique().tolist() == list(range(9))


def test_a_reach_below_one_value_stays_at_the_centre():
    assert drawn((64,), 0.015, [5]).unique().tolist() == [5]
    assert drawn((64,), 0.0, [5]).unique().tolist() == [5]


def test_a_reach_that_is_whole_but_for_rounding_is_whole():
    assert 0.29 * 100 < 29
    assert drawn((100,), 0.29, [50]).unique().tolist() == list(range(21, 80))


def test_factors_have_the_promised_shape_type_and_repeat_with_the_seed():
    factors = drawn(DOTS, 0.1, torch.tensor([3, 9, 20, 33, 50, 63]), samples=7)
    assert factors.shape == (7, 6)
    assert factors.dtype == torch.int64
    assert torch.equal(factors, drawn(DOTS, 0.1, [3, 9, 20, 33, 50, 63], samples=7))


def test_without_rng_the_global_state_is_used():
    torch.manual_seed(3)
    first = local_factors((64,), 1.0, 20, [0])
    torch.manual_seed(3)
    assert torch.equal(first, local_factors((64,), 1.0, 20, [0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"factor_sizes": ()}, "factor_sizes must name at least one"),
        ({"factor_sizes": (64, 0)}, "factor_sizes must be at least 1, got 0"),
        ({"radius": -0.1}, "radius must be finite and at least 0, got -0.1"),
        ({"radius": math.nan}, "radius must be finite"),
        ({"samples": 0}, "samples must be at least 1"),
        ({"centre": [1]}, "centre must have one value for each of 2 factors"),
        ({"centre": [1, 64]}, "centre must be below factor_sizes"),
        ({"centre": [1, -1]}, "centre must be at least 0, got -1"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {"factor_sizes": (64, 64), "radius": 0.1, "samples": 5, "centre": [1, 2]}
    with pytest.raises(ValueError, match=message):
        local_factors(**(arguments | change))


def test_fractions_are_type_errors():
    with pytest.raises(TypeError, match=r"centre must be an integer, got 0\.5"):
        local_factors((64,), 0.1, 5, [0.5])
    with pytest.raises(TypeError, match=r"factor_sizes must be an integer, got 6\.4"):
        local_factors((6.4,), 0.1, 5, [0])


# What ideal codes score.


def ideal_gap(centre):
    """The information of 5 bins about k values around a centre, as a share of their log k nats."""
    low, high = max(0, centre - 6), min(63, centre + 6)
    values = high - low + 1
    bins = [min(4, math.floor(5 * i / (values - 1))) for i in range(values)]
    shares = [bins.count(b) / values for b in range(5)]
    return -sum(p * math.log(p) for p in shares) / math.log(values)


def test_ideal_axes_of_three_dots_score_what_their_bins_allow():
    expected = sum(map(ideal_gap, range(64))) / 64
    assert expected == pytest.approx(0.636, abs=2e-3)
    score = local_scores(identity, DOTS, 0.1, rng=seeded())["mig"]
    # One centre's score deviates by about 0.013, the mean of 20 by about 0.003.
    assert score.mean == pytest.approx(expected, abs=0.012)


def test_ideal_axes_turned_at_random_within_each_dot_score_0_29():
    angles = seeded(1)

    def turned(factors):  # one batch for each centre, so each centre has angles of its own
        turn = torch.rand(3, generator=angles, dtype=torch.float64) * 2 * math.pi
        x, y = factors.double()[:, 0::2], factors.double()[:, 1::2]
        return torch.cat([x * turn.cos() - y * turn.sin(), x * turn.sin() + y * turn.cos()], dim=1)

    score = local_scores(
        turned, DOTS, 0.1, samples=4_000, centres=80, batch_size=4_000, rng=seeded()
    )
    assert float(score["mig"]) == pytest.approx(0.29, abs=0.04)
    assert float(score["modularity"]) > 0.8


def test_six_ideal_and_four_noise_axes_and_the_active_ones_alone():
    noise = seeded(1)

    def encode(factors):
        return torch.cat([factors, torch.randn(len(factors), 4, generator=noise)], dim=1)

    metrics = over_active(torch.arange(10) < 6)
    scores = local_scores(encode, DOTS, 0.1, metrics, rng=seeded())
    assert scores["modularity"].mean == pytest.approx(0.79, abs=0.02)
    assert scores["modularity_active"].mean == pytest.approx(1.0, abs=1e-4)
    assert scores["mig_active"].mean == pytest.approx(scores["mig"].mean, abs=1e-3)


def test_local_modularity_of_ideal_axes_is_one():
    scores = local_scores(identity, DOTS, 0.1, samples=2_000, centres=3, rng=seeded())
    assert scores["modularity"].mean == pytest.approx(1.0, abs=1e-3)


def test_radius_one_of_factors_that_all_vary_is_the_global_score():
    score = local_scores(
        identity, (64, 64), 1.0, {"mig": mig}, samples=4_000, centres=2, rng=seeded()
    )["mig"]
    factors = torch.randint(64, (4_000, 2), generator=seeded(1))
    assert score.mean == pytest.approx(float(mig(factors, factors)), abs=0.02)


# How they are scored.


def test_values_are_those_of_the_metrics_around_each_centre():
    centres, shapes = [], []

    def middle(codes, factors):
        np.testing.assert_array_equal(codes, factors * 2.0)
        assert codes.dtype == np.float64
        assert factors.dtype == np.int64
        shapes.append(codes.shape)
        centres.append(factors[:, 0].mean())
        return centres[-1]

    steps = []
    scores = local_scores(
        lambda factors: factors * 2,
        (64, 64),
        0.1,
        {"middle": middle, "one": lambda *_: 1},
        samples=50,
        centres=4,
        rng=seeded(),
        progress=lambda done, total: steps.append((done, total)),
    )
    assert list(scores) == ["middle", "one"]
    assert shapes == [(50, 2)] * 4
    assert scores["middle"].values.tolist() == centres
    assert scores["middle"].mean == float(scores["middle"]) == pytest.approx(np.mean(centres))
    assert scores["middle"].std == pytest.approx(np.std(centres))
    assert scores["one"].std == 0.0
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_deviation_is_over_the_centres():
    assert LocalScore(np.array([1.0, 3.0])).std == 1.0


def test_each_sample_is_encoded_once_in_batches_and_without_gradients():
    sizes = []
    weight = torch.ones(2, 2, requires_grad=True)

    def encode(factors):
        sizes.append(len(factors))
        assert not torch.is_grad_enabled()
        return factors.float() @ weight

    metrics = over_active([True, False])
    local_scores(encode, (64, 64), 0.1, metrics, samples=25, centres=2, batch_size=10)
    assert sizes == [10, 10, 5] * 2


def test_seeds_repeat_scores_whatever_the_batch_size():
    options = {"samples": 200, "centres": 3}
    first = local_scores(identity, DOTS, 0.1, rng=seeded(5), **options)
    second = local_scores(identity, DOTS, 0.1, rng=seeded(5), batch_size=64, **options)
    other = local_scores(identity, DOTS, 0.1, rng=seeded(6), **options)
    np.testing.assert_array_equal(first["mig"].values, second["mig"].values)
    assert (first["mig"].values != other["mig"].values).all()


def test_the_same_seed_gives_the_same_centres_at_every_radius():
    def middles(radius):
        metrics = {"middle": lambda _, factors: factors[:, 0].mean()}
        scores = local_scores(identity, (1000,), radius, metrics, samples=3, rng=seeded())
        return scores["middle"].values

    np.testing.assert_allclose(middles(0.001), middles(0.003), atol=4)


def test_encoders_may_return_arrays():
    options = {"samples": 100, "centres": 2}
    as_array = local_scores(lambda f: f.numpy() * 0.5, DOTS, 0.1, rng=seeded(), **options)["mig"]
    as_tensor = local_scores(lambda f: f * 0.5, DOTS, 0.1, rng=seeded(), **options)["mig"]
    np.testing.assert_array_equal(as_array.values, as_tensor.values)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_factors_are_drawn_where_the_generator_is():
    def encode(factors):
        assert factors.device.type == "cuda"
        return factors.float()

    rng = torch.Generator("cuda").manual_seed(0)
    scores = local_scores(encode, DOTS, 0.1, centres=3, rng=rng)
    assert scores["mig"].mean == pytest.approx(0.636, abs=0.04)


@pytest.mark.parametrize("sizes", [(9, 5), (64, 64)])
def test_a_radius_that_varies_no_factor_is_an_error_before_anything_is_encoded(sizes):
    def encode(_):
        raise AssertionError

    with pytest.raises(ValueError, match=r"radius 0\.01 varies no factor"):
        local_scores(encode, sizes, 0.01)


def test_codes_that_are_not_finite_are_named():
    with pytest.raises(ValueError, match="codes must be finite"):
        local_scores(lambda factors: factors / 0.0, DOTS, 0.1, samples=10)


def test_codes_of_another_number_are_an_error():
    with pytest.raises(ValueError, match=r"encode must give one row.*10 rows of factors, got 9"):
        local_scores(lambda factors: factors[1:], DOTS, 0.1, samples=10)


@pytest.mark.parametrize("name", ["samples", "centres", "batch_size"])
def test_counts_below_one_are_errors(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        local_scores(identity, DOTS, 0.1, **{name: 0})


def test_no_metrics_are_an_error():
    with pytest.raises(ValueError, match="metrics must name at least one"):
        local_scores(identity, DOTS, 0.1, {})


def test_masks_of_active_axes_are_checked():
    with pytest.raises(TypeError, match="active must be boolean, got int64"):
        over_active(torch.tensor([0, 1]))
    for active in ([True, True], [[True, False]]):
        with pytest.raises(ValueError, match="active must have one entry for each of 6 axes"):
            local_scores(identity, DOTS, 0.1, over_active(active), samples=10)


def test_without_active_axes_there_are_no_second_scores():
    scores = local_scores(identity, (64, 64), 0.1, over_active([False, False]), samples=50)
    assert sorted(scores) == ["mig", "modularity"]
