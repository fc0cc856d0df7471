"""Data in double precision."""

from torch import Tensor

from axiswise.data import Sprites


class DoubleSprites(Sprites):
    """Sprites in float64."""

    def render(self, factors: Tensor) -> Tensor:
        """See `Sprites`."""
        return super().render(factors).double()
