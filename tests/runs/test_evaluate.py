"""`axiswise evaluate`: its numbers, from the encoder and by hand."""

import importlib.util
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score
from torch import Tensor

import axiswise as aw
from axiswise.data import Cars3D, Grid, ImageFolder, NaturalPatches, ThreeDots
from axiswise.metrics import JACOBIAN_SAMPLES, METRICS
from axiswise.nets import ConvVAE
from axiswise.objectives import BetaVAE
from axiswise.runs.evaluate import evaluate_run
from axiswise.runs.run import Run, load_run
from axiswise.runs.scores import choose

SEED = 3
JACOBIAN = (
    "jl1",
    "column_length",
    "off_diagonal_share",
    "sparsity",
    "ima_contrast",
    "mean_cosine",
)


@pytest.fixture
def run(trained_copy: Path) -> Run:
    return load_run(trained_copy)


def _with_dead_axes(folder: Path, dead: list[int]) -> Run:
    """The run with axes whose codes are the prior whatever the image: their KL divergence is 0."""
    vae = ConvVAE.from_pretrained(folder)
    with torch.no_grad():
        for layer in (vae.encoder.mean, vae.encoder.log_variance):
            layer.weight[dead] = 0.0
            layer.bias[dead] = 0.0
    vae.save_pretrained(folder)
    return load_run(folder)


def _codes(run: Run, factors: Tensor) -> Tensor:
    with torch.no_grad():
        return run.model.encoder(run.data.render(factors))[0]


def _bins(code: np.ndarray, bins: int) -> np.ndarray:
    edges = np.linspace(code.min(), code.max(), bins + 1)
    return np.digitize(code, edges[1:-1])


def _mig(codes: Tensor, factors: Tensor, bins: int) -> float:
    """Pair by pair, with scikit-learn."""
    table = np.array(
        [
            [mutual_info_score(_bins(code, bins), factor) for factor in factors.numpy().T]
            for code in codes.double().numpy().T
        ]
    )
    ranked = np.sort(table, axis=0)
    entropies = np.array([mutual_info_score(factor, factor) for factor in factors.numpy().T])
    return float(((ranked[-1] - ranked[-2]) / entropies).mean())


def _factors(samples: int) -> Tensor:
    rng = torch.Generator().manual_seed(SEED)
    return torch.stack([torch.randint(16, (samples,), generator=rng) for _ in range(6)], 1)


def test_global_scores_are_those_of_the_encoder_s_means(trained_copy: Path) -> None:
    run = _with_dead_axes(trained_copy, [2])
    scores = evaluate_run(run, ["mig", "modularity", "explicitness"], seed=SEED)["scores"]
    factors = _factors(200)
    codes = _codes(run, factors)
    alive = codes[:, [0, 1, 3]]
    assert scores["active_axes"] == 3
    assert scores["mig"] == pytest.approx(_mig(codes, factors, 20), rel=1e-6)
    assert scores["mig_active"] == pytest.approx(_mig(alive, factors, 20), rel=1e-6)
    for name in ("modularity", "explicitness"):
        metric = getattr(aw.metrics, name)
        assert scores[name] == pytest.approx(float(metric(codes, factors)), rel=1e-6)
        assert scores[f"{name}_active"] == pytest.approx(float(metric(alive, factors)), rel=1e-6)
    assert scores["modularity"] == pytest.approx(0.75 * scores["modularity_active"])


def test_local_scores_follow_the_recipe_s_protocol(trained_copy: Path) -> None:
    run = _with_dead_axes(trained_copy, [0, 3])
    done: list[tuple[str, int, int]] = []

    def start_bar(name: str) -> Callable[[int, int], None]:
        return lambda count, total: done.append((name, count, total))

    result = evaluate_run(run, ["local"], seed=SEED, start_bar=start_bar)
    scores = result["scores"]
    for radius in ("0.3", "1"):
        for name, axes in (("mig", [0, 1, 2, 3]), ("mig_active", [1, 2])):
            expected = aw.metrics.local_scores(
                lambda factors, axes=axes: _codes(run, factors)[:, axes],
                (16,) * 6,
                float(radius),
                samples=200,
                centres=2,
                rng=torch.Generator().manual_seed(SEED),
            )["mig"]
            row = scores[f"local_{name}"][radius]
            assert row["values"] == pytest.approx(expected.values.tolist(), rel=1e-6)
            assert row["mean"] == pytest.approx(np.mean(row["values"]))
            assert row["std"] == pytest.approx(float(expected.std), rel=1e-6)
    local = {"local_mig", "local_modularity"}
    assert scores.keys() == {"active_axes"} | local | {f"{name}_active" for name in local}
    assert done == [(f"local scores, radius {r}", i, 2) for r in ("0.3", "1") for i in (1, 2)]
    assert result["protocol"] == {
        "radius": [0.3, 1.0],
        "centres": 2,
        "samples": 200,
        "bins": 5,
        "held": None,
        "vp": "dsprites",
        "vp_latents": None,
        "images": 2000,
        "paths": 2000,
        "features": "efficientnet-lite0",
        "dci": "forest",
        "evaluation_seed": SEED,
    }


def test_reconstruction_scores_by_hand(run: Run) -> None:
    scores = evaluate_run(run, ["reconstruction"], seed=SEED)["scores"]
    images = run.data.render(_factors(1000))
    with torch.no_grad():
        decoded = run.model.decoder(run.model.encoder(images)[0]).double()
    images = images.double()
    nll = -(images * decoded.log() + (1 - images) * (1 - decoded).log()).sum((1, 2, 3)).mean()
    assert scores["nll_of_means"] == pytest.approx(float(nll), rel=1e-5)
    assert scores["mean_absolute_error"] == pytest.approx(float((images - decoded).abs().mean()))


def test_jacobian_scores_by_hand(trained_copy: Path) -> None:
    run = _with_dead_axes(trained_copy, [1])
    scores = evaluate_run(run, ["jacobian"], seed=SEED)["scores"]
    z = _codes(run, _factors(JACOBIAN_SAMPLES))
    oracle = torch.autograd.functional.jacobian(lambda z: run.model.decoder(z).sum(0), z)
    columns = oracle.permute(3, 4, 0, 1, 2).flatten(2).double()  # (batch, latent, pixel)
    length = columns.norm(dim=2)
    unit = columns / length[..., None]
    cosines = unit @ unit.transpose(1, 2)
    assert scores["jl1"] == pytest.approx(float(columns.abs().sum((1, 2)).mean()), rel=1e-5)
    alive = [0, 2, 3]
    sparsity = columns.abs().sum(2) / length / 16  # √ of 16 × 16 pixels
    assert scores["sparsity"] == pytest.approx(float(sparsity[:, alive].mean()), rel=1e-5)
    assert scores["column_length"] == pytest.approx(float(length.mean()), rel=1e-5)
    contrast = -torch.linalg.slogdet(cosines[:, alive][:, :, alive]).logabsdet / 2
    assert scores["ima_contrast"] == pytest.approx(float(contrast.mean()), rel=1e-4)
    pairs = [cosines[:, i, j].abs().mean() for i in alive for j in alive if i != j]
    assert scores["mean_cosine"] == pytest.approx(float(sum(pairs)) / 6, rel=1e-5)
    energy = (columns @ columns.transpose(1, 2)).square()
    share = 1 - energy.diagonal(dim1=1, dim2=2).sum(1) / energy.sum((1, 2))
    assert scores["off_diagonal_share"] == pytest.approx(float(share.mean()), rel=1e-5)


def test_activity_is_the_mean_kl_divergence_of_each_axis(trained_copy: Path) -> None:
    run = _with_dead_axes(trained_copy, [1, 2])
    with torch.no_grad():
        mean, log_variance = run.model.encoder(run.data.render(_factors(1000)))
    expected = (mean**2 + log_variance.exp() - 1 - log_variance).mean(0) / 2
    found = replace(run, seed=SEED).activity
    torch.testing.assert_close(found, expected)
    assert found[[1, 2]].tolist() == [0.0, 0.0]
    result = evaluate_run(run, ["reconstruction"], seed=SEED)
    assert result["kl_per_axis"] == pytest.approx(expected.tolist(), abs=5e-5)
    assert result["scores"]["active_axes"] == 2


def test_all_metrics_are_chosen_by_default_and_written_to_the_folder(run: Run) -> None:
    result = evaluate_run(run)
    written = json.loads(run.folder.evaluation.read_text())
    assert written == result
    assert (written["name"], written["seed"], written["step"]) == ("tiny", 0, 40)
    plain = {"local_mig", "local_modularity", "mig", "modularity", "explicitness"}
    images = {"nll_of_means", "mean_absolute_error", *JACOBIAN}
    expected = plain | {f"{name}_active" for name in plain} | images
    assert written["scores"].keys() == expected | {"active_axes"}
    assert evaluate_run(run)["scores"] == result["scores"]


def test_radii_of_one_s_own_replace_the_recipe_s(run: Run) -> None:
    result = evaluate_run(run, ["local"], radius=[0.5])
    assert list(result["scores"]["local_mig"]) == ["0.5"]
    assert result["protocol"]["radius"] == [0.5]


def test_named_factors_are_held_by_local_scores(run: Run) -> None:
    held = [name for name in run.data.factor_names if name != "y1"]  # type: ignore[attr-defined]
    result = evaluate_run(run, ["local"], radius=[0.5], held=held)
    assert result["protocol"]["held"] == held
    expected = aw.metrics.local_scores(
        partial(_codes, run), (16,) * 6, 0.5, samples=200, centres=2, held=[0, 1, 2, 4, 5],
        rng=torch.Generator().manual_seed(0),
    )["mig"]  # fmt: skip
    values = result["scores"]["local_mig"]["0.5"]["values"]
    assert values == pytest.approx(expected.values.tolist(), rel=1e-6)
    free = evaluate_run(run, ["local"], radius=[0.5])  # another protocol: not added to the former
    assert free["scores"]["local_mig"]["0.5"]["values"] != values
    with pytest.raises(ValueError, match=r"evaluation\.held must be out of x0, .*; got 'model'"):
        evaluate_run(run, ["local"], held=["model"])
    with pytest.raises(ValueError, match="varies no factor"):
        evaluate_run(run, ["local"], radius=[0.5], held=run.data.factor_names)  # type: ignore[attr-defined]


def test_factors_without_an_order_are_held_unless_a_recipe_says_otherwise(run: Run) -> None:
    cars, protocol = Cars3D(), run.protocol
    assert protocol.held_of(cars) == (2,)
    assert protocol.held_of(Grid(cars, 1, 2)) == (2, 5)
    assert protocol.held_of(ThreeDots()) == protocol.held_of(run.data) == ()
    assert replace(protocol, held=[]).held_of(cars) == ()
    assert replace(protocol, held=["azimuth"]).held_of(cars) == (1,)
    with pytest.raises(ValueError, match=r"must be none, as no factors are known; got 'model'"):
        replace(protocol, held=["model"]).held_of(NaturalPatches())


def test_another_seed_scores_other_samples(run: Run) -> None:
    first, second = (evaluate_run(run, ["mig"], seed=seed)["scores"]["mig"] for seed in (0, 1))
    assert first != second
    assert first == pytest.approx(second, abs=0.2)


@pytest.mark.parametrize("name", ["mug", "MIG", "local_jacobian", ""])
def test_unknown_metrics_are_refused_with_the_known_ones(run: Run, name: str) -> None:
    with pytest.raises(ValueError, match=f"metrics must be out of local, .*mig.*got '{name}'"):
        evaluate_run(run, ["mig", name])
    assert not run.folder.evaluation.exists()


def test_a_collapsed_model_has_scores_too(trained_copy: Path) -> None:
    """Not one axis is active, all codes are constant: it tells nothing about any factor."""
    run = _with_dead_axes(trained_copy, [0, 1, 2, 3])
    result = evaluate_run(run)
    scores = result["scores"]
    assert scores["active_axes"] == 0
    assert result["kl_per_axis"] == [0.0] * 4
    assert (scores["mig"], scores["modularity"]) == (0.0, 0.0)
    assert scores["explicitness"] == pytest.approx(0.5)
    assert {row["mean"] for row in scores["local_mig"].values()} == {0.0}
    assert not [name for name in scores if name.endswith("_active")]
    assert json.loads(run.folder.evaluation.read_text())["scores"] == scores


def _images(folder: Path, run: Run) -> ImageFolder:
    from PIL import Image

    folder.mkdir()
    for number, image in enumerate(run.images(6)):
        Image.fromarray((255 * image[0]).byte().numpy()).save(folder / f"{number}.png")
    return ImageFolder(folder, size=16, channels=1)


def test_images_without_factors_get_the_scores_that_need_none(run: Run, tmp_path: Path) -> None:
    run = replace(run, data=_images(tmp_path / "images", run))
    scores = evaluate_run(run)["scores"]
    assert scores.keys() == {
        "active_axes",
        "nll_of_means",
        "mean_absolute_error",
        *JACOBIAN,
    }
    images = run.data.render(torch.arange(6))
    with torch.no_grad():
        error = (run.model(images) - images).abs().flatten(1).mean(1)
    assert error.min() < scores["mean_absolute_error"] < error.max()


@pytest.mark.parametrize("name", ["local", "mig", "modularity", "explicitness"])
def test_images_without_factors_are_refused_metrics_that_need_them(
    run: Run, tmp_path: Path, name: str
) -> None:
    run = replace(run, data=_images(tmp_path / "images", run))
    message = r"jacobian, .* \(the true factors of these images are not known\)"
    with pytest.raises(ValueError, match=message):
        evaluate_run(run, [name])


def test_a_gaussian_likelihood_is_scored_as_it_was_trained(run: Run) -> None:
    objective = BetaVAE(likelihood="gaussian", sigma=0.2)
    run = replace(run, recipe=replace(run.recipe, objective=objective))
    scores = evaluate_run(run, ["reconstruction"], seed=SEED)["scores"]
    images = run.data.render(_factors(1000))
    with torch.no_grad():
        decoded = run.model(images)
    expected = -torch.distributions.Normal(decoded, 0.2).log_prob(images).sum((1, 2, 3)).mean()
    assert scores["nll_of_means"] == pytest.approx(float(expected), rel=1e-5)


def test_scores_that_are_there_already_stay(run: Run) -> None:
    """Minutes of local scores are not lost to a call that asks for something else."""
    evaluate_run(run, ["local"], [0.3])
    first = json.loads(run.folder.evaluation.read_text())
    evaluate_run(run, ["mig"])
    evaluate_run(run, ["local"], [0.1])
    last = json.loads(run.folder.evaluation.read_text())
    assert list(last["scores"]["local_mig"]) == ["0.1", "0.3"]
    assert last["scores"]["local_mig"]["0.3"] == first["scores"]["local_mig"]["0.3"]
    assert "mig" in last["scores"]
    assert {0.1, 0.3} <= set(last["protocol"]["radius"])


@pytest.mark.parametrize("change", ["weights", "seed", "config", "damage"])
def test_scores_of_something_else_are_kept_aside(
    run: Run, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    evaluate_run(run, ["mig"])
    if change == "weights":
        run = _with_dead_axes(run.folder.path, [0])
    if change == "config":
        config = run.folder.config.read_text()
        run.folder.config.write_text(config.replace("weight: 0.1", "weight: 0.2"))
    if change == "damage":
        run.folder.evaluation.write_text("{")
    before = run.folder.evaluation.read_bytes()
    result = evaluate_run(run, ["reconstruction", "jacobian"], seed=1 if change == "seed" else 0)
    assert "mig" not in result["scores"]
    assert {"mean_absolute_error", "jl1"} < result["scores"].keys()
    assert json.loads(run.folder.evaluation.read_text()) == result
    kept = run.folder.path / "evaluation.json.wrong"
    assert kept.read_bytes() == before
    said = capsys.readouterr().err
    assert f"{run.folder.evaluation} is written anew, since" in said
    assert str(kept) in said
    evaluate_run(run, ["mig"], seed=2)
    assert (run.folder.path / "evaluation.json.wrong2").exists()


def test_two_that_score_one_run_at_once_lose_nothing(run: Run) -> None:
    first = evaluate_run(run, ["mig"])
    second = replace(run, seed=0)
    results: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda name=name: results.append(evaluate_run(second, [name])))
        for name in ("reconstruction", "total_correlation", "sap")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scores = json.loads(run.folder.evaluation.read_text())["scores"]
    assert (
        first["scores"].keys() | {"mean_absolute_error", "total_correlation", "sap"}
        <= scores.keys()
    )
    assert [path.name for path in run.folder.path.glob("*.wrong*")] == []


def test_scores_by_a_version_that_knew_fewer_choices_stay(run: Run) -> None:
    evaluate_run(run, ["mig"])
    written = json.loads(run.folder.evaluation.read_text())
    del written["protocol"]["dci"]
    run.folder.evaluation.write_text(json.dumps(written))
    assert "mig" in evaluate_run(run, ["reconstruction"])["scores"]


def test_dci_by_other_trees_takes_the_place_of_the_first(run: Run) -> None:
    run = replace(run, data=ThreeDots(size=16, values=2))
    first = evaluate_run(run, ["dci"], seed=SEED)["scores"]
    protocol = replace(run.protocol, dci="boosted")
    changed = replace(run, protocol=protocol)
    second = evaluate_run(changed, ["dci"], seed=SEED)["scores"]
    factors = run.data.draw(200, _rng())
    expected = aw.metrics.dci(_codes(run, factors), factors, model="boosted", rng=_rng())
    assert second["dci_disentanglement"] == pytest.approx(expected.disentanglement, rel=1e-6)
    assert second["dci_disentanglement"] != first["dci_disentanglement"]


def _rng() -> torch.Generator:
    return torch.Generator().manual_seed(SEED)


def _encoded(run: Run, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What fills with the number of images of each call of the encoder."""
    counts: list[int] = []
    hook = run.model.encoder.register_forward_pre_hook(
        lambda _, images: counts.append(len(images[0]))
    )
    monkeypatch.setattr(run.model, "_hook_to_keep", hook, raising=False)
    return counts


def test_scores_of_arrays_are_those_of_the_encoder_s_means(trained_copy: Path) -> None:
    run = _with_dead_axes(trained_copy, [2])
    plain = ("sap", "irs", "total_correlation", "wasserstein_correlation")
    chosen = [*plain, "mean_mutual_information", "dci"]
    scores = evaluate_run(run, chosen, seed=SEED)["scores"]
    factors = _factors(200)
    codes = _codes(run, factors)
    for ending, some in (("", codes), ("_active", codes[:, [0, 1, 3]])):
        trees = aw.metrics.dci(some, factors, model="forest", rng=_rng())
        expected: dict[str, object] = {
            "sap": aw.metrics.sap(some, factors),
            "irs": aw.metrics.irs(some, factors),
            "total_correlation": aw.metrics.total_correlation(some),
            "wasserstein_correlation": aw.metrics.wasserstein_correlation(some),
            "mean_mutual_information": aw.metrics.mean_mutual_information(some, bins=20),
            "dci_disentanglement": trees.disentanglement,
            "dci_completeness": trees.completeness,
            "dci_informativeness": trees.informativeness,
        }
        for name, value in expected.items():
            assert scores[name + ending] == pytest.approx(float(value), rel=1e-4), name  # type: ignore[arg-type]


def test_infomec_chooses_its_axes_by_itself(trained_copy: Path) -> None:
    run = _with_dead_axes(trained_copy, [2])
    scores = evaluate_run(run, ["infomec"], seed=SEED)["scores"]
    factors = _factors(200)
    expected = aw.metrics.infomec(_codes(run, factors), factors, rng=_rng())
    assert not expected.active[2]
    assert scores == {
        "active_axes": 3,
        "infom": pytest.approx(expected.infom, rel=1e-3),
        "infoc": pytest.approx(expected.infoc, rel=1e-3),
        "infoe": pytest.approx(expected.infoe, rel=1e-3),
    }


SMALL = {"train": 60, "test": 30, "batch_size": 8}


@pytest.fixture
def small_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published protocols encode a million images and two."""
    for name, settings in (("factor_vae", {**SMALL, "variance_samples": 100}), ("beta_vae", SMALL)):
        found = METRICS.find(name)
        few = partial(found.draws, **settings)
        monkeypatch.setitem(METRICS._declared, name, replace(found, draws=few))


@pytest.mark.usefixtures("small_draws")
def test_scores_that_draw_for_themselves_are_those_of_their_own_calls(run: Run) -> None:
    scores = evaluate_run(run, ["beta_vae", "factor_vae"], seed=SEED)["scores"]

    def encode(factors: Tensor) -> Tensor:
        return _codes(run, factors)

    sizes = (16,) * 6
    factor_vae = aw.metrics.factor_vae_score(
        encode, sizes, **SMALL, variance_samples=100, rng=_rng()
    )
    beta_vae = aw.metrics.beta_vae_score(encode, sizes, **SMALL, rng=_rng())
    assert scores == {
        "active_axes": scores["active_axes"],
        "factor_vae": float(factor_vae),
        "beta_vae": float(beta_vae),
    }


@pytest.mark.usefixtures("small_draws")
def test_all_global_scores_share_one_pass_of_encoding(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = _encoded(run, monkeypatch)
    bars: list[str] = []
    rows = 200 + (100 + 90 * 8) + 2 * 90 * 8
    seen: list[int] = []

    def start_bar(name: str) -> Callable[[int, int], None]:
        bars.append(name)
        return lambda _done, total: seen.append(total) if name == "codes" else None

    chosen = ["mig", "sap", "total_correlation", "factor_vae", "beta_vae"]
    evaluate_run(run, chosen, seed=SEED, start_bar=start_bar)
    assert sum(counts) == 1000 + rows  # a thousand tell which axes are active
    assert bars.count("codes") == 1
    assert set(seen) == {rows}
    assert len(seen) > 10  # the bar moves


def test_local_scores_share_one_pass_for_each_radius(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = _encoded(run, monkeypatch)
    chosen = ["local_sap", "local", "local_infomec", "local_total_correlation"]
    scores = evaluate_run(run, chosen, seed=SEED)["scores"]
    assert sum(counts) == 1000 + 2 * 2 * 200  # radii, centres, samples
    wanted = {
        "sap": aw.metrics.sap,
        "total_correlation": lambda codes, _: aw.metrics.total_correlation(codes),
        "mig": partial(aw.metrics.mig, bins=5),
    }
    expected = aw.metrics.local_scores(
        lambda factors: _codes(run, factors),
        (16,) * 6,
        0.3,
        wanted,
        samples=200,
        centres=2,
        rng=_rng(),
    )
    for name, score in expected.items():
        values = scores[f"local_{name}"]["0.3"]["values"]
        assert values == pytest.approx(score.values.tolist(), rel=1e-4)
    assert {"local_infom", "local_infoc", "local_infoe"} < scores.keys()
    assert "local_infom_active" not in scores
    assert "sap" not in scores


def test_a_local_score_by_name_comes_alone(run: Run) -> None:
    scores = evaluate_run(run, ["local_modularity"], seed=SEED)["scores"]
    assert scores.keys() - {"local_modularity_active"} == {"active_axes", "local_modularity"}
    both = evaluate_run(run, ["local"], seed=SEED)["scores"]
    assert both["local_modularity"] == scores["local_modularity"]


def test_images_that_are_asked_for_often_are_made_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine distinct images in 200."""
    data = ThreeDots(size=16, values=3, dots=1)
    run = replace(run, data=data)
    counts = _encoded(run, monkeypatch)
    factors = data.draw(200, _rng())
    codes = run.codes(factors)
    assert sum(counts) == 9
    with torch.no_grad():
        expected = run.model.encoder(data.render(factors))[0]
    torch.testing.assert_close(codes, expected)


PERCEPTUAL = {"ppl", "kid", "fid"}
OF_CODES = {
    *("mig", "modularity", "explicitness", "sap", "irs", "dci", "infomec", "factor_vae"),
    *("beta_vae", "total_correlation", "wasserstein_correlation", "mean_mutual_information"),
}
OF_RUNS = {"reconstruction", "jacobian", "hessian", "columns", "activeness", "vp"}


def _all(run: Run) -> set[str]:
    return {one.name for one in choose(run, ["all"])}


@pytest.mark.parametrize("missing", [True, False])
def test_all_are_all_scores_that_can_be_had(
    run: Run, monkeypatch: pytest.MonkeyPatch, missing: bool
) -> None:
    def no_features(*_: object) -> object:
        if missing:
            raise ImportError("pip install 'axiswise[scores]'")
        return None

    monkeypatch.setattr(aw.metrics, "features", no_features)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    perceptual = set() if missing else PERCEPTUAL
    assert _all(run) == OF_CODES | OF_RUNS | perceptual | {"local_mig", "local_modularity"}


def test_all_leaves_out_protocols_of_hours(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    published = {"fid_published", "ppl_published", "vp_published", "activeness_published"}
    assert published == {name for name in METRICS.names() if METRICS.find(name).usual == "by name"}
    monkeypatch.setattr(aw.metrics, "features", lambda *_: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    assert not published & _all(run)
    assert {one.name for one in choose(run, sorted(published))} == published


def test_all_of_images_without_factors_are_those_that_need_none(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aw.metrics, "features", lambda *_: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    run = replace(run, data=_images(tmp_path / "images", run))
    assert _all(run) == OF_RUNS | {"ppl"}


@pytest.mark.parametrize(
    ("values", "radius"),
    [(9, [0.3, 1.0]), (16, [0.05, 1.0])],
    ids=["fewer than ten values", "no other value within reach"],
)
def test_all_leaves_out_local_scores_where_no_factor_varies(
    run: Run, monkeypatch: pytest.MonkeyPatch, values: int, radius: list[float]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(aw.metrics, "features", lambda *_: None)
    data, protocol = ThreeDots(size=16, values=values), replace(run.protocol, radius=radius)
    run = replace(run, data=data, protocol=protocol)
    assert _all(run) == OF_CODES | OF_RUNS | {"ppl"}
    with pytest.raises(ValueError, match=f"radius {radius[0]} varies no factor"):
        evaluate_run(run, ["local_sap"])


def test_scores_of_two_factors_are_left_out_where_one_varies(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "factor_sizes", (16, 1))
    names = {one.name for one in choose(run, None)}
    assert "mig" in names
    assert "modularity" not in names


OWN = '''
import numpy as np
from axiswise.metrics import metric


def reach(codes):
    return np.ptp(codes, axis=0).max()


def agreement(codes, factors, bins=0):
    """With bins, as local scores have them, its value is theirs."""
    return bins or len(factors) / len(codes)


@metric("pixels")
def pixels(run):
    images = run.generate(run.prior(2))
    return {"brightest": images.max(), "darkest": images.min(), "mean_per_axis": run.activity}


def nothing(a, b, c):
    return 0.0


def mig(codes, factors):
    return 0.0
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of a user's, with metrics."""
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_metrics_of_a_user_s_own_are_taken_by_import_path(trained_copy: Path, own: str) -> None:
    run = _with_dead_axes(trained_copy, [2])
    chosen = [f"{own}:reach", f"{own}.agreement", f"local_{own}:agreement", f"{own}:pixels", "mig"]
    result = evaluate_run(run, chosen, seed=SEED)
    scores = result["scores"]
    codes = _codes(run, _factors(200))
    widths = codes.amax(0) - codes.amin(0)
    assert scores["reach"] == pytest.approx(float(widths.max()))
    assert scores["reach_active"] == pytest.approx(float(widths[[0, 1, 3]].max()))
    assert scores["agreement"] == 1.0
    assert scores["local_agreement"]["0.3"]["values"] == [5.0, 5.0]
    assert 0 <= scores["darkest"] < scores["brightest"] <= 1
    assert result["mean_per_axis"] == result["kl_per_axis"]
    assert "mig" in scores


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nothing", TypeError, r"must be a function of \(codes\).*got one of \(a, b, c\)"),
        ("OWN", ImportError, "has no OWN"),
        ("np", TypeError, "got module"),
        ("mig", ValueError, "must have another name than one of ours"),
    ],
)
def test_what_is_no_metric_is_refused_by_its_import_path(
    run: Run, own: str, name: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        evaluate_run(run, ["mig", f"{own}:{name}"])
    assert not run.folder.evaluation.exists()


def test_metrics_of_one_name_are_refused(run: Run, own: str, tmp_path: Path) -> None:
    (tmp_path / f"{own}_2.py").write_text(OWN)
    with pytest.raises(ValueError, match="two called 'reach'"):
        evaluate_run(run, [f"{own}:reach", f"{own}_2:reach"])
