"""What `axiswise evaluate` can score, by name."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, SupportsFloat

import torch
from torch import Tensor

from axiswise import metrics
from axiswise.data import FactorData
from axiswise.jacobian import jacobian_columns
from axiswise.penalties import jl1_penalty
from axiswise.runs.code_scores import CODE_SCORES, NEED_TWO_FACTORS, code_score
from axiswise.runs.protocol import EvaluationProtocol
from axiswise.runs.run import JACOBIAN_SAMPLES, Run

Scores = dict[str, Any]

_PERCEPTUAL = ("ppl", "kid", "fid")
# Those that features cannot give: Inception has no distance, LPIPS nothing else.
_NOT_BY = {"inception": ("ppl",), "lpips": ("kid", "fid")}
_JACOBIANS = 50  # of them held at once
_ACTIVITY_SAMPLES = 1000

# Scores that draw factors by a protocol of their own: what draws them, and what scores the codes.
OWN_DRAWS: dict[str, tuple[Callable[..., Any], Callable[..., SupportsFloat]]] = {
    "factor_vae": (metrics.factor_vae_draws, metrics.factor_vae_of_codes),
    "beta_vae": (metrics.beta_vae_draws, metrics.beta_vae_of_codes),
}


@dataclass(frozen=True)
class Subject:
    """A run, and what its scores of codes share.

    Attributes:
        run: The run.
        chosen: Names of all scores that will be taken: what they need is encoded together.
    """

    run: Run
    chosen: Sequence[str] = ()

    @property
    def protocol(self) -> EvaluationProtocol:
        """How the run is scored."""
        return self.run.protocol

    @property
    def seed(self) -> int:
        """Fixes what is sampled."""
        return self.run.seed

    @property
    def data(self) -> FactorData:
        """The run's data, the factors of which are known."""
        assert isinstance(self.run.data, FactorData)
        return self.run.data

    @cached_property
    def _draws(self) -> dict[str, Any]:
        """What the scores that draw their own factors have drawn, by name."""
        rng = torch.Generator
        sizes = self.data.factor_sizes
        return {
            name: draw(sizes, rng=rng().manual_seed(self.seed))
            for name, (draw, _) in OWN_DRAWS.items()
            if name in self.chosen
        }

    @cached_property
    def _encoded(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Factors and their codes, by score: of all that are chosen, encoded in one pass."""
        factors = {name: draws.factors for name, draws in self._draws.items()}
        if any(name in CODE_SCORES for name in self.chosen):
            rng = torch.Generator().manual_seed(self.seed)
            factors["sample"] = self.data.sample_factors(self.protocol.samples, rng)
        codes = self.run.codes(torch.cat([*factors.values()]), self.run.start_bar("codes"))
        parts = codes.split([len(rows) for rows in factors.values()])
        return dict(zip(factors, zip(factors.values(), parts, strict=True), strict=True))

    @property
    def factors_and_codes(self) -> tuple[Tensor, Tensor]:
        """A sample for global scores: factors (sample, factor) and codes (sample, latent)."""
        return self._encoded["sample"]

    def draws_and_codes(self, name: str) -> tuple[Any, Tensor]:
        """What a score has drawn by its own protocol, and its codes (row, latent)."""
        return self._draws[name], self._encoded[name][1]

    @cached_property
    def local(self) -> Scores:
        """All local scores that are chosen, by name and radius: one pass for each radius."""
        protocol, active = self.protocol, self.run.active
        wanted = {
            name: code_score(name, protocol, active, self.seed, protocol.bins)
            for name in _taken_locally(self.chosen)
        }
        table: Scores = {}
        for value in protocol.radius:
            found = metrics.local_scores(
                self.run.codes,
                self.data.factor_sizes,
                value,
                wanted,
                samples=protocol.samples,
                centres=protocol.centres,
                batch_size=protocol.samples,
                rng=torch.Generator().manual_seed(self.seed),
                progress=self.run.start_bar(f"local scores, radius {value:g}"),
            )
            for name, score in found.items():
                row = {"mean": score.mean, "std": score.std, "values": score.values.tolist()}
                table.setdefault(f"local_{name}", {})[f"{value:g}"] = row
        return table


def _taken_locally(chosen: Sequence[str]) -> list[str]:
    """The scores of codes that are to be taken locally."""
    names = [name for name in CODE_SCORES if f"local_{name}" in chosen]
    if "local" in chosen:
        names += ["mig", "modularity"]
    return list(dict.fromkeys(names))


def _local(subject: Subject) -> Scores:
    """All that are chosen: they are taken together."""
    return subject.local


def _of_codes(name: str) -> Callable[[Subject], Scores]:
    def score(subject: Subject) -> Scores:
        factors, codes = subject.factors_and_codes
        take = code_score(
            name,
            subject.protocol,
            subject.run.active,
            subject.seed,
            start_bar=subject.run.start_bar,
        )
        return take(codes, factors)

    return score


def _of_own_draws(name: str) -> Callable[[Subject], Scores]:
    def score(subject: Subject) -> Scores:
        draws, codes = subject.draws_and_codes(name)
        return {name: float(OWN_DRAWS[name][1](codes, draws))}

    return score


@torch.no_grad()
def reconstruction(subject: Subject) -> Scores:
    """How well a VAE gives images back."""
    run = subject.run
    images = run.images(_ACTIVITY_SAMPLES)
    decoded, likelihood = run.reconstruct(images)
    error = (decoded - images).abs().mean()
    return {"nll_of_means": float(likelihood.mean()), "mean_absolute_error": float(error)}


@torch.no_grad()
def jacobian(subject: Subject) -> Scores:
    """Numbers about the columns of the generator's Jacobian."""
    found = subject.run.diagnostics
    z = subject.run.latents(JACOBIAN_SAMPLES)
    scores = {
        "jl1": float(jl1_penalty(subject.run.generator, z, chunk_size=2 * JACOBIAN_SAMPLES)),
        "column_length": float(found.lengths.mean()),
        "off_diagonal_share": found.off_diagonal_share,
    }
    if found.active.any():
        scores |= {"sparsity": found.sparsity, "ima_contrast": found.ima_contrast}
    if found.active.sum() > 1:
        scores["mean_cosine"] = found.mean_cosine
    return scores


@torch.no_grad()
def columns(subject: Subject) -> Scores:
    """What single columns of active axes look like, mean over them and over latents.

    Of images that are put together from independent ones, also the share of a column's energy in
    its strongest cell: of each column alone, and with each weighted by its energy, since an axis
    that does next to nothing at some latent does it anywhere.
    """
    run, active = subject.run, subject.run.active
    if not active.any():
        return {}
    parts: dict[str, list[Tensor]] = {}
    for z in run.latents(JACOBIAN_SAMPLES).split(_JACOBIANS):
        found = jacobian_columns(run.generator, z)
        assert isinstance(found, Tensor)
        found = found[:, active.to(found.device)].cpu()
        shapes = metrics.column_shapes(found)
        values = {name: getattr(shapes, name) for name in ("hoyer", "spread", "orientation")}
        if run.grid is not None:
            energy = found.double().square().sum((2, 3, 4))
            share = metrics.cell_shares(found, *run.grid).amax(2)
            values |= {"cell_share": share, "energy": energy, "in_cell": share * energy}
        for name, value in values.items():
            parts.setdefault(name, []).append(value)
    means = {name: float(torch.cat(values).nanmean()) for name, values in parts.items()}
    if "energy" in means:
        means["cell_share_by_energy"] = means.pop("in_cell") / means.pop("energy")
    return {f"column_{name}": value for name, value in means.items()}


def activeness(subject: Subject) -> Scores:
    """How much each latent changes the image: mean over latents, and the largest."""
    run = subject.run
    found = run.activity
    if run.autoencodes:
        found = metrics.activeness(run.generate, run.latent_dim, rng=run.rng())
    return {"activeness": float(found.mean()), "activeness_max": float(found.max())}


def vp(subject: Subject) -> Scores:
    """Variation Predictability: mean and spread over repeats."""
    protocol, rng = subject.protocol, subject.run.rng()
    latents = None
    if protocol.vp_latents is not None:
        latents = subject.run.activity.argsort(descending=True)[: protocol.vp_latents].tolist()
    images, labels = metrics.vp_pairs(
        subject.run.generate,
        subject.run.latent_dim,
        latents=latents,
        rng=rng,
        progress=subject.run.start_bar("pairs of images"),
    )
    score = metrics.vp_score(
        images,
        labels,
        protocol.vp,
        rng=rng,
        progress=subject.run.start_bar("Variation Predictability"),
    )
    return {"vp": score.mean, "vp_std": score.std}


def _named(subject: Subject, name: str, value: float) -> Scores:
    """Scores of different features must not meet in one table: their names tell them apart."""
    return {f"{name}_{subject.protocol.features}": value}


def ppl(subject: Subject) -> Scores:
    """Perceptual path length."""
    value = metrics.perceptual_path_length(
        subject.run.generate,
        subject.run.latent_dim,
        subject.run.features.distance,
        samples=subject.protocol.paths,
        rng=subject.run.rng(),
        progress=subject.run.start_bar("perceptual path length"),
    )
    return _named(subject, "ppl", value)


def _two_sets(subject: Subject) -> tuple[Tensor, Tensor, metrics.Features]:
    """Real images, generated ones, and what looks at them."""
    count, run = subject.protocol.images, subject.run
    parts = run.prior(count).split(run.batch_size)
    generated = torch.cat([subject.run.generate(part) for part in parts])
    return run.images(count), generated, run.features


def kid(subject: Subject) -> Scores:
    """Kernel distance of generated images from the data."""
    found = metrics.kernel_distance(
        *_two_sets(subject), rng=subject.run.rng(), progress=subject.run.start_bar("KID")
    )
    return _named(subject, "kid", found.mean)


def fid(subject: Subject) -> Scores:
    """Fréchet distance of generated images from the data."""
    found = metrics.frechet_distance(*_two_sets(subject), progress=subject.run.start_bar("FID"))
    return _named(subject, "fid", found)


Score = Callable[[Subject], Scores]

# Scores that need the true factors; that need an encoder and a decoder; that any generator has.
OF_FACTORS: dict[str, Score] = {
    "local": _local,
    **{name: _of_codes(name) for name in CODE_SCORES},
    **{name: _of_own_draws(name) for name in OWN_DRAWS},
    **{f"local_{name}": _local for name in CODE_SCORES},
}
OF_AUTOENCODERS: dict[str, Score] = {"reconstruction": reconstruction}
OF_GENERATORS: dict[str, Score] = {
    "jacobian": jacobian,
    "columns": columns,
    "activeness": activeness,
    "vp": vp,
    "ppl": ppl,
    "kid": kid,
    "fid": fid,
}


def known_scores(run: Run) -> dict[str, Score]:
    """The scores that a run can have.

    Args:
        run: The run.

    Returns:
        Name and function, in the order in which they are computed.
    """
    known: dict[str, Score] = {}
    if run.factor_sizes is not None:
        known |= OF_FACTORS
    if run.autoencodes:
        known |= OF_AUTOENCODERS
    return known | OF_GENERATORS


def usual_scores(run: Run, features: str) -> list[str]:
    """The scores that a run gets if none are asked for by name.

    Args:
        run: The run.
        features: What perceptual scores look at.

    Returns:
        Names out of `known_scores`: the papers' of its kind, but for those that these features
        cannot give.
    """
    usual = {"mig", "modularity", "explicitness", "reconstruction", "jacobian"}
    if run.autoencodes:
        usual.add("local")
    else:
        usual |= {"activeness", "vp", "ppl", "kid"}.difference(_NOT_BY.get(features, ()))
    return [name for name in known_scores(run) if name in usual]


def possible_scores(subject: Subject) -> list[str]:
    """All scores that a run can have with the features and packages at hand.

    Args:
        subject: What is to be scored.

    Returns:
        Names out of `known_scores`, but for the forms of scores of codes that are taken locally, of
        which `local` stands for the papers' two.
    """
    known = known_scores(subject.run)
    left_out = {name for name in known if name.startswith("local_")}
    left_out |= {name for name in _PERCEPTUAL if _hindrance(subject, name) is not None}
    if subject.run.factor_sizes is not None:
        sizes = subject.data.factor_sizes
        if sum(size > 1 for size in sizes) < 2:
            left_out |= {"local", *NEED_TWO_FACTORS, *OWN_DRAWS}
        if not metrics.moves_factors(sizes, min(subject.protocol.radius)):
            left_out.add("local")
    return [name for name in known if name not in left_out]


def check_features(subject: Subject, chosen: Sequence[str]) -> None:
    """Find out before the work starts whether perceptual scores can be had.

    Args:
        subject: What is to be scored.
        chosen: Names of scores.

    Raises:
        ValueError: If one of them cannot be had by these features.
        ImportError: If a package is missing.
    """
    for name in _PERCEPTUAL:
        if name in chosen and (error := _hindrance(subject, name)) is not None:
            raise error


def _hindrance(subject: Subject, name: str) -> ValueError | ImportError | None:
    """Why a perceptual score cannot be had, if so; features are loaded once, now."""
    features = subject.protocol.features
    if name in _NOT_BY.get(features, ()):
        return ValueError(f"features must be others for {name}, got {features!r}")
    try:
        _ = subject.run.features
    except ImportError as error:
        return error
    if name != "ppl" and importlib.util.find_spec("torchmetrics") is None:
        return ImportError(
            "FID and KID need the package torchmetrics: pip install 'axiswise[scores]'"
        )
    return None
