"""What all variational autoencoders have in common."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from axiswise.jacobian import Jacobian, JacobianOptions
from axiswise.nets.codes import CodeStatistics
from axiswise.nets.model import Model
from axiswise.support.precision import full_precision

ACTIVE_NATS = 0.01  # of KL divergence, above which an axis counts as active
CODES = "codes"  # key of config.json


class VAE(Model):
    """Base of variational autoencoders; inherit from it to train a network of your own.

    The constructor takes `size` (height and width of the images) and `channels`, which follow the
    data, and any other arguments.

    Attributes:
        encoder: Images (batch, channel, height, width) → mean and log-variance of the codes, each
            (batch, latent).
        decoder: Latents (batch, latent) → probabilities of the images' shape, in [0, 1].
    """

    encoder: nn.Module
    decoder: nn.Module
    _codes: CodeStatistics | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities, from the means of the codes of images in [0, 1]."""
        mean, _ = self.encoder(images)
        return self.decoder(mean)  # type: ignore[no-any-return]

    @property
    def generator(self) -> nn.Module:
        """The module whose Jacobian is taken: the decoder."""
        return self.decoder

    def generate(self, z: Tensor) -> Tensor:
        """Images (batch, channel, height, width) in [0, 1] of latents (batch, latent)."""
        return self.decoder(z)  # type: ignore[no-any-return]

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the codes of images, each (batch, latent)."""
        mean, log_variance = self.encoder(images)
        return mean, log_variance

    @property
    def code_statistics(self) -> CodeStatistics | None:
        """How the codes of the images that it was trained on are distributed, saved with it.

        None where that is not known, as of weights that have changed since.
        """
        found = self._codes
        return None if found is None or found.weights != self.digest else found

    @code_statistics.setter
    def code_statistics(self, found: CodeStatistics | None) -> None:
        self._codes = None if found is None else replace(found, weights=self.digest)

    @torch.no_grad()
    def measure(self, images: Iterable[Tensor]) -> None:
        """Measure how codes are distributed; not kept where they are not finite."""
        self.code_statistics = CodeStatistics.of(map(self.posterior, images))

    @property
    def measured(self) -> dict[str, Any]:
        """The statistics of codes, for config.json."""
        found = self.code_statistics
        return {} if found is None else {CODES: asdict(found)}

    def take_measured(self, about: Mapping[str, Any]) -> None:
        """Take over the statistics of codes, of config.json."""
        if (given := about.get(CODES)) is not None:
            self._codes = CodeStatistics(**given)
            if len(self._codes.mean) != self.latent_dim:
                raise ValueError(f"{CODES} must be of {self.latent_dim} latents")

    def encode(self, images: Tensor) -> Tensor:
        """Means of the codes, (batch, latent), of images in [0, 1]."""
        mean: Tensor = self.encoder(images)[0]
        return mean

    def logits(self, z: Tensor) -> Tensor:
        """Logits of images, (batch, channel, height, width), in float32 at least.

        A decoder that is an `nn.Sequential` ending in a sigmoid is called without it; of any other,
        they are the logits of its probabilities, clipped to 1e-6 … 1 − 1e-6.
        """
        body = self._before_sigmoid
        return _logit(self.decoder(z)) if body is None else full_precision(body(z))

    def jacobian(self, z: Tensor, **options: Unpack[JacobianOptions]) -> Jacobian:
        """The Jacobian of the probabilities, or of hidden layers; `output` takes its logits."""
        body = None if options.get("layers") else self._before_sigmoid
        if body is None:
            return Jacobian(self.decoder, z, **options)
        return Jacobian(body, z, then=nn.Sigmoid(), **options)  # type: ignore[misc]

    def output(self, of: Tensor | Jacobian) -> Tensor:
        """The logits at latents, or from the pass of their Jacobian."""
        if isinstance(of, Tensor):
            return self.logits(of)
        output: Tensor = of.output
        return _logit(output) if of.generator is self.decoder else full_precision(output)

    def images(self, output: Tensor) -> Tensor:
        """Probabilities of logits."""
        return output.sigmoid()

    @property
    def _before_sigmoid(self) -> nn.Sequential | None:
        """The decoder without the sigmoid that it ends in, if it is such a stack."""
        decoder = self.decoder
        if isinstance(decoder, nn.Sequential) and isinstance(decoder[-1], nn.Sigmoid):
            return nn.Sequential(*list(decoder)[:-1])
        return None


def _logit(probabilities: Tensor) -> Tensor:
    return torch.logit(probabilities.float(), eps=1e-6)
