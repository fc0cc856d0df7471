"""What every trained model of images here has."""

from typing import Unpack

from torch import Tensor, nn

from axiswise.jacobian import Jacobian, JacobianOptions
from axiswise.nets.pretrained import Pretrained


class Model(Pretrained):
    """Base of models that turn latents into images; the constructor takes `size` and `channels`.

    Attributes:
        size: Height and width of the images.
        channels: Channels of the images.
        latent_dim: Number of latents.
    """

    size: int
    channels: int
    latent_dim: int

    @property
    def generator(self) -> nn.Module:
        """What its Jacobian is taken of."""
        raise NotImplementedError

    def generate(self, z: Tensor) -> Tensor:
        """Images of latents (batch, latent), as the data have them, in [0, 1]."""
        raise NotImplementedError

    def jacobian(self, z: Tensor, **options: Unpack[JacobianOptions]) -> Jacobian:
        """The Jacobian of its generator, or of hidden layers of that."""
        return Jacobian(self.generator, z, **options)

    def output(self, of: Tensor | Jacobian) -> Tensor:
        """What a loss is taken of, at some latents, or from the pass that took their Jacobian."""
        output: Tensor = self.generator(of) if isinstance(of, Tensor) else of.output
        return output

    def images(self, output: Tensor) -> Tensor:
        """Images in the generator's range, of what `output` gives."""
        return output
