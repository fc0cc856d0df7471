"""Penalties on the generator's Jacobian as terms of a loss."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from typing import Any, ClassVar, Literal, get_type_hints

import torch
from torch import Tensor, nn

from axiswise.jacobian import Jacobian, JacobianOptions
from axiswise.nets import Model
from axiswise.objectives.term import GeneratorPass, Term
from axiswise.penalties import rademacher, sample_columns, sample_groups
from axiswise.penalties.sampling import check_correction
from axiswise.support.checks import check_range

# Options that a penalty draws at random, of a number that the term sets.
_DRAWN: dict[str, str] = {
    "columns": "Random columns for each sample, ≥ 1; all of them, exactly, if null.",
    "probes": "Rademacher probes, ≥ 2; the exact value if null.",
    "groups": "Groups of latents, ≥ 2; the exact value if null. One of columns, probes and groups "
    "at most.",
}
_LEAST = {"columns": 1, "probes": 2, "groups": 2}
_TYPES: dict[str, Any] = {
    **dict.fromkeys(_DRAWN, int | None),
    "reduction": Literal["mean", "max"],
}
_MEANINGS = {
    "normalize": "The scale-free form, with neither probes nor groups.",
    "correction": "Of the variance over probes, less than their number: 1 for the unbiased one, 0 "
    "for that of the published TensorFlow code.",
    "reduction": "Over the batch. OroJaR's published GAN weights belong to max. In several "
    "processes that is the mean of each one's own maximum.",
    **_DRAWN,
}
# Of how the Jacobian is taken, of which a term has its own settings; and what is not for training.
_NO_SETTINGS = ("z", "rng", "all_pairs", *JacobianOptions.__annotations__)


@dataclass(frozen=True, kw_only=True)
class PenaltyTerm(Term):
    """A penalty on the Jacobian of a VAE's decoder or a GAN's generator.

    Args:
        layers: Modules of the generator whose outputs are penalised, summed; none for what the
            generator returns.
        method: "forward" for exact derivatives, "finite" for the papers' differences.
        epsilon: Step of those, > 0; the penalty's own default if null.

    Raises:
        ValueError: On a number out of range, or options that exclude each other.
    """

    penalty: ClassVar[Callable[..., Any]]
    options: ClassVar[tuple[str, ...]]

    layers: list[str] = field(default_factory=list)
    method: Literal["forward", "finite"] = "forward"
    epsilon: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        drawn = {name: getattr(self, name) for name in _DRAWN if name in self.options}
        given = {name: value for name, value in drawn.items() if value is not None}
        for name, value in given.items():
            if value < _LEAST[name]:
                raise ValueError(f"{name} must be at least {_LEAST[name]}, got {value}")
        if len(given) > 1:
            first, second = list(given)[:2]
            raise ValueError(f"{second} must be null where {first} are given")
        if getattr(self, "normalize", False) and given.keys() & {"probes", "groups"}:
            raise ValueError("normalize must go with the exact form: leave out probes and groups")
        check_correction(getattr(self, "correction", 1), drawn.get("probes"))
        check_range(self, "> 0", "epsilon")
        if self.epsilon is not None and self.method != "finite":
            raise ValueError("epsilon is no option of method 'forward', which is exact")

    def label(self, name: str) -> str:
        """The name, or "jl1_normalized" and the like."""
        return f"{name}_normalized" if getattr(self, "normalize", False) else name

    def check(self, model: Model) -> None:
        """Refuse what the penalty would at the first step, and layers that are not there."""
        for name in ("columns", "groups"):
            value = getattr(self, name, None)
            if value is not None and value > model.latent_dim:
                raise ValueError(
                    f"{name} must be at most the {model.latent_dim} latents, got {value}"
                )
        modules = dict(model.generator.named_modules())
        if unknown := [name for name in self.layers if name not in modules]:
            raise ValueError(
                "layers must name modules of the generator, such as "
                f"{', '.join(list(modules)[1:8])}; got {', '.join(unknown)}"
            )
        weight = next(model.parameters())
        # At latents of 0, networks that divide by the length of features have no usual derivatives.
        rng = torch.Generator(weight.device).manual_seed(0)
        z = torch.randn(2, model.latent_dim, generator=rng, device=rng.device).to(weight.dtype)
        with torch.no_grad():
            drawn = self.draw(len(z), model.latent_dim, rng)
            self(GeneratorPass(model, z), None, **drawn)

    def draw(
        self, batch: int, latent: int, rng: torch.Generator, share: slice = slice(None)
    ) -> dict[str, Tensor]:
        """Draw columns, probes or groups; see `Term`."""
        if (columns := getattr(self, "columns", None)) is not None:
            return {"columns": sample_columns(batch, latent, columns, rng=rng)[share]}
        if (probes := getattr(self, "probes", None)) is not None:
            return {"probes": rademacher((probes, batch, latent), rng=rng)[:, share]}
        if (groups := getattr(self, "groups", None)) is not None:
            return {"groups": sample_groups(batch, latent, groups, rng=rng)[:, share]}
        return {}

    def __call__(
        self,
        made: GeneratorPass,
        network: nn.Module | None = None,  # noqa: ARG002
        **drawn: Tensor,
    ) -> Tensor:
        """The penalty, unweighted; see `Term`."""
        options = {name: getattr(self, name) for name in self.options if name not in _DRAWN}
        layers = made.layers(self.layers)
        if self.layers and not layers:
            return made.z.new_zeros(())
        jacobian = made.jacobian(method=self.method, epsilon=self.epsilon, layers=layers)
        value: Tensor = type(self).penalty(jacobian, **options, **drawn)
        return value

    def figures(self, name: str, made: GeneratorPass) -> dict[str, Tensor]:
        """The penalty in its other form, scale-free or not, exactly.

        If the plain form falls and the scale-free one does not, the Jacobian has only shrunk.
        """
        if "normalize" not in self.options:
            return {}
        normalize = not self.normalize  # type: ignore[attr-defined]
        other = type(self)(layers=self.layers, normalize=normalize)  # type: ignore[call-arg]
        with torch.no_grad():
            layers, given = made.layers(self.layers), made.conditioning
            if self.layers and not layers:
                return {other.label(name): made.z.new_zeros(())}
            jacobian = Jacobian(made.model.generator, made.z, layers=layers, conditioning=given)
            return {other.label(name): type(self).penalty(jacobian, normalize=normalize)}


@functools.cache
def penalty_term(penalty: Callable[..., Any], name: str) -> type[PenaltyTerm]:
    """The settings of a penalty as a term, read off the function's signature.

    Of its arguments, `columns`, `probes` and `groups` become the number to draw at random; others
    are settings as they are. Each must have a default.
    """
    types = get_type_hints(penalty)
    _, *parameters = inspect.signature(penalty).parameters.values()
    options = [
        argument
        for argument in parameters
        if argument.name not in _NO_SETTINGS and argument.kind is not argument.VAR_KEYWORD
    ]
    fields: list[tuple[str, Any, Any]] = []
    meanings = []
    for argument in options:
        if argument.default is inspect.Parameter.empty:
            raise TypeError(
                f"{name}: the argument {argument.name} of a penalty must have a default"
            )
        kind = _TYPES.get(argument.name, types.get(argument.name, Any))
        fields.append((argument.name, kind, field(default=argument.default)))
        meanings.append(f"{argument.name}: {_MEANINGS.get(argument.name, 'Passed on to it.')}")
    made = make_dataclass(
        f"{penalty.__name__}_term",
        fields,
        bases=(PenaltyTerm,),
        frozen=True,
        kw_only=True,
        namespace={
            "penalty": staticmethod(penalty),
            "options": tuple(argument.name for argument in options),
            "__module__": __name__,
        },
    )
    own = "".join(f"\n        {meaning}" for meaning in meanings)
    inherited = inspect.getdoc(PenaltyTerm) or ""
    arguments = inherited.split("Args:")[1].split("Raises:")[0].rstrip().replace("\n", "\n    ")
    made.__doc__ = f"The penalty {name}.\n\n    Args:{arguments}{own}\n    "
    return made
