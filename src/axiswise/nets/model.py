"""What every trained model of images here has."""

from typing import Protocol, Unpack, runtime_checkable

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


@runtime_checkable
class Autoencoder(Protocol):
    """What a model that encodes images offers, beside `Model`: `VAE` does."""

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the codes of images, each (batch, latent)."""

    def encode(self, images: Tensor) -> Tensor:
        """Means of the codes of images."""

    def logits(self, z: Tensor) -> Tensor:
        """Images of latents, before the sigmoid."""
