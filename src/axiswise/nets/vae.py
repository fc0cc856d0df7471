"""What every variational autoencoder here has."""

from torch import nn

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
