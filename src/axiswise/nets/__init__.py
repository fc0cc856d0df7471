"""Networks: torch modules and nothing else, one architecture a file."""

from axiswise.nets.biggan import BigGAN
from axiswise.nets.code_discriminator import CodeDiscriminator
from axiswise.nets.codes import CodeStatistics
from axiswise.nets.conv_vae import ConvVAE
from axiswise.nets.loading import load, load_published
from axiswise.nets.model import Autoencoder, Generator, Model
from axiswise.nets.patch_vae import PatchVAE
from axiswise.nets.pretrained import Pretrained
from axiswise.nets.progressive import ProgressiveCritic, ProgressiveGenerator
from axiswise.nets.simple_gan import PublishedSimpleCritic, SimpleCritic, SimpleGenerator
from axiswise.nets.study_vae import StudyVAE
from axiswise.nets.vae import ACTIVE_NATS, VAE

__all__ = [
    "ACTIVE_NATS",
    "VAE",
    "Autoencoder",
    "BigGAN",
    "CodeDiscriminator",
    "CodeStatistics",
    "ConvVAE",
    "Generator",
    "Model",
    "PatchVAE",
    "Pretrained",
    "ProgressiveCritic",
    "ProgressiveGenerator",
    "PublishedSimpleCritic",
    "SimpleCritic",
    "SimpleGenerator",
    "StudyVAE",
    "load",
    "load_published",
]
