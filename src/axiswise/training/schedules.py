"""Schedules: pure functions of the step."""


def annealing(step: int, steps: int, anneal: float, delay: float = 0.0) -> float:
    """How far β and the penalty's weight have risen: 0 at first, linearly to 1, then 1.

    Args:
        step: Steps done before this one, 0…steps − 1.
        steps: Length of the run.
        anneal: Share of the run over which they rise, 0…1.
        delay: Share of the run before that, 0…1.

    Returns:
        0…1.
    """
    risen, length = step - delay * steps, anneal * steps
    if risen < 0:
        return 0.0
    return min(1.0, risen / length) if length > 0 else 1.0


def learning_rate(step: int, steps: int, peak: float, decay_start: float) -> float:
    """A rate that stays, then falls linearly so as to reach 0 just after the last step.

    Args:
        step: Steps done before this one, 0…steps − 1.
        steps: Length of the run.
        peak: The rate at first, > 0.
        decay_start: Share of the run with that rate, 0…1; 1 for all of it.

    Returns:
        The rate for this step.
    """
    if decay_start >= 1:
        return peak
    return peak * min(1.0, (1 - step / steps) / (1 - decay_start))
