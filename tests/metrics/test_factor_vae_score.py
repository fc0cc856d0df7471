"""The FactorVAE score against plain loops, of oracle codes, and of degenerate input."""

import math

import numpy as np
import pytest
import torch

from axiswise.metrics import factor_vae_draws, factor_vae_of_codes, factor_vae_score

SIZES = (4, 6, 1, 3)
FEW = {"train": 400, "test": 200, "variance_samples": 500}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def scored(encode, sizes=SIZES, **options):
    return factor_vae_score(encode, sizes, **{**FEW, **options}, rng=seeded())


def in_loops(codes, draws, threshold=0.0):
    """The protocol of the published code: a batch at a time, votes in a table, their majority."""
    rows = codes[: draws.variance_samples]
    overall = [np.var(rows[:, i], ddof=1) for i in range(rows.shape[1])]
    active = [i for i, value in enumerate(overall) if value > 1e-20 and value**0.5 >= threshold]
    batches = np.split(codes[draws.variance_samples :], len(draws.fixed))
    points = []
    for batch, fixed in zip(batches, draws.fixed.tolist(), strict=True):
        ratios = {i: np.var(batch[:, i], ddof=1) / overall[i] for i in active}
        points.append((min(ratios, key=ratios.get), fixed))
    table = {}
    for axis, fixed in points[: draws.train]:
        table.setdefault(axis, []).append(fixed)
    majority = {
        axis: min(set(votes), key=lambda factor, votes=votes: (-votes.count(factor), factor))
        for axis, votes in table.items()
    }
    right = [majority.get(axis, 0) == fixed for axis, fixed in points]
    return np.mean(right[draws.train :]), np.mean(right[: draws.train])


@pytest.mark.parametrize("threshold", [0.0, 1.5])
def test_agrees_with_the_protocol_in_plain_loops(threshold):
    draws = factor_vae_draws(SIZES, **FEW, batch_size=8, rng=seeded())
    rng = np.random.default_rng(0)
    codes = draws.factors.numpy() @ rng.normal(size=(4, 5)) + rng.normal(
        size=(len(draws.factors), 5)
    )
    codes[:, 1] *= 0.1
    codes[:, 3] = 0.3
    score = factor_vae_of_codes(codes, draws, threshold=threshold)
    assert (score.score, score.train_score) == in_loops(codes, draws, threshold)
    assert 0.3 < score.score < 0.95
    expected = codes.std(axis=0, ddof=1) >= max(threshold, 1e-9)
    assert score.active.tolist() == expected.tolist()
    assert score.votes.sum() == 400
    assert (score.votes[~expected] == 0).all()


def test_draws_hold_one_varying_factor_still_in_each_batch():
    draws = factor_vae_draws(SIZES, **FEW, batch_size=16, rng=seeded())
    assert draws.factors.shape == (500 + 600 * 16, 4)
    assert (draws.train, draws.variance_samples) == (400, 500)
    batches = draws.factors[500:].view(600, 16, 4)
    still = (batches == batches[:, :1]).all(1)
    assert still.gather(1, draws.fixed[:, None]).all()
    assert still.sum(1).double().mean() < 2.02  # and the factor of one value, and others by chance
    counts = torch.bincount(draws.fixed, minlength=4)
    assert counts[2] == 0
    assert (counts[[0, 1, 3]] > 150).all()


def test_draws_are_uniform():
    draws = factor_vae_draws(SIZES, train=4000, test=1, batch_size=2, rng=seeded())
    for part in (draws.factors[:10_000], draws.factors[10_000:]):
        for column, size in zip(part.unbind(1), SIZES, strict=True):
            share = torch.bincount(column, minlength=size).double() / len(part)
            assert len(share) == size
            assert (share - 1 / size).abs().max() < 0.02


def test_the_published_numbers_are_the_defaults():
    draws = factor_vae_draws((2, 2), rng=seeded())
    assert len(draws.factors) == 10_000 + 15_000 * 64
    assert (len(draws.fixed), draws.train) == (15_000, 10_000)


@pytest.mark.parametrize(
    "encode",
    [
        lambda factors: factors,
        lambda factors: factors.flip(1) * torch.tensor([-3.0, 0.1, 1e4, 5.0]),
        lambda factors: torch.cat([factors, factors], 1),
        lambda factors: torch.cat([torch.randn(len(factors), 3), factors], 1),
        lambda factors: torch.cat([torch.full((len(factors), 2), 0.1), factors.double()], 1),
    ],
    ids=["identity", "permuted and scaled", "duplicated", "beside noise", "beside constants"],
)
def test_axes_of_their_own_score_one(encode):
    score = scored(encode)
    assert float(score) == 1.0
    assert score.train_score == 1.0


def test_noise_scores_chance():
    """Three factors vary: a third, within what 2,000 points scatter."""
    noise = lambda factors: torch.randn(len(factors), 6, generator=seeded(1))  # noqa: E731
    score = scored(noise, test=2000, encode_at_once=1_000_000)
    assert float(score) == pytest.approx(1 / 3, abs=4 * math.sqrt(2 / 9 / 2000))


def test_a_rotation_of_two_factors_alike_cannot_tell_them():
    turned = lambda factors: factors @ torch.tensor([[1, 1], [1, -1]])  # noqa: E731
    assert float(scored(turned, (5, 5), test=1000)) == pytest.approx(0.5, abs=0.08)


def test_constant_codes_score_zero():
    score = scored(lambda factors: torch.full((len(factors), 3), 0.1))
    assert float(score) == 0.0
    assert not score.active.any()


def test_axes_below_the_threshold_are_not_looked_at():
    """The first axis tells nothing but is steadier than all others in most batches."""
    halves = lambda factors: torch.stack([factors[:, 0] * 0.01, factors[:, 1]], 1)  # noqa: E731
    assert float(scored(halves, (4, 4))) == 1.0
    seen = scored(halves, (4, 4), threshold=0.1, test=1000)
    assert seen.active.tolist() == [False, True]
    assert float(seen) == pytest.approx(0.5, abs=0.08)


def test_codes_may_be_encoded_apart_with_the_same_score():
    draws = factor_vae_draws(SIZES, **FEW, rng=seeded())
    mixed = lambda factors: factors.double() @ torch.ones(4, 4).double().triu()  # noqa: E731
    apart = factor_vae_of_codes(mixed(draws.factors).float(), draws)
    assert float(apart) == float(scored(mixed))
    assert 0.5 < float(apart) < 1.0


def test_encodes_without_gradients_in_parts_and_tells_progress():
    seen, calls = [], []

    def encode(factors):
        assert not torch.is_grad_enabled()
        seen.append(len(factors))
        return factors

    scored(encode, batch_size=2, encode_at_once=1000, progress=lambda *done: calls.append(done))
    assert seen == [1000, 700]
    assert calls == [(1000, 1700), (1700, 1700)]


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e200])
def test_codes_without_variance_are_an_error(bad):
    draws = factor_vae_draws(SIZES, **FEW, rng=seeded())
    for row in (len(draws.factors) - 1, 3)[: 1 if bad == 1e200 else 2]:
        codes = draws.factors.numpy().astype(float)
        codes[row, 1] = bad
        with pytest.raises(ValueError, match="codes must be finite"):
            factor_vae_of_codes(codes, draws)


def test_wrong_arguments_are_errors():
    with pytest.raises(ValueError, match="factor_sizes must have two factors of more than one"):
        factor_vae_draws((1, 5, 1))
    with pytest.raises(ValueError, match="batch_size must be at least 2, got 1"):
        factor_vae_draws(SIZES, batch_size=1)
    with pytest.raises(TypeError, match="train must be an integer"):
        factor_vae_draws(SIZES, train=0.5)
    draws = factor_vae_draws(SIZES, **FEW, rng=seeded())
    with pytest.raises(ValueError, match="codes must have one row for each of"):
        factor_vae_of_codes(draws.factors[1:], draws)
    with pytest.raises(ValueError, match="threshold must be at least 0, got -1"):
        factor_vae_of_codes(draws.factors, draws, threshold=-1)
    with pytest.raises(ValueError, match="encode must give one row of codes"):
        scored(lambda factors: factors[1:])
