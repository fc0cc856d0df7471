"""`axiswise evaluate` and `axiswise show` of a GAN: numbers against the metrics called by hand."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from axiswise import metrics, plots
from axiswise.metrics import JACOBIAN_SAMPLES, METRICS
from axiswise.nets import SimpleGenerator
from axiswise.nets.inception import Inception
from axiswise.runs import show
from axiswise.runs.evaluate import evaluate_run
from axiswise.runs.run import Run, load_run
from axiswise.runs.scores import choose
from axiswise.runs.show import show_run

SEED = 3


@pytest.fixture
def run(trained_gan: Path, tmp_path: Path) -> Run:
    found = load_run(shutil.copytree(trained_gan, tmp_path / "copy"))
    protocol = replace(found.protocol, samples=300, images=10, paths=100)
    return replace(found, protocol=protocol)


def _rng() -> torch.Generator:
    return torch.Generator(_device()).manual_seed(SEED)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _unit(run: Run, z: Tensor) -> Tensor:
    with torch.no_grad():
        return (run.model(z) + 1) / 2


def _dead(run: Run, axis: int) -> Run:
    """The run with an axis that changes nothing."""
    with torch.no_grad():
        run.model.get_submodule("0.1").weight[axis] = 0.0
    return run


def test_activeness_and_columns_are_those_of_the_generator(run: Run) -> None:
    run = _dead(run, 1)
    result = evaluate_run(run, ["activeness", "jacobian"], seed=SEED)
    scores, latent = result["scores"], run.latent_dim
    activeness = metrics.activeness(lambda z: _unit(run, z), latent, rng=_rng())
    assert result["activeness_per_axis"] == pytest.approx(activeness.tolist(), rel=1e-4)
    assert scores["active_axes"] == latent - 1
    assert scores["activeness"] == pytest.approx(float(activeness.mean()), rel=1e-5)
    assert scores["activeness_max"] == pytest.approx(float(activeness.max()), rel=1e-5)

    z = torch.randn(JACOBIAN_SAMPLES, latent, generator=_rng(), device=_device())
    alive = torch.arange(latent) != 1
    expected = metrics.jacobian_diagnostics(run.model, z, active=alive)
    assert scores["mean_cosine"] == pytest.approx(expected.mean_cosine, rel=1e-5)
    assert scores["off_diagonal_share"] == pytest.approx(expected.off_diagonal_share, rel=1e-5)
    assert scores["column_length"] == pytest.approx(float(expected.lengths.mean()), rel=1e-5)


def test_codes_are_those_of_an_encoder_of_generated_images(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here one that gives the first pixels back, so that its codes of real images are known."""
    asked: list[Any] = []

    def inverse(generator: Any, latent_dim: int, shape: Any, **_: Any) -> Any:
        z = torch.zeros(2, latent_dim, device=_device())
        torch.testing.assert_close(generator(z), _unit(run, z))
        asked.append((latent_dim, tuple(shape)))
        return lambda images: images.flatten(1)[:, 100 : 100 + latent_dim]

    monkeypatch.setattr(metrics, "train_inverse", inverse)
    found = METRICS.find("factor_vae")
    few = partial(found.draws, train=50, test=20, batch_size=4, variance_samples=50)
    monkeypatch.setitem(METRICS._declared, "factor_vae", replace(found, draws=few))
    chosen = ["mig", "modularity", "total_correlation", "factor_vae"]
    scores = evaluate_run(run, chosen, seed=SEED)["scores"]
    data = run.data
    factors = data.draw(300, torch.Generator().manual_seed(SEED))
    codes = data.render(factors).flatten(1)[:, 100 : 100 + run.latent_dim]
    assert asked == [(run.latent_dim, data.shape)]
    assert scores["mig"] == pytest.approx(float(metrics.mig(codes, factors)), rel=1e-6)
    assert scores["modularity"] == pytest.approx(float(metrics.modularity(codes, factors)))
    assert scores["total_correlation"] == pytest.approx(metrics.total_correlation(codes), rel=1e-4)
    draws = few(data.factor_sizes, rng=torch.Generator().manual_seed(SEED))
    pixels = data.render(draws.factors).flatten(1)[:, 100 : 100 + run.latent_dim]
    assert scores["factor_vae"] == float(metrics.factor_vae_of_codes(pixels, draws))


def test_vp_is_about_the_most_active_latents_where_asked(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _dead(run, 0)
    protocol = replace(run.protocol, vp="clevr", vp_latents=2)
    run = replace(run, protocol=protocol)
    pairs, score = metrics.vp_pairs, metrics.vp_score
    chosen: list[list[int]] = []

    def few(generator: Any, latent_dim: int, *, latents: list[int], **settings: Any) -> Any:
        chosen.append(latents)
        return pairs(generator, latent_dim, pairs=200, latents=latents, **settings)

    def short(images: Tensor, labels: Tensor, protocol: str, **settings: Any) -> Any:
        assert protocol == "clevr"
        quick = replace(metrics.VP_PROTOCOLS[protocol], epochs=1)
        return score(images, labels, quick, repeats=2, **settings)

    monkeypatch.setattr("axiswise.metrics.vp.vp_pairs", few)
    monkeypatch.setattr("axiswise.metrics.vp.vp_score", short)
    scores = evaluate_run(run, ["vp"], seed=SEED)["scores"]
    activeness = metrics.activeness(lambda z: _unit(run, z), run.latent_dim, rng=_rng())
    assert chosen == [activeness.argsort(descending=True)[:2].tolist()]
    assert 0 <= scores["vp"] <= 1
    assert scores["vp_std"] >= 0


def test_perceptual_scores_carry_the_name_of_their_features(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torchmetrics")

    def length(generator: Any, latent_dim: int, distance: Any, **settings: Any) -> float:
        z = torch.zeros(2, latent_dim, device=_device())
        torch.testing.assert_close(generator(z), _unit(run, z))
        assert distance.__self__.name == "efficientnet-lite0"
        assert settings["samples"] == run.protocol.paths
        return 0.25

    monkeypatch.setattr("axiswise.metrics.ppl.perceptual_path_length", length)
    scores = evaluate_run(run, ["kid", "ppl"], seed=SEED)["scores"]
    assert scores.keys() == {"active_axes", "kid_efficientnet-lite0", "ppl_efficientnet-lite0"}
    assert scores["ppl_efficientnet-lite0"] == 0.25
    features = metrics.features("efficientnet-lite0")
    z = torch.randn(10, run.latent_dim, generator=_rng(), device=_device())
    images = replace(run, seed=SEED).images(10)
    expected = metrics.kernel_distance(images, _unit(run, z), features, rng=_rng())
    assert scores["kid_efficientnet-lite0"] == pytest.approx(expected.mean, rel=1e-3)


def test_scores_of_other_features_stand_beside_each_other(run: Run) -> None:
    evaluate_run(run, ["activeness"], seed=SEED)
    written = json.loads(run.folder.evaluation.read_text())
    written["scores"]["kid_inception"] = 0.25
    run.folder.evaluation.write_text(json.dumps(written))
    result = evaluate_run(run, ["activeness"], seed=SEED, features="lpips")
    assert result["scores"]["kid_inception"] == 0.25


def test_scores_of_a_file_of_weights_are_named_after_them(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torchmetrics")
    file = tmp_path / "inception.pth"
    torch.save(Inception().state_dict(), file)
    name = metrics.features(str(file)).name

    monkeypatch.setattr(Inception, "forward", lambda _, x: x[:, 0, ::10, ::10].flatten(1))
    scores = evaluate_run(run, ["kid"], seed=SEED, features=str(file))["scores"]
    assert scores.keys() == {"active_axes", f"kid_{name}"}
    result = evaluate_run(run, ["activeness"], seed=SEED)
    assert result["scores"][f"kid_{name}"] == scores[f"kid_{name}"]
    with pytest.raises(ValueError, match=f"features must be others for ppl, got '{name}'"):
        evaluate_run(run, ["ppl"], features=str(file))


def test_other_weights_do_not_keep_scores(run: Run) -> None:
    evaluate_run(run, ["activeness"], seed=SEED)
    assert "activeness" not in evaluate_run(_dead(run, 0), ["jacobian"], seed=SEED)["scores"]


def test_unknown_features_are_refused_with_the_known_ones(run: Run) -> None:
    with pytest.raises(
        ValueError, match=r"features must be one of efficientnet-lite0.*got 'vgg11'"
    ):
        evaluate_run(run, ["kid"], features="vgg11")
    assert not run.folder.evaluation.exists()


def test_what_a_gan_is_scored_by(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def usual(features: Any) -> set[str]:
        protocol = replace(run.protocol, features=features)
        return {one.name for one in choose(replace(run, protocol=protocol), None)}

    monkeypatch.setattr(Run, "features", None)
    of_codes = {"mig", "modularity", "explicitness"}
    both = of_codes | {"jacobian", "activeness", "vp"}
    assert usual("efficientnet-lite0") == both | {"ppl", "kid"}
    assert usual("inception") == both | {"kid"}
    assert usual("lpips") == both | {"ppl"}
    with pytest.raises(ValueError, match="got 'reconstruction'"):
        evaluate_run(run, ["reconstruction"])


@pytest.mark.parametrize(("name", "features"), [("ppl", "inception"), ("kid", "lpips")])
def test_scores_that_features_cannot_give_are_refused_before_the_work(
    run: Run, name: str, features: str
) -> None:
    with pytest.raises(ValueError, match=f"features must be others for {name}, got '{features}'"):
        evaluate_run(run, ["activeness", name], features=features)
    assert not run.folder.evaluation.exists()


def test_scores_that_are_taken_outlive_an_error_in_the_next(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("axiswise.metrics.vp.vp_pairs", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        evaluate_run(run, ["jacobian", "vp"], seed=SEED)
    written = json.loads(run.folder.evaluation.read_text())
    assert "mean_cosine" in written["scores"]
    lengths = written["column_length_per_axis"]
    assert written["scores"]["column_length"] == pytest.approx(sum(lengths) / len(lengths), 1e-3)


def test_the_pictures_of_a_gan(run: Run) -> None:
    report = show_run(run).read_text(encoding="utf-8")
    stills = {"columns", "traversals", "cosines", "activeness", "samples", "losses"}
    expected = {f"{name}.png" for name in stills} | {"traversals.gif", "traversals.mp4"}
    assert {path.name for path in run.folder.pictures.iterdir()} == expected
    assert "variance over −2, 0 and 2" in report
    assert report.count("<figcaption") >= len(expected) - 1


def test_an_axis_that_does_nothing_is_drawn_apart(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []

    def note(frames: Tensor, activity: Tensor, _values: Any, **settings: Any) -> None:
        given.append({"activity": activity, **settings})
        assert frames.min() >= 0
        assert frames.max() <= 1

    monkeypatch.setattr(plots, "traversals", note)
    monkeypatch.setattr(plots, "save", lambda *_: None)
    draw, _ = show.pictures_of_axes(_dead(run, 1))["traversals.png"]
    draw(run.folder.pictures / "traversals.png")
    (settings,) = given
    active = settings["activity"] > settings["active_above"]
    assert (~active).nonzero().flatten().tolist() == [1]
    assert settings["activity_name"] == "activeness"


def test_the_network_is_the_average_that_was_saved(run: Run) -> None:
    assert isinstance(run.model, SimpleGenerator)
    assert not run.model.training
    z = torch.randn(2, run.latent_dim)
    saved = SimpleGenerator.from_pretrained(run.folder.path)
    torch.testing.assert_close(run.model.cpu()(z), saved(z))
