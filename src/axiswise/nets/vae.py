"""What every variational autoencoder here has."""

from torch import Tensor, nn

from axiswise.nets.pretrained import Pretrained


class VAE(Pretrained):
    """Base of variational autoencoders; inherit from it to train a network of your own.

    The constructor takes `size` (height and width of the images) and `channels`, which follow the
    data, and whatever else it likes.

    Attributes:
        encoder: Images (batch, channel, height, width) → mean and log-variance of the codes, each
            (batch, latent).
        decoder: Latents (batch, latent) → probabilities of the images' shape, in [0, 1].
        latent_dim: Number of latents.
    """

    encoder: nn.Module
    decoder: nn.Module
    latent_dim: int

    @property
    def generator(self) -> nn.Module:
        """What its Jacobian is taken of: the decoder."""
        return self.decoder

    def generate(self, z: Tensor) -> Tensor:
        """Images of latents: what the decoder makes of them.

        Args:
            z: Latents, (batch, latent).

        Returns:
            (batch, channel, height, width), in [0, 1].
        """
        return self.decoder(z)  # type: ignore[no-any-return]
