"""What `axiswise evaluate` can score, by name."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from axiswise import metrics
from axiswise.commands.loading import TrainedRun, VAERun
from axiswise.data import FactorData
from axiswise.metrics import JacobianDiagnostics
from axiswise.objectives import kl_divergence, negative_log_likelihood
from axiswise.penalties import jl1_penalty
from axiswise.training.config import EvaluationConfig
from axiswise.training.vae import ACTIVE, decoder_logits

StartBar = Callable[[str], Callable[[int, int], None]]
Scores = dict[str, Any]

# Perceptual scores that features cannot give: Inception has no distance, LPIPS nothing else.
_NOT_BY = {"inception": ("ppl",), "lpips": ("kid", "fid")}
# Encoded or generated at once. On a CPU, more fall out of its cache and take twice as long.
_BATCH = {"cpu": 64, "cuda": 4096}
JACOBIAN_SAMPLES = 500
_ACTIVITY_SAMPLES = 1000
_LEAST_ACTIVENESS = 1e-3


@dataclass(frozen=True)
class Subject:
    """A run, and all that its scores share.

    Attributes:
        run: The run.
        protocol: How to score it.
        seed: Fixes what is sampled.
        start_bar: Starts a progress bar.
    """

    run: TrainedRun
    protocol: EvaluationConfig
    seed: int
    start_bar: StartBar = lambda _: lambda *_: None

    def rng(self) -> torch.Generator:
        """Randomness for a score, on the run's device: the same for each."""
        return torch.Generator(self.run.device).manual_seed(self.seed)

    @torch.no_grad()
    def generate(self, z: Tensor) -> Tensor:
        """Images in [0, 1], float32, of latents on any device."""
        return self.run.network.generate(z.to(self.run.device)).float()

    @cached_property
    def activity(self) -> Tensor:
        """How much each axis does, (latent,), on the CPU.

        Of a VAE, the KL divergence from the prior, mean over a thousand images, nats; of a GAN, the
        activeness (see `axiswise.metrics.activeness`).
        """
        if isinstance(self.run, VAERun):
            images = self.run.images(_ACTIVITY_SAMPLES, self.seed)
            with torch.no_grad():
                mean, log_variance = self.run.network.encoder(images)
            return kl_divergence(mean, log_variance).mean(0).cpu()
        return metrics.activeness(self.generate, self.run.latent_dim, rng=self.rng()).cpu().float()

    @property
    def threshold(self) -> float:
        """The activity above which an axis counts as active.

        A hundredth of a nat, or a thousandth of the largest activeness: an axis that changes the
        image by a thirtieth of what the most active one does.
        """
        if isinstance(self.run, VAERun):
            return ACTIVE
        return _LEAST_ACTIVENESS * float(self.activity.max())

    @property
    def active(self) -> Tensor:
        """Which axes are active, (latent,), boolean, on the CPU."""
        return self.activity > self.threshold

    @cached_property
    def diagnostics(self) -> JacobianDiagnostics:
        """What the columns of the generator's Jacobian say."""
        return metrics.jacobian_diagnostics(
            self.run.generator,
            self.run.latents(JACOBIAN_SAMPLES, self.seed),
            active=self.active,
            progress=self.start_bar("Jacobian"),
        )

    @cached_property
    def features(self) -> metrics.Features:
        """What perceptual scores look at."""
        return metrics.features(self.protocol.features, self.run.device)

    @cached_property
    def encode(self) -> Callable[[Tensor], Tensor]:
        """What turns images on the run's device into codes, (image, latent), there.

        A VAE's own encoder, its means; for a GAN, an encoder trained on generated images.
        """
        if isinstance(self.run, VAERun):
            encoder = self.run.network.encoder
            return lambda images: encoder(images)[0]
        return metrics.train_inverse(
            self.generate,
            self.run.latent_dim,
            self.run.config.data.shape,
            rng=self.rng(),
            progress=self.start_bar("encoder of generated images"),
        )

    @torch.no_grad()
    def codes(self, factors: Tensor) -> Tensor:
        """Codes of the images that have these factors, (sample, latent), on the CPU."""
        parts = factors.to(self.run.device).split(_BATCH.get(self.run.device.type, 1024))
        render = self.run.config.data.render
        return torch.cat([self.encode(render(part)) for part in parts]).cpu()

    @cached_property
    def factors_and_codes(self) -> tuple[Tensor, Tensor]:
        """A sample for global scores: factors (sample, factor) and codes (sample, latent)."""
        data = self.run.config.data
        assert isinstance(data, FactorData)
        rng = torch.Generator().manual_seed(self.seed)
        factors = data.sample_factors(self.protocol.samples, rng)
        return factors, self.codes(factors)


def local(subject: Subject) -> Scores:
    """MIG and modularity around centres, by radius."""
    data, protocol = subject.run.config.data, subject.protocol
    assert isinstance(data, FactorData)
    active = subject.active
    table: Scores = {}
    for value in protocol.radius:
        found = metrics.local_scores(
            subject.codes,
            data.factor_sizes,
            value,
            metrics.local_metrics(protocol.bins, active if active.any() else None),
            samples=protocol.samples,
            centres=protocol.centres,
            rng=torch.Generator().manual_seed(subject.seed),
            progress=subject.start_bar(f"local scores, radius {value:g}"),
        )
        for name, score in found.items():
            row = {"mean": score.mean, "std": score.std, "values": score.values.tolist()}
            table.setdefault(f"local_{name}", {})[f"{value:g}"] = row
    return table


def _of_codes(name: str, metric: Callable[[Tensor, Tensor], Any]) -> Callable[[Subject], Scores]:
    def score(subject: Subject) -> Scores:
        factors, codes = subject.factors_and_codes
        scores = {name: float(metric(codes, factors))}
        if subject.active.any():
            scores[f"{name}_active"] = float(metric(codes[:, subject.active], factors))
        return scores

    return score


@torch.no_grad()
def reconstruction(subject: Subject) -> Scores:
    """How well a VAE gives images back."""
    run = subject.run
    assert isinstance(run, VAERun)
    images = run.images(_ACTIVITY_SAMPLES, subject.seed)
    mean, _ = run.network.encoder(images)
    logits = decoder_logits(run.network.decoder, mean)
    objective = run.config.objective
    likelihood = negative_log_likelihood(images, logits, objective.likelihood, objective.sigma)
    error = (logits.sigmoid() - images).abs().mean()
    return {"nll_of_means": float(likelihood.mean()), "mean_absolute_error": float(error)}


@torch.no_grad()
def jacobian(subject: Subject) -> Scores:
    """Numbers about the columns of the generator's Jacobian."""
    found = subject.diagnostics
    z = subject.run.latents(JACOBIAN_SAMPLES, subject.seed)
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


def activeness(subject: Subject) -> Scores:
    """How much each latent changes the image: mean over latents, and the largest."""
    found = subject.activity
    if isinstance(subject.run, VAERun):
        found = metrics.activeness(subject.generate, subject.run.latent_dim, rng=subject.rng())
    return {"activeness": float(found.mean()), "activeness_max": float(found.max())}


def vp(subject: Subject) -> Scores:
    """Variation Predictability: mean and spread over repeats."""
    protocol, rng = subject.protocol, subject.rng()
    latents = None
    if protocol.vp_latents is not None:
        latents = subject.activity.argsort(descending=True)[: protocol.vp_latents].tolist()
    images, labels = metrics.vp_pairs(
        subject.generate,
        subject.run.latent_dim,
        latents=latents,
        rng=rng,
        progress=subject.start_bar("pairs of images"),
    )
    score = metrics.vp_score(
        images,
        labels,
        protocol.vp,
        rng=rng,
        progress=subject.start_bar("Variation Predictability"),
    )
    return {"vp": score.mean, "vp_std": score.std}


def _named(subject: Subject, name: str, value: float) -> Scores:
    """Scores of different features must not meet in one table: their names tell them apart."""
    return {f"{name}_{subject.protocol.features}": value}


def ppl(subject: Subject) -> Scores:
    """Perceptual path length."""
    value = metrics.perceptual_path_length(
        subject.generate,
        subject.run.latent_dim,
        subject.features.distance,
        samples=subject.protocol.paths,
        rng=subject.rng(),
        progress=subject.start_bar("perceptual path length"),
    )
    return _named(subject, "ppl", value)


def _two_sets(subject: Subject) -> tuple[Tensor, Tensor, metrics.Features]:
    """Real images, generated ones, and what looks at them."""
    count, run = subject.protocol.images, subject.run
    z = torch.randn(count, run.latent_dim, generator=subject.rng(), device=run.device)
    parts = z.split(_BATCH.get(run.device.type, 1024))
    generated = torch.cat([subject.generate(part) for part in parts])
    return run.images(count, subject.seed), generated, subject.features


def kid(subject: Subject) -> Scores:
    """Kernel distance of generated images from the data."""
    found = metrics.kernel_distance(
        *_two_sets(subject), rng=subject.rng(), progress=subject.start_bar("KID")
    )
    return _named(subject, "kid", found.mean)


def fid(subject: Subject) -> Scores:
    """Fréchet distance of generated images from the data."""
    found = metrics.frechet_distance(*_two_sets(subject), progress=subject.start_bar("FID"))
    return _named(subject, "fid", found)


Score = Callable[[Subject], Scores]

# Scores that need the true factors; that need an encoder and a decoder; that any generator has.
OF_FACTORS: dict[str, Score] = {
    "local": local,
    "mig": _of_codes("mig", metrics.mig),
    "modularity": _of_codes("modularity", metrics.modularity),
    "explicitness": _of_codes("explicitness", metrics.explicitness),
}
OF_AUTOENCODERS: dict[str, Score] = {"reconstruction": reconstruction}
OF_GENERATORS: dict[str, Score] = {
    "jacobian": jacobian,
    "activeness": activeness,
    "vp": vp,
    "ppl": ppl,
    "kid": kid,
    "fid": fid,
}


def known_scores(run: TrainedRun) -> dict[str, Score]:
    """The scores that a run can have.

    Args:
        run: The run.

    Returns:
        Name and function, in the order in which they are computed.
    """
    known: dict[str, Score] = {}
    if isinstance(run.config.data, FactorData):
        known |= OF_FACTORS
    if isinstance(run, VAERun):
        known |= OF_AUTOENCODERS
    return known | OF_GENERATORS


def usual_scores(run: TrainedRun, features: str) -> list[str]:
    """The scores that a run gets if none are asked for by name.

    Args:
        run: The run.
        features: What perceptual scores look at.

    Returns:
        Names out of `known_scores`: the papers' of its kind, but for those that these features
        cannot give.
    """
    left_out = {"activeness", "vp", "ppl", "kid", "fid"}
    if not isinstance(run, VAERun):
        left_out = {"local", "fid", *_NOT_BY.get(features, ())}
    return [name for name in known_scores(run) if name not in left_out]


def check_features(subject: Subject, chosen: Sequence[str]) -> None:
    """Find out before the work starts whether perceptual scores can be had.

    Args:
        subject: What is to be scored.
        chosen: Names of scores.

    Raises:
        ValueError: If one of them cannot be had by these features.
        ImportError: If a package is missing.
    """
    wanted = [name for name in chosen if name in ("ppl", "kid", "fid")]
    for name in wanted:
        if name in _NOT_BY.get(subject.protocol.features, ()):
            raise ValueError(
                f"features must be others for {name}, got {subject.protocol.features!r}"
            )
    if wanted:
        _ = subject.features  # loaded once, now
        if wanted != ["ppl"] and importlib.util.find_spec("torchmetrics") is None:
            raise ImportError(
                "FID and KID need the package torchmetrics: pip install 'axiswise[scores]'"
            )
