"""A run: its folder, the model that it trained, and what its scores and pictures share."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError
from torch import Tensor, nn

from axiswise import metrics
from axiswise.data import FactorData, Grid, ImageSource
from axiswise.metrics import JACOBIAN_SAMPLES, JacobianDiagnostics
from axiswise.nets import ACTIVE_NATS, Autoencoder, CodeStatistics, Model
from axiswise.nets.pretrained import read_about
from axiswise.objectives import kl_divergence, negative_log_likelihood
from axiswise.runs.folder import RunFolder
from axiswise.runs.protocol import EvaluationProtocol, read_settings
from axiswise.support.files import UnreadableFileError
from axiswise.support.imports import Trust, UntrustedCodeError
from axiswise.support.progress import Progress, StartBar, no_bars, no_progress
from axiswise.training.checkpoint import load_checkpoint
from axiswise.training.trainer import Recipe, start

_ACTIVITY_SAMPLES = 1000
_LEAST_ACTIVENESS = 1e-3
# Encoded or generated at once. On a CPU, more fall out of its cache and take twice as long.
_BATCH = {"cpu": 64, "cuda": 4096}


@dataclass(frozen=True)
class Run:
    """A run with its model; `dataclasses.replace` gives one that is sampled or scored otherwise.

    Attributes:
        folder: Its folder.
        recipe: Its recipe.
        data: The images.
        model: What it trained, in eval mode, on `device`.
        step: The steps that it was trained for.
        device: A GPU if there is one.
        protocol: The protocol of its scores.
        seed: The seed of its samples.
        start_bar: Starts a progress bar.
        own_features: What perceptual scores look at, if not those that the protocol names.
    """

    folder: RunFolder
    recipe: Recipe
    data: ImageSource
    model: Model
    step: int
    device: torch.device
    protocol: EvaluationProtocol
    seed: int = 0
    start_bar: StartBar = no_bars
    own_features: metrics.Features | None = None

    # ------------------------------------------------ what it can do

    @property
    def autoencodes(self) -> bool:
        """Whether its model encodes images and gives them back."""
        return isinstance(self.model, Autoencoder)

    @property
    def factor_sizes(self) -> tuple[int, ...] | None:
        """(factor,), how many values each factor of its data has; None if no factors are known."""
        return self.data.factor_sizes if isinstance(self.data, FactorData) else None

    @property
    def held(self) -> tuple[int, ...]:
        """Indices of the factors that local scores leave at each centre."""
        return self.protocol.held_of(self.data)

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of independent images that its data are composed of, if any."""
        return (self.data.rows, self.data.columns) if isinstance(self.data, Grid) else None

    # ------------------------------------------------ the model

    @property
    def generator(self) -> nn.Module:
        """The module whose Jacobian is taken: a VAE's decoder, a GAN's generator."""
        return self.model.generator

    @property
    def latent_dim(self) -> int:
        """Its number of latents."""
        return self.model.latent_dim

    @torch.no_grad()
    def generate(self, z: Tensor) -> Tensor:
        """Images in [0, 1], float32, of latents on any device."""
        return self.model.generate(z.to(self.device)).float()

    @cached_property
    def encode(self) -> Callable[[Tensor], Tensor]:
        """Encodes images on the run's device, as codes (image, latent): means.

        A model without an encoder gets one that is trained on generated images.
        """
        if isinstance(self.model, Autoencoder):
            return self.model.encode
        return metrics.train_inverse(
            self.generate,
            self.latent_dim,
            self.data.shape,
            rng=self.rng(),
            progress=self.start_bar("encoder of generated images"),
        )

    @torch.no_grad()
    def reconstruct(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstructions of images, and their negative log-likelihoods, (image,), nats.

        Decoded from the means of their codes, by the likelihood that it was trained with.
        """
        assert isinstance(self.model, Autoencoder)
        logits = self.model.logits(self.model.encode(images))
        objective: Any = self.recipe.objective  # type: ignore[attr-defined]
        likelihood = objective.likelihood, objective.sigma
        return logits.sigmoid(), negative_log_likelihood(images, logits, *likelihood)

    # ------------------------------------------------ samples

    def rng(self) -> torch.Generator:
        """Randomness on the run's device: the same at each call."""
        return torch.Generator(self.device).manual_seed(self.seed)

    def images(self, count: int) -> Tensor:
        """Images drawn at random, (count, channel, height, width), in [0, 1], on its device."""
        return self.data.render(self.data.draw(count, self.rng()))

    def image_batches(self, count: int) -> Iterator[Tensor]:
        """The same in batches, for more than fit into memory."""
        for draws in self.data.draw(count, self.rng()).split(self.batch_size):
            yield self.data.render(draws)

    @torch.no_grad()
    def latents(self, count: int) -> Tensor:
        """Latents that the generator has seen, (count, latent), on the run's device.

        Of an autoencoder these are the codes of images, of others standard normal.
        """
        if self.autoencodes:
            return self.encode(self.images(count))
        return self.prior(count)

    def prior(self, count: int) -> Tensor:
        """Standard normal latents, (count, latent), on the run's device."""
        return torch.randn(count, self.latent_dim, generator=self.rng(), device=self.device)

    @property
    def batch_size(self) -> int:
        """The most images that are best encoded or generated at once."""
        return _BATCH.get(self.device.type, 1024)

    @torch.no_grad()
    def codes(self, factors: Tensor, progress: Progress = no_progress) -> Tensor:
        """Codes of the images that have these factors, (sample, latent), on the CPU."""
        assert isinstance(self.data, FactorData)
        rows, places = _distinct(factors, self.data.factor_sizes)
        # One tensor: many small ones leave gigabytes of freed memory between them.
        codes = torch.empty(len(rows), self.latent_dim)
        done = 0
        for part in rows.split(self.batch_size):
            found = self.encode(self.data.render(part.to(self.device)))
            codes[done : done + len(part)] = found
            done += len(part)
            progress(done, len(rows))
        return codes if places is None else codes[places.cpu()]

    @torch.no_grad()
    def codes_of_images(self, images: Tensor) -> Tensor:
        """Codes of images on the run's device, (image, latent), on the CPU."""
        return torch.cat([self.encode(part).cpu() for part in images.split(self.batch_size)])

    # ------------------------------------------------ its axes

    @cached_property
    @torch.no_grad()
    def _posterior(self) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the codes of some images, each (image, latent)."""
        assert isinstance(self.model, Autoencoder)
        return self.model.posterior(self.images(_ACTIVITY_SAMPLES))

    @cached_property
    def activity(self) -> Tensor:
        """The activity of each axis, (latent,), on the CPU.

        Of an autoencoder, the KL divergence from the prior, mean over a thousand images, nats; of
        others, the activeness (see `axiswise.metrics.activeness`).
        """
        if isinstance(self.model, Autoencoder):
            return kl_divergence(*self._posterior).mean(0).cpu()
        return metrics.activeness(self.generate, self.latent_dim, rng=self.rng()).cpu().float()

    @property
    def activity_name(self) -> str:
        """The name of `activity`: "KL" or "activeness"."""
        return "KL" if self.autoencodes else "activeness"

    @property
    def threshold(self) -> float:
        """The activity above which an axis is active: 0.01 nat, or 0.001 of the largest activeness.

        Such an axis changes the image by a thirtieth of what the most active one does.
        """
        return ACTIVE_NATS if self.autoencodes else _LEAST_ACTIVENESS * float(self.activity.max())

    @property
    def active(self) -> Tensor:
        """Which axes are active, (latent,), boolean, on the CPU."""
        return self.activity > self.threshold

    @cached_property
    def code_statistics(self) -> CodeStatistics | None:
        """How the codes of its data are distributed; None for a model without an encoder."""
        saved: CodeStatistics | None = getattr(self.model, "code_statistics", None)
        if saved is None and isinstance(self.model, Autoencoder):  # not finished, or of before
            return CodeStatistics.of([self._posterior])
        return saved

    def ranges(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Lowest and highest value of each axis, (latent,), that pictures show.

        Two standard deviations to either side: of the codes of its data, and far enough for the
        latents z, (image, latent); without an encoder, of the prior.
        """
        codes = self.code_statistics
        if codes is None:
            return z.new_full(z.shape[1:], -2.0), z.new_full(z.shape[1:], 2.0)
        mean, reach = z.new_tensor(codes.mean), 2 * z.new_tensor(codes.deviation)
        return torch.minimum(mean - reach, z.amin(0)), torch.maximum(mean + reach, z.amax(0))

    @cached_property
    def diagnostics(self) -> JacobianDiagnostics:
        """The diagnostics of the generator's Jacobian."""
        return metrics.jacobian_diagnostics(
            self.generator,
            self.latents(JACOBIAN_SAMPLES),
            active=self.active,
            progress=self.start_bar("Jacobian"),
        )

    @cached_property
    def features(self) -> metrics.Features:
        """The features of perceptual scores."""
        return self.own_features or metrics.features(self.protocol.features, self.device)


def read_config(run: RunFolder, *, trust: bool = False) -> tuple[Recipe, EvaluationProtocol]:
    """A run's recipe, with its data, and the protocol of its scores.

    Args:
        run: The folder.
        trust: Whether code that is not ours may be run, if the config names any.

    Raises:
        UnreadableFileError: The file is damaged or no config of axiswise.
        UntrustedCodeError: It names code that may not be run.
        OSError: The data cannot be read.
    """
    try:
        settings = read_settings(run.config, trust=Trust(files=trust))
        return settings.build(), settings.section("evaluation")
    except (UnreadableFileError, UntrustedCodeError):
        raise
    except (ArgumentError, TypeError, ValueError) as error:
        raise UnreadableFileError(f"{run.config} cannot be used: {error}{_age(error)}") from error


def flat_config(settings: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """A config as dotted keys and text, without its name and seed: {"terms.jl1.weight": "0.1", …}.

    Lists are JSON; `above` precedes the keys.
    """
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= flat_config(value, f"{above}{key}.")
        elif above or key not in ("name", "seed"):
            flat[above + key] = value if isinstance(value, str) else json.dumps(value)
    return flat


def load_run(folder: str | Path, *, trust: bool = False) -> Run:
    """Open the run in a folder; an unfinished one with the weights of its newest checkpoint.

    Args:
        folder: The folder.
        trust: Whether code that is not ours may be run, if its config names any.

    Raises:
        FileNotFoundError: It is no run folder, or nothing was saved yet.
        UnreadableFileError: A file is damaged or belongs to another recipe.
        UntrustedCodeError: The config names code that may not be run.
    """
    run = RunFolder.open(folder)
    recipe, protocol = read_config(run, trust=trust)
    model, step = _model(run, recipe)
    for name, value in model.state_dict().items():
        if not value.isfinite().all():
            raise UnreadableFileError(f"the weights {name} of {run.path} are not finite")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.eval().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Run(run, recipe, recipe.data, model, step, device, protocol)


def _age(error: Exception) -> str:
    """What an unknown key may come from."""
    unknown = "is not accepted" in str(error) or "unexpected keyword" in str(error)
    return "; it may be of a later version of axiswise" if unknown else ""


def _model(run: RunFolder, recipe: Recipe) -> tuple[Model, int]:
    """The model of a run, finished or not, and its step."""
    try:
        model = start(recipe).model
    except (ArgumentError, TypeError, ValueError) as error:
        raise UnreadableFileError(f"{run.config} cannot be used: {error}{_age(error)}") from error
    found = run.newest()
    if found is None:
        raise FileNotFoundError(f"{run.path} has neither a finished model nor a checkpoint yet")
    file, step = found
    if file == run.weights:
        return _finished(run, model), recipe.steps if step is None else step
    state = load_checkpoint(file)
    try:
        model.load_state_dict(state["model"])
        _check_recipe(run, state["recipe"])
        return model, int(state["step"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UnreadableFileError(
            f"checkpoint {file} does not belong to the recipe in {run.config}"
        ) from error


def _finished(run: RunFolder, like: Model) -> Model:
    """The finished model of a run, which is the one that its config has."""
    model = type(like).from_pretrained(run.path)
    for name, value in like.arguments.items():
        # As JSON, which has no tuples.
        if json.dumps(model.arguments[name]) != json.dumps(value):
            raise UnreadableFileError(
                f"{run.about} and {run.config} are of different runs: {name} is "
                f"{model.arguments[name]} in one and {value} in the other"
            )
    if isinstance(digest := read_about(run.path).get("recipe"), str):
        _check_recipe(run, digest)
    return model


def _check_recipe(run: RunFolder, digest: str) -> None:
    """Refuse a model that was trained by other settings than those in the config."""
    if "" not in (digest, now := run.recipe_digest()) and digest != now:
        raise UnreadableFileError(
            f"{run.config} is not what the model beside it was trained by: put its own config back"
        )


def _distinct(factors: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor | None]:
    """Distinct rows, and the place of each row among them, where this saves half or more."""
    if math.prod(sizes) > 2**62:
        return factors, None
    index = torch.zeros_like(factors[:, 0])
    for column, size in zip(factors.unbind(1), sizes, strict=True):
        index = index * size + column
    found, places = index.unique(return_inverse=True)
    if 2 * len(found) > len(factors):
        return factors, None
    rows = factors.new_empty(len(found), factors.shape[1])
    rows[places] = factors
    return rows, places
