"""The scores that a run can have: declared metrics, taken of a run."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from axiswise import metrics
from axiswise.data import FactorData
from axiswise.metrics import METRICS, Metric
from axiswise.runs.protocol import EvaluationProtocol
from axiswise.runs.run import Run
from axiswise.support.imports import Trust, is_import_path

Scores = dict[str, Any]

LOCAL = "local"  # by itself, those that the paper takes locally; local_NAME is one of any metric's


class Scorable(Protocol):
    """What decides which metrics fit: a `Run` has it, and a run that is not trained yet."""

    @property
    def autoencodes(self) -> bool:
        """Whether its model encodes images and decodes codes."""
        ...

    @property
    def factor_sizes(self) -> tuple[int, ...] | None:
        """(factor,), how many values each has; None if no factors are known."""
        ...

    @property
    def held(self) -> tuple[int, ...]:
        """Indices of the factors that local scores leave at each centre."""
        ...

    @property
    def protocol(self) -> EvaluationProtocol:
        """How it is scored."""
        ...


@dataclass(frozen=True)
class Chosen:
    """A metric that a user has chosen, or its local form."""

    metric: Metric
    local: bool = False

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{LOCAL}_{self.metric.name}" if self.local else self.metric.name


def choose(run: Run, names: Sequence[str] | None) -> list[Chosen]:
    """Find metrics by name, and check that the run can have them.

    Args:
        run: The run.
        names: Names of declared metrics, or import paths of others; `local_NAME` is a metric's
            local form; `local` stands for the paper's local ones, `all` for `local` and all others
            that the run can have. None: the usual ones of such a run.

    Returns:
        The metrics, each once, in the order in which they are computed.

    Raises:
        ValueError: One is unknown, or the run cannot have it.
        ImportError: One cannot be imported, or needs a package that is not installed.
        TypeError: An import path names no metric.
    """
    if names is None:
        names = _usual(run)
    if "all" in names:
        names = [*_possible(run), *(name for name in names if name != "all")]
    chosen = check_names(run, names)
    for one in chosen:
        if (error := _not_installed(run, one.metric)) is not None:
            raise error
    return sorted(chosen, key=lambda one: (one.metric.of_run, one.local))


def check_names(run: Scorable, names: Sequence[str], trust: Trust | None = None) -> list[Chosen]:
    """Find metrics as `choose` does, whatever is installed; `trust` if a file names them."""
    chosen: dict[str, Chosen] = {}
    for name in names:
        for found in [] if name == "all" else _find(run, name, trust):
            _refuse(run, found)
            if chosen.setdefault(found.name, found).metric is not found.metric:
                raise ValueError(
                    f"metrics must have different names, got two called {found.metric.name!r}"
                )
    return list(chosen.values())


def _find(run: Scorable, name: str, trust: Trust | None = None) -> list[Chosen]:
    """The metrics that a name stands for."""
    if name == LOCAL:
        return [Chosen(metric, True) for metric in _declared() if metric.usual_locally]
    local, spec = name.startswith(f"{LOCAL}_"), name.removeprefix(f"{LOCAL}_")
    ours = spec in METRICS.names()
    if not ours and not is_import_path(spec):
        raise ValueError(f"metrics must be out of {_shown(run)}; got {name!r}")
    metric = METRICS.find(spec, trust)
    if not ours and metric.name in METRICS.names():
        raise ValueError(f"metric {spec} must have another name than one of ours")
    if local and not metric.of_codes:
        raise ValueError(f"metrics must be out of {_shown(run)}; got {name!r}")
    return [Chosen(metric, local)]


def _declared() -> list[Metric]:
    return [METRICS.find(name) for name in METRICS.names()]


def _usual(run: Scorable) -> list[str]:
    """The papers' metrics for such a run, but for those that it cannot have."""
    kinds = ("always", "autoencoder" if run.autoencodes else "generator")
    usual = [metric for metric in _declared() if metric.usual in kinds]
    names = [metric.name for metric in usual if _fits(run, Chosen(metric))]
    return [LOCAL, *names] if run.autoencodes and _all_local_fit(run) else names


def _possible(run: Run) -> list[str]:
    """All metrics that a run can have with the features and packages at hand."""
    names = [
        metric.name
        for metric in _declared()
        if metric.usual != "by name"
        and _fits(run, Chosen(metric))
        and _not_installed(run, metric) is None
    ]
    return [LOCAL, *names] if _all_local_fit(run) else names


def _all_local_fit(run: Scorable) -> bool:
    return all(_fits(run, found) for found in _find(run, LOCAL))


def _fits(run: Scorable, chosen: Chosen) -> bool:
    """Whether a run can have a metric, and it means something."""
    if "two factors" in chosen.metric.needs:
        return not _missing(run, chosen) and sum(size > 1 for size in run.factor_sizes or ()) > 1
    return not _missing(run, chosen)


def _missing(run: Scorable, chosen: Chosen) -> str:
    """What a run lacks for a metric, whatever is installed; "" if nothing."""
    metric, sizes = chosen.metric, run.factor_sizes
    if sizes is None and not metric.of_run:
        return "factors"
    if "autoencoder" in metric.needs and not run.autoencodes:
        return "autoencoder"
    if chosen.local and not _varies_locally(run):
        return "radius"
    gives = metrics.features_kind(run.protocol.features).gives
    seen = {"descriptions", "distances"}.intersection(metric.needs)
    return "" if seen <= set(gives) else "features"


def check_radius(run: Scorable) -> None:
    """Refuse a radius within which no factor of the run's data has another value."""
    if run.factor_sizes is not None and not _varies_locally(run):
        raise ValueError(
            f"radius {min(run.protocol.radius)} varies no factor of {run.factor_sizes} values"
        )


def _varies_locally(run: Scorable) -> bool:
    radius = min(run.protocol.radius)
    return metrics.varies_locally(run.factor_sizes or (), radius, held=run.held)


def _refuse(run: Scorable, chosen: Chosen) -> None:
    """Raise an error if a run cannot have a metric, whatever is installed."""
    missing = _missing(run, chosen)
    if missing == "features":
        features = run.protocol.features
        raise ValueError(f"features must be others for {chosen.name}, got {features!r}")
    if missing == "radius":
        check_radius(run)
    if missing:
        raise ValueError(f"metrics must be out of {_shown(run)}; got {chosen.name!r}")


def _not_installed(run: Run, metric: Metric) -> ImportError | None:
    """The error of a missing package, if any; features are loaded once, now."""
    for package in metric.packages:
        if importlib.util.find_spec(package) is None:
            return ImportError(
                f"{metric.name} needs the package {package}: pip install 'axiswise[scores]'"
            )
    if {"descriptions", "distances"}.intersection(metric.needs):
        try:
            _ = run.features
        except ImportError as error:
            return error
    return None


def _shown(run: Scorable) -> str:
    """The names of metrics that a run can have, for people."""
    fitting = [metric for metric in _declared() if _fits(run, Chosen(metric))]
    names = [metric.name for metric in fitting]
    if run.factor_sizes is None:
        return ", ".join([*names, "all"]) + " (the true factors of these images are not known)"
    of_codes = ", ".join(metric.name for metric in fitting if metric.of_codes)
    own = "an import path (module:name) of your own"
    return ", ".join([LOCAL, *names, "all"]) + f"; local_NAME, of {of_codes}; or {own}"


def score_table() -> list[list[str]]:
    """The declared metrics as a table of text, a header first: name, needs, usual, what it is."""
    runs = {"always": "every run", "autoencoder": "VAEs", "generator": "GANs", "never": ""}
    runs["by name"] = "no, nor by all"
    rows = [["metric", "needs", "unasked", "what"]]
    for metric in _declared():
        factors = not metric.of_run and "two factors" not in metric.needs
        needs = [*(["factors"] if factors else []), *metric.needs, *metric.packages]
        gives = f" ({', '.join(metric.numbers)})" if metric.numbers else ""
        what = metric.summary.removeprefix("Measures ") + gives
        rows.append([metric.name, ", ".join(needs), runs[metric.usual], what])
    for form, what in (
        (LOCAL, "the metrics that JL1-VAE's paper takes around centres in factor space"),
        (f"{LOCAL}_NAME", "any metric of codes, taken so"),
    ):
        rows.append([form, "factors", "VAEs" if form == LOCAL else "", what])
    return rows


@dataclass(frozen=True)
class Scoring:
    """The scores of a run by chosen metrics, with one pass of encoding for all."""

    run: Run
    chosen: Sequence[Chosen]

    def take(self, chosen: Chosen) -> Scores:
        """The scores by one of the metrics, by name.

        Local scores are rows of mean, std and values by radius; all of them come at once.
        """
        metric = chosen.metric
        if chosen.local:
            return self._local
        settings = self._settings(metric)
        if metric.of_run:
            return metric.of(metric.function(self.run, **settings))
        factors, codes = self._encoded[self._sample(metric)]
        if metric.draws is not None:
            return metric.of(metric.function(codes, self._draws[metric.name], **settings))
        score = self._of_codes(metric, progress=self.run.start_bar)
        return score(codes.double().numpy(), factors.cpu().numpy())

    def _of_codes(
        self, metric: Metric, progress: Callable[[str], Any] | None = None, **options: Any
    ) -> Callable[[Any, Any], dict[str, Any]]:
        """A score of codes and factors, over all axes and over the active ones."""

        def score(codes: Any, factors: Any) -> dict[str, Any]:
            rng = torch.Generator().manual_seed(self.run.seed)
            given = {**self._settings(metric), **options, "rng": rng}
            if progress is not None and "progress" in metric.parameters:
                given["progress"] = progress(metric.name)
            return metric.of_arrays(codes, factors, **given)

        return score if metric.chooses_axes else metrics.with_active(score, self.run.active)

    def _settings(self, metric: Metric) -> dict[str, Any]:
        """The keyword arguments that the protocol gives a metric."""
        return {word: getattr(self.run.protocol, key) for word, key in metric.settings.items()}

    @cached_property
    def _draws(self) -> dict[str, Any]:
        """What the metrics with a sampling protocol of their own have drawn, by name."""
        return {
            one.metric.name: one.metric.draws(
                self.run.factor_sizes, rng=torch.Generator().manual_seed(self.run.seed)
            )
            for one in self.chosen
            if one.metric.draws is not None
        }

    def _sample(self, metric: Metric) -> str:
        """The sample of factors that a metric is taken of: its own, or the shared one."""
        return "" if metric.draws is None else metric.name

    @cached_property
    def _encoded(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Factors and their codes, by sample, encoded in one pass."""
        assert isinstance(self.run.data, FactorData)
        factors = {name: draws.factors for name, draws in self._draws.items()}
        if any(one.metric.of_codes and not one.local for one in self.chosen):
            rng = torch.Generator().manual_seed(self.run.seed)
            factors[""] = self.run.data.sample_factors(self.run.protocol.samples, rng)
        codes = self.run.codes(torch.cat([*factors.values()]), self.run.start_bar("codes"))
        parts = codes.split([len(rows) for rows in factors.values()])
        return dict(zip(factors, zip(factors.values(), parts, strict=True), strict=True))

    @cached_property
    def _local(self) -> Scores:
        """All local scores, by name and radius: one pass of encoding for each radius."""
        run, protocol = self.run, self.run.protocol
        wanted = {
            one.metric.name: self._of_codes(one.metric, bins=protocol.bins)
            for one in self.chosen
            if one.local
        }
        table: Scores = {}
        for value in protocol.radius:
            found = metrics.local_scores(
                run.codes,
                run.factor_sizes or (),
                value,
                wanted,
                samples=protocol.samples,
                centres=protocol.centres,
                batch_size=protocol.samples,
                held=run.held,
                rng=torch.Generator().manual_seed(run.seed),
                progress=run.start_bar(f"local scores, radius {value:g}"),
            )
            for name, score in found.items():
                row = {"mean": score.mean, "std": score.std, "values": score.values.tolist()}
                table.setdefault(f"{LOCAL}_{name}", {})[f"{value:g}"] = row
        return table
