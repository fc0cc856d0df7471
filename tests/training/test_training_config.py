"""What a recipe may say."""

import math
from functools import partial
from typing import Any

import pytest

from axiswise.data import Sprites, ThreeDots
from axiswise.nets import ConvVAE, SimpleCritic, SimpleGenerator
from axiswise.objectives import (
    WGANGP,
    FactorVAE,
    InfoGAN,
    VariationPredictability,
    make_term,
)
from axiswise.runs.protocol import EvaluationProtocol
from axiswise.training.gan import GANRecipe
from axiswise.training.trainer import start
from axiswise.training.vae import VAERecipe


def _config(**changes: Any) -> VAERecipe:
    vae = partial(ConvVAE, hidden=(8, 8), features=16, latent_dim=4)
    recipe = VAERecipe(data=ThreeDots(size=16), model=vae, **changes)
    start(recipe)
    return recipe


def test_the_defaults_are_the_paper_s_experiment() -> None:
    config = _config()
    assert (config.steps, config.batch_size, config.learning_rate) == (300_000, 64, 1e-4)
    assert config.anneal * config.steps == 100_000
    assert (config.objective.beta, config.objective.likelihood) == (4.0, "bernoulli")
    assert make_term("jl1").weight == 0.1
    evaluation = EvaluationProtocol()
    assert evaluation.radius == [0.1, 0.2, 0.3, 0.6, 1.0]
    assert (evaluation.centres, evaluation.samples, evaluation.bins) == (20, 10_000, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"devices": 0}, "devices must be between 1 and 1024, got 0"),
        ({"log_every": 0}, "log_every must be at least 1"),
        ({"checkpoint_every": -5}, "checkpoint_every must be at least 1"),
        ({"decay_start": 1.5}, "decay_start must be between 0 and 1, got 1.5"),
        ({"delay": -0.1}, r"delay must be between 0 and 1, got -0\.1"),
        ({"anneal": -0.1}, "anneal must be between 0 and 1, got -0.1"),
        ({"anneal": math.nan}, "anneal must be between 0 and 1, got nan"),
        ({"learning_rate": 0.0}, "learning_rate must be > 0, got 0.0"),
        ({"learning_rate": math.nan}, "learning_rate must be > 0, got nan"),
        ({"log_every": 30}, "checkpoint_every must be a multiple of log_every = 30, got 1000"),
        ({"devices": 3}, "batch_size must be a multiple of devices = 3, got 64"),
        (
            {"terms": {"mine": make_term("jl1", columns=5)}},
            "terms.mine: columns must be at most the 4",
        ),
        (
            {"terms": {"orojar": make_term("orojar", groups=5)}},
            "terms.orojar: groups must be at most",
        ),
        (
            {"terms": {"orojar": make_term("orojar", columns=1)}},
            "terms.orojar: columns must be at least 2",
        ),
    ],
)
def test_values_out_of_range_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _config(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bins": 1}, "bins must be at least 2, got 1"),
        ({"centres": 0}, "centres must be at least 1, got 0"),
        ({"samples": 1}, "samples must be at least 2, got 1"),
        ({"radius": [0.1, 0.0]}, "radius must be above 0"),
        ({"radius": [math.nan]}, "radius must be above 0"),
        ({"vp_latents": 0}, "vp_latents must be at least 2, got 0"),
        ({"images": 1}, "images must be at least 2, got 1"),
        ({"paths": 99}, "paths must be at least 100, got 99"),
    ],
)
def test_a_protocol_out_of_range_is_refused_before_training(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluationProtocol(**changes)  # type: ignore[arg-type]


def _gan(latent_dim: int = 4, **changes: Any) -> GANRecipe:
    recipe = GANRecipe(
        data=Sprites(size=16),
        generator=partial(SimpleGenerator, latent_dim=latent_dim, width=0.05),
        critic=partial(SimpleCritic, width=0.05),
        **changes,
    )
    start(recipe)
    return recipe


def test_a_gan_s_defaults_are_those_of_orojar_s_simple_gan() -> None:
    config = _gan()
    assert config.trainer == "gan"
    assert (config.batch_size, config.learning_rate, config.betas) == (128, 2e-4, (0.5, 0.999))
    assert config.objective == WGANGP(gradient_penalty=10.0)
    assert config.terms == {}
    assert (config.anneal, config.delay) == (0.0, 0.0)
    assert VariationPredictability().weight == 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ema": 1.0}, "ema must be at least 0 and below 1, got 1.0"),
        ({"ema": -0.1}, "ema must be at least 0 and below 1, got -0.1"),
        ({"ema": math.nan}, "ema must be at least 0 and below 1, got nan"),
        ({"betas": (0.5, 1.0)}, r"betas must be at least 0 and below 1, got \(0.5, 1.0\)"),
        ({"betas": (-0.5, 0.9)}, "betas must be at least 0 and below 1"),
        ({"betas": (math.nan, 0.9)}, "betas must be at least 0 and below 1"),
        ({"terms": {"infogan": InfoGAN(latents=5)}}, "infogan: latents must be at most the 4 lat"),
        (
            {"terms": {"vp": VariationPredictability()}, "latent_dim": 1},
            "terms.vp: the generator must have two latents",
        ),
        ({"batch_size": 1}, "batch_size must be at least 2 for each of the 1 devices, got 1"),
        ({"batch_size": 3, "devices": 3}, "batch_size must be at least 2 for each of the 3 dev"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        (
            {"terms": {"mine": make_term("jl1", columns=5)}},
            "terms.mine: columns must be at most the 4",
        ),
        (
            {"terms": {"factor_vae": FactorVAE()}},
            "factor_vae: the model must encode images, a Simple",
        ),
    ],
)
def test_a_gan_s_values_out_of_range_are_refused_by_name(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        _gan(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"ema": 0.0, "betas": (0.0, 0.0), "batch_size": 2},
        {"terms": {"infogan": InfoGAN(latents=4)}},
        {"terms": {"infogan": InfoGAN(latents=1)}, "latent_dim": 1},
        {"terms": {"jl1": make_term("jl1", columns=4), "scale": make_term("jl1", normalize=True)}},
    ],
)
def test_a_gan_s_values_at_the_ends_of_their_ranges_are_taken(changes: dict[str, Any]) -> None:
    config = _gan(**changes)
    changes.pop("latent_dim", None)
    assert all(getattr(config, name) == value for name, value in changes.items())


def test_two_terms_of_one_column_in_the_log_are_refused() -> None:
    terms = {"factor_vae": FactorVAE(), "tc": make_term("jl1")}
    with pytest.raises(ValueError, match="terms must be logged by names of their own, got two 'tc"):
        _config(terms=terms)


def test_layers_that_are_not_there_are_refused_before_anything_starts() -> None:
    with pytest.raises(ValueError, match=r"terms\.jl1: layers must name modules.*0, 1.*got 99, x"):
        _config(terms={"jl1": make_term("jl1", layers=["0", "99", "x"])})


def test_more_latents_than_there_are_are_refused_for_vp() -> None:
    with pytest.raises(ValueError, match=r"evaluation\.vp_latents must be at most the 4 latents"):
        EvaluationProtocol(vp_latents=5).check(4, ThreeDots())
