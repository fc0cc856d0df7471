"""What a recipe may say."""

import math

import pytest

from axiswise.data import ThreeDots
from axiswise.nets import ConvVAE
from axiswise.objectives import JacobianTerm
from axiswise.training.config import EvaluationConfig, TrainConfig


def _config(**changes: object) -> TrainConfig:
    vae = ConvVAE(size=16, hidden=(8, 8), features=16, latent_dim=4)
    return TrainConfig(data=ThreeDots(size=16), model=vae, **changes)  # type: ignore[arg-type]


def test_the_defaults_are_the_paper_s_experiment() -> None:
    config = _config()
    assert (config.steps, config.batch_size, config.learning_rate) == (300_000, 64, 1e-4)
    assert config.anneal * config.steps == 100_000
    assert (config.objective.beta, config.objective.likelihood) == (4.0, "bernoulli")
    assert JacobianTerm().weight == 0.1
    evaluation = EvaluationConfig()
    assert evaluation.radius == [0.1, 0.2, 0.3, 0.6, 1.0]
    assert (evaluation.centres, evaluation.samples, evaluation.bins) == (20, 10_000, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"devices": 0}, "devices must be at least 1"),
        ({"log_every": 0}, "log_every must be at least 1"),
        ({"checkpoint_every": -5}, "checkpoint_every must be at least 1"),
        ({"constant": 1.5}, "constant must be between 0 and 1, got 1.5"),
        ({"delay": -0.1}, r"delay must be between 0 and 1, got -0\.1"),
        ({"anneal": -0.1}, "anneal must be between 0 and 1, got -0.1"),
        ({"anneal": math.nan}, "anneal must be between 0 and 1, got nan"),
        ({"learning_rate": 0.0}, "learning_rate must be > 0, got 0.0"),
        ({"learning_rate": math.nan}, "learning_rate must be > 0, got nan"),
        ({"log_every": 30}, "checkpoint_every must be a multiple of log_every = 30, got 1000"),
        ({"devices": 3}, "batch_size must be a multiple of devices = 3, got 64"),
        ({"penalty": JacobianTerm("jl1", columns=5)}, "penalty.columns must be at most the 4 lat"),
        ({"penalty": JacobianTerm("orojar", groups=5)}, "penalty.groups must be at most the 4 lat"),
    ],
)
def test_values_out_of_range_are_refused_by_name(changes: dict[str, object], message: str) -> None:
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
    ],
)
def test_a_protocol_out_of_range_is_refused_before_training(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluationConfig(**changes)  # type: ignore[arg-type]
