"""`axiswise reproduce`: runs are made once, pages have our numbers and the paper's."""

import json
import re
import shutil
import statistics
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from scipy.stats import t

from axiswise.cli import main
from axiswise.nets import ConvVAE
from axiswise.plots import Table
from axiswise.runs.figures import reproduce as module
from axiswise.runs.figures.figure import Figure, Model, Scale
from axiswise.runs.figures.pages import page_parts
from axiswise.runs.figures.parts import Page
from axiswise.runs.figures.reproduce import reproduce
from axiswise.runs.run import load_run
from axiswise.runs.sweeps import worker

OWN = "It is made of your own pictures."
PAGES = {
    "columns": ["columns", "means", "runs"],
    "radius": ["radius", "by-radius", "runs"],
    "methods": ["methods", "tests", "runs"],
}


def figure(page, models, seeds=(0,)):
    rows = {name: Model(recipe) for name, recipe in models.items()}
    return Figure(
        title="A small figure",
        source="Nobody 1999",
        about="It shows little.",
        draws=PAGES.get(page, [page]),
        shows=["column_" if page == "columns" else "local_"],
        metrics=["local", "columns"],
        scores=["local_mig", "column_hoyer"],
        scales={"fast": Scale(list(seeds), rows)},
        published={"local_mig": {"first": {0.1: 0.123, 1.0: 0.005}}},
    )


@pytest.fixture
def tiny_figure(tiny_recipe, tmp_path, monkeypatch):
    """Two models: the tiny recipe, and another one without its penalty."""
    other = tmp_path / "other.yaml"
    text = tiny_recipe.read_text().replace("radius: [0.3,", "radius: [0.1,")
    tiny_recipe.write_text(text)
    other.write_text(re.sub("terms: .*", "", text))

    def use(page):
        made = figure(page, {"first": str(tiny_recipe), "second": str(other)})
        monkeypatch.setattr(module, "read_figure", lambda _: made)

    return use


def modified(folder: Path):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")}


@pytest.mark.slow
def test_runs_are_trained_once_for_all_figures_and_outlive_their_folders(tiny_figure, tmp_path):
    out = tmp_path / "out"
    tiny_figure("columns")
    made = reproduce("one", out=out, workers=1)
    assert made.missing == []
    trained = modified(out)
    assert len(trained) == 2
    page = (made.page.parent / "page.md").read_text()
    assert "columns-0.png" in page
    assert "columns-1.png" in page
    assert (made.page.parent / "columns-1.png").read_bytes().startswith(b"\x89PNG")

    tiny_figure("columns")
    assert reproduce("another", out=out, workers=1).missing == []
    assert modified(out) == trained  # nothing was trained again

    for path in trained:
        shutil.rmtree(path.parent)
    tiny_figure("methods")  # shows scores alone, which were kept
    page = reproduce("scores", out=out, workers=1).page.read_text()
    assert modified(out) == {}
    assert "0.123" in page


def test_draw_only_trains_nothing_and_says_what_is_missing(tiny_figure, tmp_path):
    tiny_figure("methods")

    def never(_):
        raise AssertionError("bars for runs that must not start")

    made = reproduce("one", out=tmp_path / "out", train=False, bars=never)
    assert [reason for _, reason in made.missing] == ["not trained yet"] * 2
    assert "Nobody 1999" in made.page.read_text()


def test_the_command_fails_where_runs_are_missing_and_names_the_first(tmp_path, capsys):
    words = ["reproduce", "jl1-figure4", "--draw-only", "--out", str(tmp_path)]
    assert main(words) == 1
    said = capsys.readouterr()
    assert said.out.strip() == str(tmp_path / "jl1-figure4-fast" / "report.html")
    assert "the page lacks 6 runs: " in said.err
    assert said.err.count("not trained yet") == 3
    assert said.err.strip().endswith("; and 3 more")


@pytest.mark.slow
def test_a_failed_run_is_named_and_the_page_has_the_others(tiny_figure, tmp_path):
    tiny_figure("columns")
    out = tmp_path / "out"
    small = module.read_figure("")
    runs = module.planned_runs(small, small.scales["fast"], out)
    runs["second"][0].folder.mkdir(parents=True)
    (runs["second"][0].folder / "something").write_text("else")  # so it cannot be made
    made = reproduce("one", out=out, workers=1, bars=lambda _: nullcontext(lambda _: None))
    [(run, reason)] = made.missing
    assert run == runs["second"][0]
    assert "exists already" in reason
    assert "first, seed 0" in made.page.read_text()


def test_bad_scales_and_seeds_are_refused(tmp_path):
    with pytest.raises(ValueError, match="scale must be one of fast, paper, got 'huge'"):
        reproduce("jl1-figure4", "huge", tmp_path)
    with pytest.raises(ValueError, match="seeds must be at least one"):
        reproduce("jl1-figure4", "fast", tmp_path, seeds=[])
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def gan_figure(trained_gan, tmp_path, monkeypatch):
    """A GAN that is trained already, and SeFa's row made of it."""
    recipe = trained_gan.parent / "tiny-gan.yaml"
    made = Figure(
        title="A GAN",
        source="Nobody 1999",
        about="Two axes and two more.",
        draws=["traversals", "heat-maps", "activeness", "hessians", "means", "comparison", "films"],
        shows=["mean_cosine", "hessian_"],
        metrics=["jacobian", "hessian"],
        scores=["mean_cosine", "hessian_diagonal_share"],
        scales={"fast": Scale([0], {"GAN": Model(str(recipe)), "SeFa": Model(sefa="GAN")})},
    )
    monkeypatch.setattr(module, "read_figure", lambda _: made)
    runs = module.planned_runs(made, made.scales["fast"], tmp_path)
    shutil.copytree(trained_gan, runs["GAN"][0].folder)
    return made, runs


@pytest.mark.slow
def test_a_page_of_gans_has_all_pictures_and_films(gan_figure, tmp_path):
    _, runs = gan_figure
    made = reproduce("gans", out=tmp_path, workers=1)
    assert made.missing == []
    turned = runs["SeFa"][0]
    assert json.loads((turned.folder / "config.json").read_text())["step"] == 40
    folder = made.page.parent
    for name in ("traversals", "heat-maps", "activeness", "hessians", "scores"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    films = sorted(path.name for path in folder.glob("*.mp4"))
    assert films == [f"film-{model}-z{axis}.mp4" for model in (0, 1) for axis in range(4)]
    text, page = (folder / "page.md").read_text(), made.page.read_text()
    assert "| GAN | 0." in text
    assert "SeFa: axiswise sefa, on each run of GAN" in text
    assert page.count("<video") == 8
    assert "Films of SeFa" in page

    # SeFa's run is made again, and of the GAN, where both are gone but the page shows them.
    shutil.rmtree(turned.folder)
    assert reproduce("gans", out=tmp_path, workers=1).missing == []
    assert turned.trained


@pytest.mark.slow
def test_a_fine_tuned_row_starts_from_another_row_s_runs(gan_figure, tmp_path, monkeypatch):
    figure, runs = gan_figure
    recipe = figure.scales["fast"].models["GAN"].recipe
    models = {"GAN": Model(recipe), "tuned": Model(recipe, {"steps": 20}, init="GAN")}
    of_scores = replace(figure, draws=["means"], scales={"fast": Scale([0], models)})
    monkeypatch.setattr(module, "read_figure", lambda _: of_scores)
    (gan,) = runs["GAN"]
    (tuned,) = module.planned_runs(of_scores, of_scores.scales["fast"], tmp_path)["tuned"]
    assert tuned.folder.name.endswith(f"-from-{gan.folder.name}")
    made = reproduce("tuned", out=tmp_path, workers=1)
    assert made.missing == []
    init = yaml.safe_load(tuned.files.config.read_text())["init"]
    assert (init["recipe"], init["step"]) == ("tiny-gan", 40)
    assert load_run(tuned.folder).step == 20
    text = (made.page.parent / "page.md").read_text()
    assert f"tuned: axiswise train {recipe} --init, each run of GAN, --steps 20" in text
    assert reproduce("tuned", out=tmp_path, workers=1, train=False).missing == []


@pytest.mark.slow
def test_a_page_of_searches_has_a_sheet_films_and_a_table(trained_gan, tmp_path, monkeypatch):
    short = Model(discover="orojar", settings={"samples": 2}, extent=1.5)
    made = Figure(
        title="Directions",
        source="Nobody 1999",
        about="They point.",
        draws=["directions", "means", "runs"],
        shows=["mean_cosine", "mean_cosine_coordinates"],
        metrics=[],
        scores=[],
        needs={"generator": "Give one by --generator."},
        scales={"fast": Scale([3], {"short": short})},
    )
    monkeypatch.setattr(module, "read_figure", lambda _: made)
    assert reproduce("found", out=tmp_path).lacks == "Give one by --generator."
    found = reproduce("found", out=tmp_path, generator=str(trained_gan))
    assert (found.lacks, found.missing) == ("", [])
    folder = found.page.parent
    assert (folder / "directions-0.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(folder.glob("film-0-*.mp4"))) == 4
    text = (folder / "page.md").read_text()
    assert "| short | 3 | – | 0." in text
    assert "short: axiswise discover GENERATOR --method orojar --samples 2" in text
    before = modified(tmp_path)
    reproduce("found", out=tmp_path, generator=str(trained_gan), train=False)
    assert modified(tmp_path) == before


def test_a_sefa_run_that_was_cut_short_is_made_again(gan_figure):
    _, runs = gan_figure
    (turned,) = runs["SeFa"]
    turned.folder.mkdir()
    turned.files.config.write_text("name: half")
    worker._train(turned)
    assert turned.trained
    assert turned.belongs(
        {"name": "tiny-gan-sefa", "seed": 0, "step": 40, "protocol": turned.settings["evaluation"]}
    )


def test_a_figure_of_the_users_own_data_says_what_it_lacks(tiny_figure, tmp_path, monkeypatch):
    tiny_figure("methods")
    lacking = replace(module.read_figure(""), needs={"data": OWN})
    monkeypatch.setattr(module, "read_figure", lambda _: lacking)
    made = reproduce("own", out=tmp_path / "out")
    assert made.lacks == OWN
    assert (made.page.parent / "page.md").read_text().count(OWN) == 1
    assert OWN in made.page.read_text()
    with pytest.raises(ValueError, match=r"data\.path"):  # three-dots have no folder
        reproduce("own", out=tmp_path / "out", data=tmp_path, train=False)


@pytest.mark.parametrize("option", ["data", "generator"])
def test_what_a_figure_has_itself_is_refused(option, tiny_figure, tmp_path):
    tiny_figure("methods")
    with pytest.raises(ValueError, match=f"--{option} is not for own, .*got 'mine'"):
        reproduce("own", out=tmp_path / "out", **{option: "mine"})
    assert not (tmp_path / "out").exists()


def test_a_folder_of_own_data_that_is_none_is_named(tiny_figure, tmp_path, monkeypatch):
    tiny_figure("methods")
    lacking = replace(module.read_figure(""), needs={"data": OWN})
    monkeypatch.setattr(module, "read_figure", lambda _: lacking)
    with pytest.raises(ValueError, match=r"--data must be a folder with images; .* 'none'"):
        reproduce("own", out=tmp_path / "out", data="none")


def test_the_command_says_what_a_figure_lacks(tiny_figure, tmp_path, monkeypatch, capsys):
    tiny_figure("methods")
    lacking = replace(module.read_figure(""), needs={"data": OWN})
    monkeypatch.setattr(module, "read_figure", lambda _: lacking)
    assert main(["reproduce", "own", "--out", str(tmp_path)]) == 1
    assert (
        "own is made of what you give: It is made of your own pictures." in capsys.readouterr().err
    )


def evaluation(seed, mig):
    rows = {radius: {"mean": mig / (1 + i), "std": 0.1} for i, radius in enumerate(("0.1", "1"))}
    return {"seed": seed, "scores": {"active_axes": 10, "local_mig": rows}}


def page_of(shown, found):
    return page_parts(Page(shown, found, {}, {}, shown.scales["fast"]))


def test_without_runs_a_page_has_what_scores_alone_show():
    shown = replace(
        figure("radius", {"first": "a"}), draws=["traversals", "films", "hessians", "runs"]
    )
    page = Page(shown, {"first": [evaluation(0, 0.1)]}, {}, {}, shown.scales["fast"])
    assert [part.caption for part in page_parts(page)] == ["Each run."]


def test_methods_are_tested_against_the_first_by_welch_and_by_student_as_the_paper_did():
    first, second = [0.10, 0.12, 0.11], [0.05, 0.02, 0.06, 0.01]
    found = {
        "first": [evaluation(seed, mig) for seed, mig in enumerate(first)],
        "second": [evaluation(seed, mig) for seed, mig in enumerate(second)],
        "third": [],
    }
    models = {"first": "a", "second": "b", "third": "c"}
    parts = page_of(figure("methods", models), found)
    table = next(part for part in parts if isinstance(part, Table))
    gap = statistics.mean(first) - statistics.mean(second)
    shares = statistics.variance(first) / 3, statistics.variance(second) / 4
    pooled = (2 * statistics.variance(first) + 3 * statistics.variance(second)) / 5
    welch, student = gap / sum(shares) ** 0.5, gap / (pooled * (1 / 3 + 1 / 4)) ** 0.5
    freedom = sum(shares) ** 2 / (shares[0] ** 2 / 2 + shares[1] ** 2 / 3)
    assert table.rows == [
        ["first", 3, "0.110 ± 0.010", "0.110", 0.123, None, None, None, None],
        ["second", 4, "0.035 ± 0.024", "0.035", None,
         f"{welch:.2f}", f"{2 * t.sf(welch, freedom):.2g}",
         f"{student:.2f}", f"{2 * t.sf(student, 5):.2g}"],
    ]  # fmt: skip
    assert "paper's median" in table.header


def test_others_are_compared_with_the_first_of_their_own_scale():
    made = replace(figure("methods", {"first": "a", "b": "b"}), statistic="mean")
    elsewhere = Scale([0], {"other": Model("c")})
    made = replace(made, scales={"slow": elsewhere, **made.scales})
    found = {
        "first": [evaluation(s, 0.1 + s) for s in range(2)],
        "b": [evaluation(s, 0.2 + s) for s in range(2)],
    }
    drawn, table, _ = page_of(made, found)
    assert "first against each" in table.caption
    assert table.header[4] == "paper's mean"
    assert "the paper's means" in drawn.caption
    assert [row[5] is None for row in table.rows] == [True, False]


def test_scores_by_radius_stand_beside_the_papers():
    found = {"first": [evaluation(0, 0.1), evaluation(1, 0.2)], "second": [evaluation(0, 0.04)]}
    models = {"first": "a", "second": "b"}
    _, table, runs = page_of(figure("radius", models), found)
    assert table.rows == [
        ["first", 2, "0.150 ± 0.071", "0.075 ± 0.035"],
        ["first, paper", None, 0.123, 0.005],
        ["second", 1, "0.040", "0.020"],
        ["second, paper", None, None, None],
    ]
    assert runs.header == ["model", "seed", "active axes", "MIG 0.1", "MIG 1"]
    assert runs.rows[1] == ["first", 1, 10, "0.200", "0.100"]


@pytest.mark.slow
def test_kept_scores_are_whole_evaluations(tiny_figure, tmp_path):
    """So that `axiswise compare` can read them."""
    tiny_figure("columns")
    out = tmp_path / "out"
    reproduce("one", out=out, workers=1)
    kept = sorted((out / "scores").iterdir())
    runs = [out / path.stem / "evaluation.json" for path in kept]
    assert len(kept) == 2
    for path, run in zip(kept, runs, strict=True):
        assert json.loads(path.read_text()) == json.loads(run.read_text())


def test_kept_scores_of_another_protocol_or_other_weights_do_not_count(tiny_figure, tmp_path):
    tiny_figure("methods")
    small = module.read_figure("")
    (run,) = module.planned_runs(small, small.scales["fast"], tmp_path)["first"]
    kept = module._Kept(tmp_path / "scores", small)
    kept.folder.mkdir()
    whole = {
        "name": run.name,
        "seed": 0,
        "step": 40,
        "weights": "1234",
        "protocol": run.settings["evaluation"],
        "scores": {"active_axes": 0},
    }
    for change, counts in (
        ({}, True),
        ({"seed": 1}, False),
        ({"step": 30}, False),
        ({"name": "other"}, False),
        ({"protocol": {**whole["protocol"], "centres": 3}}, False),
    ):
        kept.path(run).write_text(json.dumps({**whole, **change}))
        assert kept.has(run) == counts
    kept.path(run).write_text(json.dumps(whole))
    run.folder.mkdir()
    ConvVAE(16, latent_dim=4, hidden=(8, 8), features=16).save_pretrained(run.folder)
    assert not kept.has(run)


def test_scores_that_are_committed_count():
    """Their folders are named by digests of configs, which must stay as they are."""
    kept = Path(__file__).parents[3] / "results" / "figures"
    figure = module.read_figure("jl1-figure5")
    models = module.planned_runs(figure, figure.scales["fast"], kept)
    found = [
        module._Kept(kept / "scores", figure).has(run) for runs in models.values() for run in runs
    ]
    assert len(found) > 10
    assert all(found)
