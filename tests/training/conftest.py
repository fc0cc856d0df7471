"""What tests of trainings share."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def _double() -> Iterator[None]:
    """WGAN-GP's critic has gradients that are 0 but for rounding, which Adam would blow up."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
