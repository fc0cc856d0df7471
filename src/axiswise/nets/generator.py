"""What every generator of images here has."""

from typing import Unpack

from torch import Tensor, nn

from axiswise.jacobian import Jacobian, JacobianOptions
from axiswise.nets.pretrained import Pretrained


class Generator(Pretrained):
    """Base of GAN generators; inherit from it to train a network of your own.

    The constructor takes `size` (height and width of the images) and `channels`, which follow the
    data, and whatever else it likes. Called with latents (batch, latent) it returns images
    (batch, channels, size, size) in [−1, 1], each sample's from its own latents alone.

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
        """What its Jacobian is taken of: itself."""
        return self

    def generate(self, z: Tensor) -> Tensor:
        """Images as the data have them.

        Args:
            z: Latents, (batch, latent).

        Returns:
            (batch, channels, size, size), in [0, 1].
        """
        return (self(z) + 1) / 2  # type: ignore[no-any-return]

    def jacobian(self, z: Tensor, **options: Unpack[JacobianOptions]) -> Jacobian:
        """The Jacobian of the images, or of hidden layers."""
        return Jacobian(self, z, **options)

    def output(self, of: Tensor | Jacobian) -> Tensor:
        """Images of latents, or of those whose Jacobian was taken, in the same pass; in [−1, 1]."""
        images: Tensor = self(of) if isinstance(of, Tensor) else of.output
        return images

    def images(self, output: Tensor) -> Tensor:
        """Images are what it returns."""
        return output
