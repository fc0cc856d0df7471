"""What all metrics take and refuse, and what importing them costs."""

import doctest
import importlib
import math

import numpy as np
import pytest
import scipy.sparse
import torch

from axiswise.metrics import (
    METRICS,
    Metric,
    activeness,
    beta_vae_draws,
    beta_vae_of_codes,
    column_shapes,
    dci,
    explicitness,
    factor_entropies,
    factor_vae_draws,
    factor_vae_of_codes,
    irs,
    jacobian_diagnostics,
    mig,
    modularity,
    mutual_information,
    perceptual_path_length,
    sap,
    udr,
    vp_pairs,
    wasserstein_correlation,
)
from axiswise.metrics.generated_codes import train_inverse

LATE = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 9.0], [0.0, 0.0]])
RNG = np.random.default_rng(0)
FACTORS = RNG.integers(0, 3, (60, 2))
CODES = FACTORS + RNG.normal(size=(60, 2))


def forest_dci(codes, factors):
    return dci(codes, factors, model="forest", rng=torch.Generator().manual_seed(0))


pairwise = pytest.mark.parametrize(
    "metric", [mutual_information, mig, modularity, explicitness, sap, irs, forest_dci]
)
binned = pytest.mark.parametrize("metric", [mutual_information, mig, modularity])


def score(result):
    return result if isinstance(result, np.ndarray) else float(result)


@pairwise
def test_tensors_lists_and_whole_floats_give_what_arrays_give(metric):
    expected = score(metric(CODES, FACTORS))
    tensors = torch.tensor(CODES, requires_grad=True), torch.tensor(FACTORS, dtype=torch.int16)
    np.testing.assert_array_equal(score(metric(*tensors)), expected)
    np.testing.assert_array_equal(score(metric(CODES.tolist(), FACTORS.tolist())), expected)
    np.testing.assert_array_equal(score(metric(CODES, FACTORS.astype(np.float32))), expected)
    np.testing.assert_array_equal(score(metric(np.asfortranarray(CODES), FACTORS)), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pairwise
def test_tensors_on_a_gpu_give_what_arrays_give(metric):
    on_gpu = metric(torch.tensor(CODES, device="cuda"), torch.tensor(FACTORS, device="cuda"))
    np.testing.assert_array_equal(score(on_gpu), score(metric(CODES, FACTORS)))


@pairwise
def test_arguments_are_left_as_they_are(metric):
    codes, factors = CODES.copy(), FACTORS.copy()
    metric(codes, factors)
    np.testing.assert_array_equal(codes, CODES)
    np.testing.assert_array_equal(factors, FACTORS)


@pairwise
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_codes_that_are_not_finite_are_named_with_their_axis(metric, bad):
    codes = CODES.copy()
    codes[7, 1] = bad
    with pytest.raises(
        ValueError, match=r"codes must be finite, got NaN or infinity on axes \[1\]"
    ):
        metric(codes, FACTORS)


@pairwise
def test_no_axis_and_no_samples_are_errors(metric):
    with pytest.raises(ValueError, match=r"codes must have at least one row.*\(60, 0\)"):
        metric(CODES[:, :0], FACTORS)
    with pytest.raises(ValueError, match=r"factors must have at least one row.*\(60, 0\)"):
        metric(CODES, FACTORS[:, :0])
    with pytest.raises(ValueError, match=r"codes must have at least one row.*\(0, 2\)"):
        metric(CODES[:0], FACTORS[:0])


@pairwise
def test_wrong_dimensions_are_errors(metric):
    with pytest.raises(ValueError, match=r"codes must have shape \(samples, latent\), got \(60,\)"):
        metric(CODES[:, 0], FACTORS)
    with pytest.raises(
        ValueError, match=r"factors must have shape \(samples, factor\), got \(60,\)"
    ):
        metric(CODES, FACTORS[:, 0])


@pairwise
def test_mismatched_lengths_are_an_error(metric):
    with pytest.raises(ValueError, match=r"codes and factors must have one row.*60 and 59 rows"):
        metric(CODES, FACTORS[:-1])


@pairwise
@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf, 1e300])
def test_factors_that_are_not_integers_are_an_error(metric, bad):
    factors = FACTORS.astype(float)
    factors[3, 0] = bad
    with pytest.raises(ValueError, match="factors must be integers"):
        metric(CODES, factors)


@pairwise
def test_numbers_of_another_kind_are_type_errors(metric):
    with pytest.raises(TypeError, match="codes must be real numbers, got complex128"):
        metric(CODES * 1j, FACTORS)
    with pytest.raises(TypeError, match="factors must be integers, got <U1"):
        metric(CODES, FACTORS.astype("<U1"))


@binned
@pytest.mark.parametrize("bins", [1, 0, -5])
def test_fewer_than_two_bins_are_an_error(metric, bins):
    with pytest.raises(ValueError, match=f"bins must be at least 2, got {bins}"):
        metric(CODES, FACTORS, bins=bins)


@binned
@pytest.mark.parametrize("bins", [5.0, "5", None])
def test_bins_that_are_not_an_integer_are_a_type_error(metric, bins):
    with pytest.raises(TypeError, match="bins must be an integer"):
        metric(CODES, FACTORS, bins=bins)


# Sixteenths, so that powers of two change no digit; the third axis knows nothing.
EXACT = np.round(16 * np.column_stack([CODES, RNG.normal(size=60)])) / 16
EVERY = [METRICS.find(name) for name in METRICS.names()]
OF_CODES = [metric for metric in EVERY if metric.of_codes]
# What a classifier's penalty makes depend on the scale; of squared units; of the widest code.
SEES_SCALE, SEES_RATIOS = {"sap", "wasserstein_correlation"}, {"irs", "infomec"}


def scores_of(metric, codes):
    options = {"model": "forest"} if metric.name == "dci" else {}
    rng = torch.Generator().manual_seed(0)
    return metric.of_arrays(codes, FACTORS, rng=rng, **options)


SCALES = (2.0**1000, 2.0**-1000, [2.0**1010, 1.0, 2.0**-1010])


@pytest.mark.parametrize(
    ("metric", "scales"),
    [
        pytest.param(metric, scales, id=f"{metric.name} {scales}")
        for metric in OF_CODES
        for scales in SCALES
        if metric.name not in (SEES_SCALE | SEES_RATIOS if np.ndim(scales) else SEES_SCALE)
    ],
)
def test_scores_that_do_not_depend_on_scale_are_the_same_at_any(metric, scales):
    assert scores_of(metric, EXACT * scales) == scores_of(metric, EXACT)


@pytest.mark.parametrize("scale", [2.0**1000, 2.0**-1000])
def test_irs_weighs_codes_and_infomec_keeps_them_by_their_share_of_the_widest(scale):
    ratios = np.array([1.0, 2.0, 2.0**-5])
    for metric in (METRICS.find(name) for name in SEES_RATIOS):
        wanted = scores_of(metric, EXACT * ratios)
        assert scores_of(metric, EXACT * ratios * scale) == wanted
    far = irs(EXACT * [2.0**1000, 2.0**-1000, 1.0], FACTORS)
    assert float(far) == far.per_code[0]
    np.testing.assert_array_equal(far.per_code, irs(EXACT, FACTORS).per_code)


def test_lines_of_sap_do_not_depend_on_scale_and_its_classifiers_end_at_any():
    wanted = sap(EXACT, FACTORS, continuous=True).predictability
    for scale in (2.0**1000, 2.0**-40, 2.0**-1000):
        found = sap(EXACT * scale, FACTORS, continuous=True)
        np.testing.assert_array_equal(found.predictability, wanted)
    usual = sap(EXACT * 1000, FACTORS).predictability
    for scale in (1e4, 1e5, 1e100, 1e300):
        np.testing.assert_allclose(sap(EXACT * scale, FACTORS).predictability, usual, atol=0.11)
    with pytest.raises(ValueError, match=r"codes must be larger.*got 4.*e-310 at most"):
        sap(EXACT * 1e-310, FACTORS)


def test_a_score_in_squared_units_is_exact_or_an_error():
    wanted = wasserstein_correlation(EXACT)
    for power in (300, -300):
        found = wasserstein_correlation(EXACT * 2.0**power)
        assert found.score == wanted.score * 2.0 ** (2 * power)
        assert found.normalised == wanted.normalised
    for power in (1000, -1000):
        with pytest.raises(ValueError, match=r"codes must have squares that float64 can represent"):
            wasserstein_correlation(EXACT * 2.0**power)


def test_scores_with_draws_of_their_own_at_any_scale():
    few = {"train": 60, "test": 30, "batch_size": 8, "rng": torch.Generator().manual_seed(0)}
    draws = factor_vae_draws((4, 5), variance_samples=50, **few)
    codes = draws.factors.numpy() * [1.0, 3.0]
    wanted = factor_vae_of_codes(codes, draws)
    for scale in (2.0**1000, 2.0**-1000):
        found = factor_vae_of_codes(codes * scale, draws)
        assert (found.score, found.votes.tolist()) == (wanted.score, wanted.votes.tolist())
    draws = beta_vae_draws((4, 5), **few)
    for scale, words in ((1e200, "squares that do not overflow"), (1e-310, "must be larger")):
        with pytest.raises(ValueError, match=words):
            beta_vae_of_codes(draws.factors.numpy() * scale, draws)


def test_udr_at_any_scale():
    ours, theirs = EXACT, EXACT[:, ::-1] + 1
    wanted = udr([ours, theirs], [np.ones(3, bool)] * 2).pairs
    found = udr([ours * 2.0**900, theirs * 2.0**-900], [np.ones(3, bool)] * 2).pairs
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("metric", OF_CODES, ids=lambda metric: metric.name)
def test_layouts_and_types_of_the_same_codes_give_the_same_scores(metric):
    wanted = scores_of(metric, EXACT)
    same = [
        torch.tensor(EXACT, requires_grad=True),
        EXACT.astype(">f8"),
        EXACT.astype(np.float32),
        np.repeat(EXACT, 2, axis=0)[::2],
        np.ma.array(EXACT),
    ]
    for codes in same:
        assert scores_of(metric, codes) == wanted


MASKED = np.ma.array(EXACT, mask=EXACT > 2)
NOT_NUMBERS = {
    "masked": (MASKED, TypeError, "must not be masked"),
    "rows of masked": (list(MASKED), TypeError, "must not be masked"),
    "objects": (EXACT.astype(object), TypeError, "real numbers, got object"),
    "dates": (EXACT.astype(int).astype("datetime64[s]"), TypeError, "real numbers, got datetime64"),
    "words": (EXACT.astype(str), TypeError, "real numbers, got <U"),
    "complex": (torch.tensor(EXACT * 1j), TypeError, "real numbers, got complex128"),
    "sparse": (torch.tensor(EXACT).to_sparse(), TypeError, "must be dense"),
    "sparse matrix": (scipy.sparse.csr_matrix(EXACT), TypeError, "must be dense"),
    "nan": (np.where(EXACT > 2, np.nan, EXACT), ValueError, "must be finite"),
    "none": (np.empty((0, 3)), ValueError, "at least one row"),
}


@pytest.mark.parametrize("kind", NOT_NUMBERS)
def test_no_metric_of_codes_takes_what_is_no_number(kind):
    given, error, words = NOT_NUMBERS[kind]
    for metric in OF_CODES:
        with pytest.raises(error, match=f"codes (must be |must have )?{words}"):
            scores_of(metric, given)
    with pytest.raises(error, match=words):
        udr([given, EXACT], [np.ones(3, bool)] * 2)


def test_no_metric_scores_a_single_sample():
    for metric in OF_CODES:
        with pytest.raises(ValueError, match=r"must have|must leave"):
            metric.of_arrays(EXACT[:1], FACTORS[:1])


def test_factors_beyond_int64_and_masked_ones_are_errors():
    with pytest.raises(ValueError, match="factors must fit into int64, got 18446744073709551615"):
        mig(EXACT, np.full((60, 1), 2**64 - 1, dtype=np.uint64))
    with pytest.raises(TypeError, match="factors must not be masked"):
        mig(EXACT, np.ma.array(FACTORS, mask=FACTORS == 1))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_udr_refuses_axes_of_unknown_information(bad):
    with pytest.raises(ValueError, match="informative must be booleans or finite numbers"):
        udr([EXACT, EXACT], [[bad, 1.0, 1.0], [1.0, 1.0, 1.0]])


IMAGES = {
    "NaN": (lambda z: (z / 0 * 0)[:, :, None, None], ValueError, "finite images"),
    "infinity": (lambda z: (z / 0)[:, :, None, None], ValueError, "finite images"),
    "complex": (
        lambda z: (z * 1j)[:, :, None, None],
        TypeError,
        "floating images, got .*complex",
    ),
    "bytes": (lambda z: z[:, :, None, None].byte(), TypeError, "floating images, got torch.uint8"),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_no_metric_of_generators_takes_images_that_are_no_numbers(kind):
    generator, error, words = IMAGES[kind]
    with pytest.raises(error, match=words):
        activeness(generator, 2, samples=3)
    with pytest.raises(error, match=words):
        perceptual_path_length(generator, 2, lambda a, b: (a - b).sum((1, 2, 3)), samples=3)
    with pytest.raises(error, match=words):
        vp_pairs(generator, 2, pairs=3)
    with pytest.raises(error, match=words):
        train_inverse(generator, 2, (2, 8, 8), steps=1, batch_size=2, width=0.1)


def test_a_jacobian_that_is_not_finite_has_no_description():
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match=r"finite Jacobian, got NaN.*latents 2 … 3"):
            jacobian_diagnostics(
                lambda z, bad=bad: z * torch.where(z > 5, bad, 1), LATE, batch_size=2
            )
        with pytest.raises(ValueError, match="columns must be finite"):
            column_shapes(torch.full((1, 1, 1, 4, 4), bad))


def test_distances_and_values_that_are_not_finite_are_errors():
    paint = lambda z: z[:, :, None, None]  # noqa: E731
    with pytest.raises(ValueError, match="distance must give finite real numbers"):
        perceptual_path_length(paint, 2, lambda a, b: (a - b).sum((1, 2, 3)) / 0, samples=3)
    with pytest.raises(ValueError, match="values must be finite"):
        activeness(paint, 2, values=(0.0, math.nan))


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (math.nan, ValueError, "metric own must give a number for own, got NaN"),
        (None, TypeError, "metric own must give a number for own, got NoneType"),
        ({"a": 1.0, "b": "x"}, TypeError, "metric own must give a number for b, got str"),
        ({"a_per_axis": torch.tensor([1.0, math.nan])}, ValueError, "for a_per_axis, got NaN"),
    ],
)
def test_a_metric_that_gives_no_number_is_named(value, error, words):
    metric = Metric("own", lambda codes: value)  # noqa: ARG005
    with pytest.raises(error, match=words):
        metric.of_arrays(EXACT, FACTORS)


def test_entropies_refuse_fractions():
    with pytest.raises(ValueError, match="factors must be integers"):
        factor_entropies([[0.5]])


@pytest.mark.parametrize(
    "name",
    ["mig", "modularity", "local", "sap", "irs", "dci", "factor_vae_score", "beta_vae_score"],
)
def test_examples_in_docstrings_hold(name):
    result = doctest.testmod(importlib.import_module(f"axiswise.metrics.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
