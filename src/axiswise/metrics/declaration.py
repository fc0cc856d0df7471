"""Metrics declare themselves above their functions: what they take, need and return."""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol, SupportsFloat, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from axiswise.metrics._inputs import FloatArray, IntArray
from axiswise.support.arrays import ArrayLike, as_numpy
from axiswise.support.family import Family
from axiswise.support.progress import Progress

# Which runs get a metric unasked: by whether their model autoencodes. "all" leaves out those that
# are taken "by name" only: protocols of hours.
Usual = Literal["always", "autoencoder", "generator", "never", "by name"]
# What a run, its data or its features must have for a metric.
Need = Literal["two factors", "autoencoder", "descriptions", "distances"]
F = TypeVar("F", bound=Callable[..., Any])


class Subject(Protocol):
    """The run that a metric of a whole run is given: `axiswise.runs.run.Run` is one."""

    @property
    def latent_dim(self) -> int:
        """Number of latents."""

    @property
    def generator(self) -> nn.Module:
        """What its Jacobian is taken of: latents to images or probabilities."""

    @property
    def activity(self) -> Tensor:
        """How much each axis does, (latent,), on the CPU."""

    @property
    def activity_name(self) -> str:
        """What `activity` is: "KL" or "activeness"."""

    @property
    def active(self) -> Tensor:
        """Which axes are active, (latent,), boolean, on the CPU."""

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of independent images that its data are put together from, if any."""

    @property
    def batch_size(self) -> int:
        """The most images that are best generated at once."""

    @property
    def features(self) -> Any:
        """What perceptual scores look at, `axiswise.metrics.Features`."""

    @property
    def diagnostics(self) -> Any:
        """`axiswise.metrics.JacobianDiagnostics` of the generator."""

    def rng(self) -> torch.Generator:
        """Randomness on the run's device: the same at each call."""

    def images(self, count: int, /) -> Tensor:
        """Images of the data, (count, channel, height, width), in [0, 1]."""

    def image_batches(self, count: int, /) -> Iterator[Tensor]:
        """The same in batches, for more than fit into memory."""

    def latents(self, count: int, /) -> Tensor:
        """Latents as the generator has seen them, (count, latent)."""

    def prior(self, count: int, /) -> Tensor:
        """Standard normal latents, (count, latent)."""

    def generate(self, z: Tensor, /) -> Tensor:
        """Images in [0, 1], float32, of latents."""

    def reconstruct(self, images: Tensor, /) -> tuple[Tensor, Tensor]:
        """What an autoencoder gives back of images, and their negative log-likelihoods, nats."""

    def start_bar(self, name: str, /) -> Progress:
        """Start a progress bar."""


@dataclass(frozen=True, eq=False)
class Metric:
    """A metric, as `axiswise evaluate` takes it.

    Attributes:
        name: The name that users choose it by.
        function: The function that computes it.
        usual: The runs that are scored by it without being asked.
        usual_locally: Whether `local` includes its local form.
        needs: What not every run has.
        packages: Packages of extras that it imports.
        numbers: Score → attribute of the function's result; empty if the function returns a
            mapping, or one number of the metric's own name.
        settings: Keyword argument → key of the recipe's `evaluation` section.
        draws: Draws the factors of a metric with draws of its own: takes factor sizes and `rng`,
            returns an object with `factors` (row, factor).
        chooses_axes: Whether it leaves out dead axes by itself, and so is taken once only.
    """

    name: str
    function: Callable[..., Any]
    usual: Usual = "never"
    usual_locally: bool = False
    needs: Sequence[Need] = ()
    packages: Sequence[str] = ()
    numbers: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    draws: Callable[..., Any] | None = None
    chooses_axes: bool = False

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The function's parameters."""
        return inspect.signature(self.function).parameters

    @property
    def of_run(self) -> bool:
        """Whether it scores a whole run, a `Subject`."""
        return _positional(self.parameters)[:1] == ["run"]

    @property
    def of_codes(self) -> bool:
        """Whether it scores any codes, with or without factors: so it has a local form."""
        return not self.of_run and self.draws is None

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0].rstrip(".")

    def of(self, found: Any) -> dict[str, Any]:
        """The scores in the function's result, by name; tensors are values per axis."""
        if self.numbers:
            found = {name: getattr(found, attribute) for name, attribute in self.numbers.items()}
        by_name = found if isinstance(found, Mapping) else {self.name: found}
        return {name: _as_score(value, self.name, name) for name, value in by_name.items()}

    def of_arrays(self, codes: Any, factors: Any, **options: Any) -> dict[str, Any]:
        """Score codes (samples, latent), with factors (samples, factor) if the function takes them.

        Options that the function does not have are ignored.
        """
        given = [codes, factors] if len(_positional(self.parameters)) > 1 else [codes]
        known = {name: value for name, value in options.items() if name in self.parameters}
        return self.of(self.function(*given, **known))


def metric(name: str, **declared: Any) -> Callable[[F], F]:
    """Declare a metric, above the function that computes it.

    A function of (codes) or (codes, factors) scores NumPy arrays: codes (samples, latent), float64,
    and factors (samples, factor), int64. It is given `bins` (of local scores), `rng` and `progress`
    if it has such keyword arguments. It returns a number, or several by name. A function of (run)
    scores a whole run, a `Subject`, and returns scores by name; one whose name ends in `_per_axis`
    is a tensor (latent,).

    Args:
        name: The name that users choose it by.
        declared: The other attributes of `Metric`, but for its function.

    Example:
        >>> @metric("largest_range")
        ... def largest_range(codes):
        ...     "The range of the widest code."
        ...     return (codes.max(0) - codes.min(0)).max()
    """
    return METRICS.declaring(name, lambda function: Metric(name, function, **declared))


def with_active(
    score: Callable[[FloatArray, IntArray], Mapping[str, SupportsFloat]], active: ArrayLike
) -> Callable[[FloatArray, IntArray], dict[str, Any]]:
    """A score of codes that returns its numbers over active axes, (latent,), too, as NAME_active.

    Where no axis is active there are no second numbers.
    """
    mask = as_numpy(active, "active")
    if mask.dtype != np.bool_:
        raise TypeError(f"active must be boolean, got {mask.dtype}")

    def both(codes: FloatArray, factors: IntArray) -> dict[str, Any]:
        if mask.shape != codes.shape[1:]:
            raise ValueError(
                f"active must have one entry for each of {codes.shape[1]} axes, got {mask.shape}"
            )
        found = dict(score(codes, factors))
        if not mask.any():
            return found
        # Sums must not depend on how a selection lies in memory.
        alone = found if mask.all() else score(np.ascontiguousarray(codes[:, mask]), factors)
        return found | {f"{name}_active": value for name, value in alone.items()}

    return both


def _as_score(value: Any, metric: str, name: str) -> Any:
    """A float, or a tensor of values per axis; infinity is a score, NaN is not."""
    if isinstance(value, Tensor) and value.dim():
        missing = bool(value.isnan().any())
    else:
        try:
            value = float(value)
        except (TypeError, ValueError):
            kind = type(value).__name__
            raise TypeError(f"metric {metric} must give a number for {name}, got {kind}") from None
        missing = math.isnan(value)
    if missing:
        raise ValueError(f"metric {metric} must give a number for {name}, got NaN")
    return value


def _positional(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    """Names of the parameters without a default that are not by keyword alone."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        name
        for name, parameter in parameters.items()
        if parameter.kind in kinds and parameter.default is parameter.empty
    ]


def _own(found: Any, spec: str) -> Metric:
    """A user's function, without a declaration, as a metric."""
    wanted = f"metric {spec} must be a function of (codes), (codes, factors) or (run)"
    if not callable(found) or isinstance(found, type):
        raise TypeError(f"{wanted}, got {type(found).__name__}")
    declared = Metric(spec.replace(":", ".").rpartition(".")[2], found)
    required = _positional(declared.parameters)
    if len(required) not in (1, 2):
        raise TypeError(f"{wanted}, got one of ({', '.join(required)})")
    return declared


METRICS: Family[Metric] = Family("metric", "axiswise.metrics", "metric", _own)
