"""How a run is scored: the `evaluation` section of a recipe."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from axiswise.data.factors import FactorData, ImageSource
from axiswise.support.imports import Trust, UntrustedCodeError
from axiswise.training.recipe import Settings, read_recipe

_MOST = 10_000_000  # samples and the like: what fits into memory


@dataclass(frozen=True)
class EvaluationProtocol:
    """Protocol of the scores; the defaults are JL1-VAE's.

    Args:
        radius: Radii of the local scores, as shares of each factor's values, > 0.
        centres: Centres that a local score is averaged over, ≥ 1.
        samples: Samples around each centre, and for each global score, ≥ 2.
        bins: Equal-width bins of a code, ≥ 2, for local scores; global ones have 20.
        held: Names of factors that local scores leave at each centre; if null, those whose values
            have no order, as the data set says: the model of Cars3D.
        vp: Protocol of the Variation Predictability score, "dsprites" or "clevr".
        vp_latents: How many latents it is about, the most active ones, ≥ 2; all if null.
        images: Real images, and generated ones, of FID and KID, ≥ 2.
        paths: Steps on paths of the perceptual path length, ≥ 100.
        features: What perceptual scores look at: "efficientnet-lite0", "inception" or "lpips".
        dci: DCI's trees: "forest", fast, or "boosted", as published: on three-dots two minutes for
            each of its factors of 64 values, and once more where not all axes are active.

    Raises:
        ValueError: On a number out of range.
    """

    radius: list[float] = field(default_factory=lambda: [0.1, 0.2, 0.3, 0.6, 1.0])
    centres: int = 20
    samples: int = 10_000
    bins: int = 5
    held: list[str] | None = None
    vp: Literal["dsprites", "clevr"] = "dsprites"
    vp_latents: int | None = None
    images: int = 2000
    paths: int = 2000
    features: Literal["efficientnet-lite0", "inception", "lpips"] = "efficientnet-lite0"
    dci: Literal["forest", "boosted"] = "forest"

    def __post_init__(self) -> None:
        least = {"centres": 1, "samples": 2, "bins": 2, "vp_latents": 2, "images": 2, "paths": 100}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise ValueError(f"{name} must be at least {bound}, got {value}")
            if value is not None and value > _MOST:
                raise ValueError(f"{name} must be at most {_MOST:,}, got {value}")
        if not all(radius > 0 for radius in self.radius):
            raise ValueError(f"radius must be above 0, got {self.radius}")

    def held_of(self, data: ImageSource) -> tuple[int, ...]:
        """Indices of the factors that local scores leave at each centre.

        Raises:
            ValueError: A name is no factor's.
        """
        names = data.factor_names if isinstance(data, FactorData) else ()
        held = getattr(data, "unordered", ()) if self.held is None else self.held
        if unknown := [name for name in held if name not in names]:
            known = f"out of {', '.join(names)}" if names else "none, as no factors are known"
            raise ValueError(f"evaluation.held must be {known}; got {unknown[0]!r}")
        return tuple(index for index, name in enumerate(names) if name in held)

    def check(self, latent_dim: int, data: ImageSource) -> None:
        """Refuse more latents than a model has, and names that are no factor's."""
        self.held_of(data)
        if self.vp_latents is not None and self.vp_latents > latent_dim:
            raise ValueError(
                f"evaluation.vp_latents must be at most the {latent_dim} latents, "
                f"got {self.vp_latents}"
            )


# What a recipe says beside what training reads.
SECTIONS = {"evaluation": EvaluationProtocol}


def read_settings(
    path: Path, overrides: Sequence[str] = (), trust: Trust | None = None
) -> Settings:
    """`training.recipe.read_recipe`, with the section `evaluation`."""
    return read_recipe(path, overrides, SECTIONS, trust)


def needs_trust(path: Path) -> bool:
    """Whether a recipe that can be read names code that is not ours."""
    try:
        read_settings(path, trust=Trust())
    except UntrustedCodeError:
        return True
    return False
