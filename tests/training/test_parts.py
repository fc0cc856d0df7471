"""Schedules at the beginning, in the middle and at the end."""

import pytest

from axiswise.training.parts import annealing, learning_rate


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.0), (1, 0.01), (50, 0.5), (99, 0.99), (100, 1.0), (299, 1.0)]
)
def test_annealing_rises_linearly_over_its_share_then_stays(step: int, expected: float) -> None:
    assert annealing(step, whole=300, anneal=1 / 3) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.0), (29, 0.0), (30, 0.0), (31, 0.02), (55, 0.5), (80, 1.0)]
)
def test_annealing_begins_after_its_delay(step: int, expected: float) -> None:
    assert annealing(step, 100, anneal=0.5, delay=0.3) == pytest.approx(expected, abs=1e-12)


def test_a_delay_without_annealing_is_a_jump() -> None:
    assert [annealing(step, 10, 0.0, 0.3) for step in (2, 3)] == [0.0, 1.0]


def test_annealing_over_all_steps_ends_just_below_one() -> None:
    assert annealing(299, 300, 1.0) == pytest.approx(299 / 300)


@pytest.mark.parametrize("step", [0, 299])
def test_without_annealing_the_full_weight_counts_from_the_first_step(step: int) -> None:
    assert annealing(step, 300, 0.0) == 1.0


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 2.0), (60, 2.0), (61, 1.95), (80, 1.0), (90, 0.5), (99, 0.05)]
)
def test_the_rate_stays_then_falls_to_zero_just_after_the_end(step: int, expected: float) -> None:
    found = learning_rate(step, whole=100, peak=2.0, decay_start=0.6)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("step", [0, 50, 99])
def test_a_constant_rate_never_falls(step: int) -> None:
    assert learning_rate(step, 100, 3e-4, decay_start=1.0) == 3e-4


@pytest.mark.parametrize(("step", "expected"), [(0, 1.0), (50, 0.5), (99, 0.01)])
def test_a_rate_without_constant_share_falls_from_the_start(step: int, expected: float) -> None:
    assert learning_rate(step, 100, 1.0, decay_start=0.0) == pytest.approx(expected, rel=1e-12)
