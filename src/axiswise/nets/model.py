"""What all models of images have in common."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, Unpack, runtime_checkable

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
        """The module whose Jacobian is taken."""
        raise NotImplementedError

    def generate(self, z: Tensor) -> Tensor:
        """Images (batch, channel, height, width) in [0, 1] of latents (batch, latent)."""
        raise NotImplementedError

    def jacobian(self, z: Tensor, **options: Unpack[JacobianOptions]) -> Jacobian:
        """The Jacobian of its generator, or of hidden layers of that."""
        return Jacobian(self.generator, z, **options)

    def layers_at(
        self,
        names: Sequence[str],
        conditioning: Mapping[str, Any],  # noqa: ARG002
    ) -> Sequence[str] | Mapping[str, float]:
        """Those of some layers that count under some conditioning, and how much if not all alike.

        A generator that grows leaves out layers that it does not run yet.
        """
        return names

    def output(self, of: Tensor | Jacobian) -> Tensor:
        """The input of a loss, at latents or from the pass of their Jacobian."""
        output: Tensor = self.generator(of) if isinstance(of, Tensor) else of.output
        return output

    def images(self, output: Tensor) -> Tensor:
        """Images in the generator's range, of an `output`."""
        return output

    def measure(self, images: Iterable[Tensor]) -> None:
        """Measure on batches of the data, (batch, channel, height, width), what is saved with it.

        That is what it then has as `measured`; nothing, if a model does not say otherwise.
        """


class Generator(Model):
    """Base of GAN generators; inherit from it to train a network of your own.

    The constructor takes `size` (height and width of the images) and `channels`, which follow the
    data, and any other arguments. Called with latents (batch, latent) it returns images
    (batch, channels, size, size) in [−1, 1], each from its own latents alone.
    """

    @property
    def generator(self) -> nn.Module:
        """The module whose Jacobian is taken: itself."""
        return self

    def generate(self, z: Tensor) -> Tensor:
        """Images (batch, channels, size, size) in [0, 1] of latents (batch, latent)."""
        return (self(z) + 1) / 2  # type: ignore[no-any-return]


@runtime_checkable
class Autoencoder(Protocol):
    """What a model that encodes images offers, beside `Model`: `VAE` does."""

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the codes of images, each (batch, latent)."""

    def encode(self, images: Tensor) -> Tensor:
        """Means of the codes of images."""

    def logits(self, z: Tensor) -> Tensor:
        """Images of latents, before the sigmoid."""
