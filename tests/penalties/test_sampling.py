"""Columns, probes and groups: how they are drawn, and that estimators on them are unbiased."""

import itertools
import json
import math

import pytest
import torch
from penalty_oracles import (
    LATENT,
    PUBLISHED_PROBES,
    PUBLISHED_Z,
    REFERENCE,
    REFERENCES,
    SAMPLED,
    Z,
    assert_same_with_gradient,
    latents,
    net,
    published,
)

import axiswise as aw


def test_sampled_columns_do_not_repeat_and_are_uniform():
    index = aw.sample_columns(4000, 5, 3, rng=torch.Generator().manual_seed(0))
    assert index.shape == (4000, 3)
    assert (index.sort(1).values.diff(dim=1) > 0).all()
    shares = index.flatten().bincount(minlength=5) / 12000
    assert (shares - 0.2).abs().max() < 0.015  # 4 standard errors
    firsts = index[:, 0].bincount(minlength=5) / 4000
    assert (firsts - 0.2).abs().max() < 0.026


def test_random_signs_are_fair_and_of_the_asked_type():
    signs = aw.rademacher((100, 100), rng=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert signs.dtype == torch.float64
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert abs(signs.mean().item()) < 0.04
    assert aw.rademacher((2,)).dtype == torch.get_default_dtype()


@pytest.mark.parametrize("latent", range(2, 9))
def test_groups_are_as_equal_as_possible_and_signed(latent):
    for groups in range(2, latent + 1):
        drawn = aw.sample_groups(200, latent, groups, rng=torch.Generator().manual_seed(0))
        assert drawn.shape == (groups, 200, latent)
        assert (drawn.abs().sum(0) == 1).all()  # each latent in one group
        sizes = drawn.abs().sum(2)
        assert sizes.max() - sizes.min() <= 1
        assert 0.4 < (drawn.sum(0) == 1).double().mean() < 0.6
        assert (drawn.abs()[0].mean(0) > 0).all()  # any latent may be in the first group


def test_a_generator_of_ones_own_repeats_draws_and_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    for draw in (
        lambda rng: aw.sample_columns(6, 5, 2, rng=rng),
        lambda rng: aw.rademacher((6, 5), rng=rng),
        lambda rng: aw.sample_groups(6, 5, 2, rng=rng),
    ):
        first, second = (draw(torch.Generator().manual_seed(7)) for _ in range(2))
        other = draw(torch.Generator().manual_seed(8))
        assert torch.equal(first, second)
        assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_generator_the_global_seed_decides():
    torch.manual_seed(5)
    first = aw.sample_columns(6, 5, 2), aw.rademacher((6, 5))
    torch.manual_seed(5)
    second = aw.sample_columns(6, 5, 2), aw.rademacher((6, 5))
    assert all(map(torch.equal, first, second))


def test_too_many_or_no_sampled_columns_are_refused():
    for count in (0, 6):
        with pytest.raises(ValueError, match=f"between 1 and the 5 latents, got {count}"):
            aw.sample_columns(4, 5, count)


def test_too_many_groups_are_refused_when_sampled():
    for groups in (1, 6):
        with pytest.raises(ValueError, match=f"between 2 and the 5 latents, got {groups}"):
            aw.sample_groups(3, 5, groups)


PENALTIES = {"orojar": aw.orojar_penalty, "hessian_penalty": aw.hessian_penalty}


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("reduction", ["mean", "max"])
@pytest.mark.parametrize("name", ["linear", "mlp", "mlp_multilayer"])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_estimators_agree_with_the_published_code(penalty, name, reduction, k):
    ours = PENALTIES[penalty](
        published(name),
        PUBLISHED_Z,
        PUBLISHED_PROBES[:k],
        reduction=reduction,
        method="finite",
        epsilon=0.1,
    )
    theirs = REFERENCE[f"{penalty}/{name}/{reduction}/k{k}"].item()
    # A linear generator has no curvature: what is left there is the rounding of differences.
    assert ours.item() == pytest.approx(theirs, rel=1e-9, abs=1e-20)


TENSORFLOW = json.loads((REFERENCES / "penalties_tf.json").read_text())


def tensorflow_generator(z):
    """The two activations that the reference writes out."""
    a, b, c = z.unbind(1)
    first = [a.sin() + b * c, a**2 * b, a * (c / 2).exp(), b - c]
    second = [a * b * c, (a + b).cos(), c**2, a]
    return [torch.stack(first, 1), torch.stack(second, 1).view(-1, 1, 2, 2)]


@pytest.mark.parametrize(
    "row",
    TENSORFLOW["rows"],
    ids=lambda row: f"{row['method']} {row['k']} {row['epsilon']} {row['reduction']}",
)
def test_without_correction_estimators_agree_with_the_published_tensorflow_code(row):
    """Float64; differences of ε 0.01 leave 1e-12 of 1/ε², for the Hessian Penalty squared."""
    penalty = {"orojar": aw.orojar_penalty, "hessian": aw.hessian_penalty}[row["method"]]
    z, probes = (
        torch.tensor(TENSORFLOW[name], dtype=torch.float64)[:count]
        for name, count in (("z", None), ("probes", row["k"]))
    )
    options = {"reduction": row["reduction"], "method": "finite", "epsilon": row["epsilon"]}
    for correction, times in ((0, 1), (1, row["k"] / (row["k"] - 1))):
        given = {**options, "correction": correction}
        total = penalty(tensorflow_generator, z, probes, **given)
        each = [
            penalty(lambda z, i=i: tensorflow_generator(z)[i], z, probes, **given) for i in range(2)
        ]
        assert total.item() == pytest.approx(times * row["total"], rel=1e-9)
        assert [one.item() for one in each] == pytest.approx(
            [times * v for v in row["each"]], rel=1e-9
        )


@pytest.mark.parametrize("penalty", [aw.orojar_penalty, aw.hessian_penalty])
def test_the_correction_is_that_of_torch_var_in_value_and_gradient(penalty):
    generator, z = net(), latents()
    probes = aw.rademacher((4, *z.shape), rng=torch.Generator().manual_seed(0), dtype=z.dtype)
    values = [penalty(generator, z, probes, correction=c) for c in range(4)]
    for correction, value in enumerate(values):
        assert_same_with_gradient((4 - correction) / 4 * value, values[0], generator)


@pytest.mark.unchecked  # some are of the wrong type
@pytest.mark.parametrize("penalty", [aw.orojar_penalty, aw.hessian_penalty])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"correction": 0}, "correction must go with probes, whose variance it is of; got 0"),
        ({"correction": 0, "groups": 2}, "correction must go with probes"),
        (
            {"correction": 2, "probes": 2},
            "correction must be an integer, at least 0 and less than the 2 probes",
        ),
        ({"correction": -1, "probes": 3}, "less than the 3 probes, got -1"),
        ({"correction": 0.5, "probes": 2}, r"correction must be an integer.*got 0\.5"),
        ({"correction": None, "probes": 2}, "correction must be an integer.*got None"),
    ],
)
def test_a_correction_that_does_not_fit_is_refused(penalty, arguments, message):
    with pytest.raises(ValueError, match=message):
        penalty(net(), Z, **arguments)


@pytest.mark.parametrize("arguments", [{"columns": 2}, {"columns": 2, "all_pairs": True}])
def test_columns_have_no_correction(arguments):
    with pytest.raises(ValueError, match="correction must go with probes"):
        aw.orojar_penalty(net(), Z, correction=0, **arguments)


def sign_patterns(latent):
    return torch.tensor(list(itertools.product([-1.0, 1.0], repeat=latent)), dtype=torch.float64)


@pytest.mark.parametrize("penalty", [aw.orojar_penalty, aw.hessian_penalty])
@pytest.mark.parametrize("k", [2, 4])
def test_probes_average_to_the_exact_penalty(penalty, k):
    """Over all k-tuples of sign patterns of three latents, half of them by symmetry v ~ −v."""
    generator, z = net(latent=3), latents(1, 3)
    signs = sign_patterns(3)[:4]
    tuples = list(itertools.product(range(4), repeat=k))
    probes = signs[torch.tensor(tuples)].transpose(0, 1)  # (k, tuple, latent)
    mean = penalty(generator, z.expand(len(tuples), -1), probes)
    assert_same_with_gradient(mean, penalty(generator, z), generator)


def splits(latent, groups):
    """All ways to deal latents to groups as equally as possible, (way, group, latent)."""
    large, more = divmod(latent, groups)
    sizes = sorted([large + 1] * more + [large] * (groups - more))
    members = [
        owner
        for owner in itertools.product(range(groups), repeat=latent)
        if sorted(owner.count(group) for group in range(groups)) == sizes
    ]
    return torch.nn.functional.one_hot(torch.tensor(members)).transpose(1, 2).double()


@pytest.mark.parametrize("penalty", [aw.orojar_penalty, aw.hessian_penalty])
@pytest.mark.parametrize("groups", [2, 3, 4])
def test_groups_average_to_the_exact_penalty(penalty, groups):
    """Over all splits of four latents and all their signs."""
    latent = 4
    generator, z = net(latent=latent), latents(1, latent)
    drawn = splits(latent, groups)[:, None] * sign_patterns(latent)[None, :, None, :]
    drawn = drawn.flatten(0, 1).transpose(0, 1)  # (group, way, latent)
    mean = penalty(generator, z.expand(drawn.shape[1], -1), groups=drawn)
    assert_same_with_gradient(mean, penalty(generator, z), generator)


@pytest.mark.parametrize("penalty", [aw.orojar_penalty, aw.hessian_penalty])
def test_as_many_groups_as_latents_are_exact_at_every_draw(penalty):
    generator, z = net(), latents()
    exact = penalty(generator, z)
    for seed in range(5):
        rng = torch.Generator().manual_seed(seed)
        drawn = penalty(generator, z, groups=LATENT, rng=rng)
        assert_same_with_gradient(drawn, exact, generator)


@pytest.mark.parametrize(
    ("penalty", "arguments"),
    [
        (aw.jl1_penalty, {"columns": 1}),
        (aw.jl1_penalty, {"columns": 3}),
        (aw.jl2_penalty, {"columns": 1}),
        (aw.jl2_penalty, {"columns": 3}),
        (aw.orojar_penalty, {"probes": 2}),
        (aw.orojar_penalty, {"probes": 4}),
        (aw.orojar_penalty, {"groups": 2}),
        (aw.orojar_penalty, {"groups": 3}),
        (aw.hessian_penalty, {"probes": 2}),
        (aw.hessian_penalty, {"groups": 3}),
    ],
)
def test_drawn_values_average_to_the_exact_one(penalty, arguments):
    """20,000 seeded draws: within four standard errors, which are at most 1.2 % of the value."""
    generator, z = net(), latents(1)
    exact = penalty(generator, z).item()
    draws = penalty(
        generator,
        z.expand(20_000, -1),
        reduction=None,
        rng=torch.Generator().manual_seed(0),
        **arguments,
    )
    error = draws.std().item() / math.sqrt(len(draws))
    assert error < 0.012 * exact
    assert draws.mean().item() == pytest.approx(exact, abs=4 * error)
    assert draws.std() > 0.02 * exact  # a draw does differ from the next


@pytest.mark.parametrize(
    ("penalty", "argument", "sample"),
    [
        (aw.jl1_penalty, {"columns": 2}, lambda rng: aw.sample_columns(3, LATENT, 2, rng=rng)),
        (aw.jl2_penalty, {"columns": 2}, lambda rng: aw.sample_columns(3, LATENT, 2, rng=rng)),
        (
            aw.orojar_penalty,
            {"probes": 4},
            lambda rng: aw.rademacher((4, 3, LATENT), rng=rng, dtype=torch.float64),
        ),
        (
            aw.hessian_penalty,
            {"probes": 4},
            lambda rng: aw.rademacher((4, 3, LATENT), rng=rng, dtype=torch.float64),
        ),
        (
            aw.orojar_penalty,
            {"groups": 3},
            lambda rng: aw.sample_groups(3, LATENT, 3, rng=rng, dtype=torch.float64),
        ),
        (
            aw.hessian_penalty,
            {"groups": 3},
            lambda rng: aw.sample_groups(3, LATENT, 3, rng=rng, dtype=torch.float64),
        ),
    ],
)
def test_a_draw_can_be_repeated_by_seed_and_by_hand(penalty, argument, sample):
    generator, z = net(), latents()
    before = torch.get_rng_state()

    def drawn(seed):
        return penalty(generator, z, rng=torch.Generator().manual_seed(seed), **argument)

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    (name,) = argument
    own = sample(torch.Generator().manual_seed(1))
    by_hand = penalty(generator, z, **{name: own})
    assert torch.equal(by_hand, drawn(1))
    assert torch.equal(by_hand, penalty(generator, z, **{name: own}))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.unchecked
@pytest.mark.parametrize("penalty", SAMPLED)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probes": 1}, "probes must be at least 2, .* got 1"),
        ({"probes": 0}, "probes must be at least 2, .* got 0"),
        ({"probes": torch.ones(1, 3, 5)}, "probes must be at least 2, .* got 1"),
        ({"probes": torch.ones(2, 3, 4)}, r"probes must be .* got \(2, 3, 4\)"),
        ({"probes": torch.ones(2, 5)}, r"probes must be .* got \(2, 5\)"),
        ({"groups": 1}, "groups must be between 2 and the 5 latents, got 1"),
        ({"groups": 6}, "groups must be between 2 and the 5 latents, got 6"),
        ({"groups": torch.ones(1, 3, 5)}, "groups must be at least 2, got 1"),
        ({"groups": 2, "probes": 2}, "give one of probes, groups"),
    ],
)
def test_bad_probes_and_groups_are_refused(penalty, arguments, message):
    with pytest.raises(ValueError, match=message):
        penalty(net(), Z, **arguments)
