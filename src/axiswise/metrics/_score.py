"""What results of metrics share."""

from dataclasses import dataclass

from axiswise.metrics._inputs import FloatArray


@dataclass(frozen=True, eq=False)
class Score:
    """A score and its parts; `float()` gives the score."""

    score: float

    def __float__(self) -> float:
        return self.score


@dataclass(frozen=True, eq=False)
class RepeatedScore:
    """A score that was taken several times, `values`; `float()` gives the mean."""

    values: FloatArray

    @property
    def mean(self) -> float:
        """The mean: the score."""
        return float(self.values.mean())

    @property
    def std(self) -> float:
        """The standard deviation (divided by the number of values, not by one less)."""
        return float(self.values.std())

    def __float__(self) -> float:
        return self.mean
