"""What every generator of images here has."""

from torch import Tensor, nn

from axiswise.nets.model import Model


class Generator(Model):
    """Base of GAN generators; inherit from it to train a network of your own.

    The constructor takes `size` (height and width of the images) and `channels`, which follow the
    data, and whatever else it likes. Called with latents (batch, latent) it returns images
    (batch, channels, size, size) in [−1, 1], each sample's from its own latents alone.
    """

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
