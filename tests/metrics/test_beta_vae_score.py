"""The BetaVAE score against plain loops, of oracle codes, and of degenerate input."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from axiswise.metrics import beta_vae_draws, beta_vae_of_codes, beta_vae_score

SIZES = (4, 6, 1, 3)
FEW = {"train": 400, "test": 200}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def scored(encode, sizes=SIZES, **options):
    return beta_vae_score(encode, sizes, **{**FEW, **options}, rng=seeded())


def in_loops(codes, draws, c=1.0):
    """The protocol of the published code: a point at a time, then scikit-learn's classifier."""
    points = len(draws.fixed)
    first, second = np.split(codes, 2)
    features = [
        np.mean(np.abs(a - b), axis=0)
        for a, b in zip(np.split(first, points), np.split(second, points), strict=True)
    ]
    fixed = draws.fixed.numpy()
    classifier = LogisticRegression(C=c, max_iter=100_000, tol=1e-9)
    classifier.fit(features[: draws.train], fixed[: draws.train])
    return (
        classifier.score(features[draws.train :], fixed[draws.train :]),
        classifier.score(features[: draws.train], fixed[: draws.train]),
    )


@pytest.mark.parametrize("c", [1.0, 100.0])
@pytest.mark.parametrize("points", [(400, 200), (37, 500)])
def test_agrees_with_the_protocol_in_plain_loops(c, points):
    draws = beta_vae_draws(SIZES, train=points[0], test=points[1], batch_size=8, rng=seeded())
    rng = np.random.default_rng(0)
    codes = draws.factors.numpy() @ rng.normal(size=(4, 5)) + rng.normal(
        size=(len(draws.factors), 5)
    )
    codes[:, 3] = 0.3
    score = beta_vae_of_codes(codes, draws, c=c)
    assert (score.score, score.train_score) == pytest.approx(in_loops(codes, draws, c), abs=1e-12)
    assert 0.35 < score.score < 0.95


def test_draws_share_one_varying_factor_in_each_pair():
    draws = beta_vae_draws(SIZES, **FEW, batch_size=16, rng=seeded())
    assert draws.factors.shape == (2 * 600 * 16, 4)
    assert draws.train == 400
    first, second = draws.factors.view(2, 600, 16, 4)
    same = (first == second).all(1)
    assert same.gather(1, draws.fixed[:, None]).all()
    assert same.sum(1).double().mean() < 2.02  # and the factor of one value, and others by chance
    assert (first != first[:, :1]).any(1)[:, [0, 1, 3]].all()  # it is not held from pair to pair
    counts = torch.bincount(draws.fixed, minlength=4)
    assert counts[2] == 0
    assert (counts[[0, 1, 3]] > 150).all()


def test_draws_are_uniform():
    draws = beta_vae_draws(SIZES, train=4000, test=1, batch_size=2, rng=seeded())
    for part in draws.factors.chunk(2):
        for column, size in zip(part.unbind(1), SIZES, strict=True):
            share = torch.bincount(column, minlength=size).double() / len(part)
            assert len(share) == size
            assert (share - 1 / size).abs().max() < 0.02


def test_the_published_numbers_are_the_defaults():
    draws = beta_vae_draws((2, 2), rng=seeded())
    assert len(draws.factors) == 2 * 15_000 * 64
    assert (len(draws.fixed), draws.train) == (15_000, 10_000)


@pytest.mark.parametrize(
    "encode",
    [
        lambda factors: factors,
        lambda factors: factors.flip(1) * torch.tensor([-3.0, 0.5, 1e2, 5.0]),
        lambda factors: torch.cat([factors, factors], 1),
        lambda factors: torch.cat([torch.full((len(factors), 2), 0.1), factors.double()], 1),
    ],
    ids=["identity", "permuted and scaled", "duplicated", "beside constants"],
)
def test_axes_of_their_own_score_one(encode):
    score = scored(encode)
    assert float(score) == 1.0
    assert score.train_score == 1.0


def test_noise_and_constant_codes_score_chance():
    """Three factors vary: a third, within what 2,000 points scatter."""
    noise = lambda factors: torch.randn(len(factors), 4, generator=seeded(1))  # noqa: E731
    constant = lambda factors: torch.full((len(factors), 4), 0.1)  # noqa: E731
    for encode in (noise, constant):
        score = scored(encode, test=2000, encode_at_once=1_000_000)
        assert float(score) == pytest.approx(1 / 3, abs=4 * math.sqrt(2 / 9 / 2000))


def test_codes_may_be_encoded_apart_with_the_same_score():
    draws = beta_vae_draws(SIZES, **FEW, batch_size=4, rng=seeded())
    mixed = lambda factors: factors.double() @ torch.ones(4, 4).double().triu()  # noqa: E731
    apart = beta_vae_of_codes(mixed(draws.factors).float(), draws)
    assert float(apart) == float(scored(mixed, batch_size=4))
    assert 0.5 < float(apart) < 1.0


def test_encodes_without_gradients_in_parts_and_tells_progress():
    seen, calls = [], []

    def encode(factors):
        assert not torch.is_grad_enabled()
        seen.append(len(factors))
        return factors

    scored(encode, batch_size=1, encode_at_once=1000, progress=lambda *done: calls.append(done))
    assert seen == [1000, 200]
    assert calls == [(1000, 1200), (1200, 1200)]


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e200])
def test_codes_that_are_not_finite_are_an_error(bad):
    draws = beta_vae_draws(SIZES, **FEW, rng=seeded())
    codes = draws.factors.numpy().astype(float)
    codes[3, 1] = bad
    with pytest.raises(ValueError, match="codes must be finite"):
        beta_vae_of_codes(codes, draws)


def test_wrong_arguments_are_errors():
    with pytest.raises(ValueError, match="factor_sizes must have two factors of more than one"):
        beta_vae_draws((1, 5, 1))
    with pytest.raises(ValueError, match="test must be at least 1, got 0"):
        beta_vae_draws(SIZES, test=0)
    draws = beta_vae_draws(SIZES, **FEW, rng=seeded())
    with pytest.raises(ValueError, match="codes must have one row for each of"):
        beta_vae_of_codes(draws.factors[1:], draws)
    with pytest.raises(ValueError, match="c must be above 0, got 0"):
        beta_vae_of_codes(draws.factors, draws, c=0)
