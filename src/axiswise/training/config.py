"""Settings of a training run: the content of a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import nn

from axiswise.data import ImageSource
from axiswise.nets import VAE, Generator
from axiswise.objectives import (
    WGANGP,
    BetaVAE,
    GANObjective,
    Term,
    VAEObjective,
)
from axiswise.runs.protocol import EvaluationProtocol


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What every recipe says, whatever it trains.

    Args:
        name: What the runs of this recipe are grouped by; the recipe's file name if empty.
        description: One line for people.
        source: Paper, figure and numbers that the recipe follows, if it does.
        data: The images.
        trainer: What is trained, and how: a name, or the import path of your own.
        terms: Terms added to the loss, by name; see `axiswise.objectives.Term`.
        steps: Training steps.
        batch_size: Images a step, over all processes.
        learning_rate: Of Adam.
        decay_start: Share of the steps after which that rate falls, linearly to 0.
        anneal: Share of the steps over which the weights of added terms rise linearly from 0.
        delay: Share of the steps before they do.
        seed: Of everything random.
        precision: "auto" takes bfloat16 mixed precision where the hardware computes in it.
        accelerator: Where to compute; "auto" takes a GPU if there is one.
        devices: Processes, each on its own GPU or share of the CPU.
        log_every: Steps from one row of metrics.csv to the next.
        checkpoint_every: Steps from one checkpoint to the next, a multiple of log_every.
        evaluation: Protocol of the scores.
    """

    trainer: str = "vae"
    data: ImageSource
    name: str = ""
    description: str = ""
    source: str = ""
    terms: Mapping[str, Term] = field(default_factory=dict)
    steps: int = 300_000
    batch_size: int = 64
    learning_rate: float = 1e-4
    decay_start: float = 1.0
    anneal: float = 0.0
    delay: float = 0.0
    seed: int = 0
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    log_every: int = 100
    checkpoint_every: int = 1000
    evaluation: EvaluationProtocol = field(default_factory=EvaluationProtocol)

    @property
    def network(self) -> VAE | Generator:
        """What the run gives in the end."""
        raise NotImplementedError

    @property
    def latent_dim(self) -> int:
        """Its number of latents."""
        return self.network.latent_dim

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "devices", "log_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("decay_start", "anneal", "delay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        if not self.learning_rate > 0:  # so that NaN is refused too
            raise ValueError(f"learning_rate must be > 0, got {self.learning_rate}")
        for name, term in self.terms.items():
            try:
                term.check(self.network)
            except ValueError as error:
                raise ValueError(f"terms.{name}: {error}") from error
        labels = [term.label(name) for name, term in self.terms.items()]
        if len(set(labels)) < len(labels):
            twice = next(label for label in labels if labels.count(label) > 1)
            raise ValueError(f"terms must be logged by names of their own, got two {twice!r}")
        latents = self.evaluation.vp_latents
        if latents is not None and latents > self.latent_dim:
            raise ValueError(
                f"evaluation.vp_latents must be at most the {self.latent_dim} latents, "
                f"got {latents}"
            )
        if self.checkpoint_every % self.log_every:
            raise ValueError(
                f"checkpoint_every must be a multiple of log_every = {self.log_every}, "
                f"got {self.checkpoint_every}"
            )
        if self.batch_size % self.devices:
            raise ValueError(
                f"batch_size must be a multiple of devices = {self.devices}, got {self.batch_size}"
            )


@dataclass(frozen=True, kw_only=True)
class VAEConfig(TrainConfig):
    """A recipe that trains a VAE. The defaults are JL1-VAE's experiment on three-dots.

    `anneal` and `delay` hold for the objective's weights as well (AnnealedVAE: its capacity): a
    network that has not found yet what to encode loses its codes to the smallest β, for good.

    Args:
        model: The network; its image size and channels follow the data.
        objective: What it minimises.
    """

    trainer: str = "vae"
    model: VAE
    objective: VAEObjective = field(default_factory=BetaVAE)
    anneal: float = 1 / 3

    @property
    def network(self) -> VAE:
        """What the run gives in the end."""
        return self.model


@dataclass(frozen=True, kw_only=True)
class GANConfig(TrainConfig):
    """A recipe that trains a GAN. The defaults are those of OroJaR's simple GAN.

    Args:
        generator: The network; its image size and channels follow the data.
        critic: Images in [−1, 1] → scores (batch, 1), each image's by itself; size and channels
            follow the data.
        objective: What both minimise.
        betas: Adam's decay rates of the two moments.
        ema: Decay of the generator's exponential moving average, which is what the run gives, in
            [0, 1); 0 for the last weights as they are.
    """

    trainer: str = "gan"
    generator: Generator
    critic: nn.Module
    objective: GANObjective = field(default_factory=WGANGP)
    batch_size: int = 128
    learning_rate: float = 2e-4
    decay_start: float = 0.5
    betas: tuple[float, float] = (0.5, 0.999)
    ema: float = 0.999

    @property
    def network(self) -> Generator:
        """What the run gives in the end."""
        return self.generator

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be at least 0 and below 1, got {self.ema}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be at least 0 and below 1, got {self.betas}")
        if self.batch_size < 2 * self.devices:  # a collapse is told by images that differ
            raise ValueError(
                f"batch_size must be at least 2 for each of the {self.devices} devices, "
                f"got {self.batch_size}"
            )
