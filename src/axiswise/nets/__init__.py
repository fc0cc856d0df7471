"""Networks: torch modules and nothing else, one architecture a file."""

from axiswise.nets.conv_vae import ConvVAE
from axiswise.nets.pretrained import Pretrained
from axiswise.nets.simple_gan import SimpleGenerator
from axiswise.nets.vae import VAE

__all__ = ["VAE", "ConvVAE", "Pretrained", "SimpleGenerator"]
