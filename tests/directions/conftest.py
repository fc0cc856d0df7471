"""Small scenes whose parts are known, seen through a rotation of their latents."""

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

Scenes = Callable[..., nn.Module]


class Scene(nn.Module):
    """Row i of the image shows latent i of u = z Rᵀ and nothing else: row i of R is its direction.

    Args:
        lengths: How strongly each part shows.
        bend: 0 for parts that are linear in their latent.
        kind: Type of the weights.
    """

    rotation: Tensor
    slopes: Tensor
    offsets: Tensor

    def __init__(
        self, lengths: Sequence[float], bend: float = 1.0, kind: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(7)
        size, pixels = len(lengths), 4
        normal = torch.randn(size, size, generator=rng, dtype=torch.float64)
        slopes = torch.randn(size, pixels, generator=rng, dtype=torch.float64)
        slopes *= torch.tensor(lengths)[:, None] / slopes.norm(dim=1, keepdim=True)
        offsets = torch.randn(size, pixels, generator=rng, dtype=torch.float64)
        self.latent_dim, self.bend = size, bend
        self.register_buffer("rotation", torch.linalg.qr(normal).Q.T.to(kind))
        self.register_buffer("slopes", slopes.to(kind))
        self.register_buffer("offsets", offsets.to(kind))

    def forward(self, z: Tensor) -> Tensor:
        u = (z @ self.rotation.T)[:, :, None]
        bent = self.bend * (u + self.offsets).sin()
        return ((u + bent) * self.slopes)[:, None]


@pytest.fixture(autouse=True)
def _same_weights_each_time() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def scene() -> Scenes:
    """Makes a `Scene`."""
    return Scene


@pytest.fixture
def mlp() -> Callable[..., nn.Module]:
    """Makes a network of tanh with weights of its own, latents → outputs."""

    def make(
        latents: int = 4, outputs: int = 12, kind: torch.dtype = torch.float32
    ) -> nn.Sequential:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            net = nn.Sequential(nn.Linear(latents, 16), nn.Tanh(), nn.Linear(16, outputs))
        return net.to(kind).eval()

    return make
