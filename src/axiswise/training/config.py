"""What a training run is told: the content of a recipe."""

from dataclasses import dataclass, field
from typing import Literal

from axiswise.data import ImageSource
from axiswise.nets import VAE
from axiswise.objectives import BetaVAE, JacobianTerm


@dataclass(frozen=True)
class EvaluationConfig:
    """Protocol of the scores; the defaults are JL1-VAE's.

    Args:
        radius: Radii of the local scores, as shares of each factor's values, > 0.
        centres: Centres that a local score is averaged over, ≥ 1.
        samples: Samples around each centre, and for each global score, ≥ 2.
        bins: Equal-width bins of a code, ≥ 2, for local scores; global ones have 20.

    Raises:
        ValueError: On a number out of range.
    """

    radius: list[float] = field(default_factory=lambda: [0.1, 0.2, 0.3, 0.6, 1.0])
    centres: int = 20
    samples: int = 10_000
    bins: int = 5

    def __post_init__(self) -> None:
        for name, least in (("centres", 1), ("samples", 2), ("bins", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not all(radius > 0 for radius in self.radius):
            raise ValueError(f"radius must be above 0, got {self.radius}")


@dataclass(frozen=True)
class TrainConfig:
    """A recipe.

    Args:
        name: What the runs of this recipe are grouped by; the recipe's file name if empty.
        description: One line for people.
        source: Paper, figure and numbers that the recipe follows, if it does.
        data: The images.
        model: The network; its image size and channels follow the data.
        objective: What it minimises.
        penalty: A term on the decoder's Jacobian on top of that; none if null.
        steps: Training steps.
        batch_size: Images a step, over all processes.
        learning_rate: Of Adam.
        constant: Share of the steps with that rate; after them it falls linearly to 0.
        anneal: Share of the steps over which β and the penalty's weight rise linearly from 0.
        delay: Share of the steps before they do. A network that has not found yet what to encode
            loses its codes to the smallest β, for good.
        seed: Of everything random.
        precision: "auto" takes bfloat16 mixed precision where the hardware computes in it.
        accelerator: Where to compute; "auto" takes a GPU if there is one.
        devices: Processes, each on its own GPU or share of the CPU.
        log_every: Steps from one row of metrics.csv to the next.
        checkpoint_every: Steps from one checkpoint to the next, a multiple of log_every.
        evaluation: Protocol of the scores.
    """

    data: ImageSource
    model: VAE
    name: str = ""
    description: str = ""
    source: str = ""
    objective: BetaVAE = field(default_factory=BetaVAE)
    penalty: JacobianTerm | None = None
    steps: int = 300_000
    batch_size: int = 64
    learning_rate: float = 1e-4
    constant: float = 1.0
    anneal: float = 1 / 3
    delay: float = 0.0
    seed: int = 0
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    log_every: int = 100
    checkpoint_every: int = 1000
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "devices", "log_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("constant", "anneal", "delay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        if not self.learning_rate > 0:  # so that NaN is refused too
            raise ValueError(f"learning_rate must be > 0, got {self.learning_rate}")
        for name in ("columns", "groups"):
            value = getattr(self.penalty, name, None)
            if value is not None and value > self.model.latent_dim:
                raise ValueError(
                    f"penalty.{name} must be at most the {self.model.latent_dim} latents, "
                    f"got {value}"
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
