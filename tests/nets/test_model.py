"""What every generator has, on one that is not the library's own."""

from pathlib import Path

import torch
from torch import Tensor, nn

from axiswise.nets import Generator


class Mine(Generator):
    def __init__(self, size: int, channels: int, latent_dim: int = 3) -> None:
        super().__init__()
        self.size, self.channels, self.latent_dim = size, channels, latent_dim
        self.layer = nn.Linear(latent_dim, channels * size**2)

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z).tanh().unflatten(1, (self.channels, self.size, self.size))


def test_images_are_brought_from_minus_one_to_zero() -> None:
    generator = Mine(size=4, channels=2)
    with torch.no_grad():
        generator.layer.weight.zero_()
        generator.layer.bias.copy_(torch.tensor([-100.0, 0.0, 100.0, 0.5]).repeat(8))
    images = generator.generate(torch.zeros(5, 3))
    assert images.shape == (5, 2, 4, 4)
    wanted = [0.0, 0.5, 1.0, 0.5 + float(torch.tensor(0.5).tanh()) / 2]
    torch.testing.assert_close(images[2, 1, 3], torch.tensor(wanted))


def test_it_is_saved_and_loaded_with_its_arguments(tmp_path: Path) -> None:
    generator, z = Mine(size=4, channels=2, latent_dim=6), torch.ones(2, 6)
    generator.save_pretrained(tmp_path)
    again = Mine.from_pretrained(tmp_path)
    assert again.arguments == {"size": 4, "channels": 2, "latent_dim": 6}
    assert torch.equal(again.generate(z), generator.generate(z))
