"""Codes for a generator without an encoder: a network that learns to invert it."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from axiswise.metrics._generators import (
    ImageGenerator,
    checked_images,
    device_of,
    seeded_network,
)
from axiswise.nets import SimpleCritic
from axiswise.support.checks import check_count
from axiswise.support.progress import Progress, no_progress


class InverseEncoder(nn.Module):
    """Images (image, channel, size, size) in [0, 1] to codes (image, latent).

    An `axiswise.nets.SimpleCritic` of this width; size is a power of 2, at least 8.
    """

    def __init__(self, size: int, channels: int, latent_dim: int, width: float) -> None:
        super().__init__()
        self.network = SimpleCritic(size, channels, width, outputs=latent_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Predicts the latents, (image, latent), of images in [0, 1]."""
        centred = (2 * images - 1).contiguous(memory_format=torch.channels_last)
        codes: Tensor = self.network(centred)
        return codes


@torch.enable_grad()  # whoever wants codes is likely to have turned gradients off
def train_inverse(
    generator: ImageGenerator,
    latent_dim: int,
    image_shape: Sequence[int],
    *,
    steps: int = 2_000,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    width: float = 0.25,
    rng: torch.Generator | None = None,
    progress: Progress = no_progress,
) -> InverseEncoder:
    """Trains an encoder to predict the latents of generated images, so that real ones get codes.

    Standard-normal latents and their images, new in each step; mean squared error; Adam, whose
    learning rate falls to zero along a cosine. Where several latents give the same image the
    encoder learns their mean: an axis that changes nothing gets a constant code. Codes of real
    images are as good as the generator's images are similar to them.

    Args:
        generator: Latents to square images.
        latent_dim: The number of latents.
        image_shape: Of the images, (channel, size, size); size a power of 2, at least 8.
        steps: The number of steps.
        batch_size: Images in a step.
        learning_rate: Adam's, at first; above 0.
        width: Scales the numbers of channels of the encoder, > 0.
        rng: Also of the initial weights.

    Returns:
        The encoder, on the device of `rng`, in eval mode, its weights without gradients.
    """
    latent_dim = check_count("latent_dim", latent_dim, 1)
    steps = check_count("steps", steps, 1)
    batch_size = check_count("batch_size", batch_size, 1)
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be above 0, got {learning_rate}")
    shape = tuple(image_shape)
    if len(shape) != 3 or shape[1] != shape[2]:
        raise ValueError(f"image_shape must be (channel, size, size), got {shape}")
    device = device_of(rng)
    build = partial(InverseEncoder, shape[1], shape[0], latent_dim, width)
    encoder = seeded_network(build, rng, device)
    optimiser = torch.optim.Adam(encoder.parameters(), learning_rate, foreach=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        z = torch.randn(batch_size, latent_dim, generator=rng, device=device)
        with torch.no_grad():
            images = checked_images(generator(z), batch_size)
        if tuple(images.shape[1:]) != shape:
            raise ValueError(
                f"generator must give images of image_shape {shape}, got {tuple(images.shape[1:])}"
            )
        optimiser.zero_grad()
        F.mse_loss(encoder(images), z).backward()
        optimiser.step()
        schedule.step()
        progress(step + 1, steps)
    return encoder.eval().requires_grad_(False)
