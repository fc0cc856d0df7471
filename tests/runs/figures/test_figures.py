"""The figures' definitions fit the recipes, each other and the paper."""

from dataclasses import replace

import pytest
import yaml
from PIL import Image

from axiswise.runs.discover import method_settings
from axiswise.runs.figures.figure import figure_names, read_figure
from axiswise.runs.figures.pages import DRAWN
from axiswise.runs.figures.reproduce import planned_runs
from axiswise.training.recipe import recipe_path

ALL = [
    "hessian-diagonal",
    "jl1-appendix-l2",
    "jl1-figure2",
    "jl1-figure3",
    "jl1-figure4",
    "jl1-figure5",
    "jl1-natural",
    "orojar-activeness",
    "orojar-biggan",
    "orojar-clevr",
    "orojar-edges-shoes",
    "orojar-sprites",
]
OF_RUNS = [name for name in ALL if not read_figure(name).needs]


def test_all_are_listed():
    assert figure_names() == ALL


@pytest.mark.parametrize("scale", ["fast", pytest.param("paper", marks=pytest.mark.slow)])
def test_every_run_of_every_figure_can_be_planned(scale, tmp_path):
    """Each recipe and setting is known, and no two models of a figure are the same run."""
    for name in OF_RUNS:
        figure = read_figure(name)
        models = planned_runs(figure, figure.scales[scale], tmp_path)
        folders = [run.folder for runs in models.values() for run in runs]
        assert len(set(folders)) == len(folders) == len(models) * len(figure.scales[scale].seeds)


@pytest.mark.slow
def test_figures_share_their_runs(tmp_path):
    """JL1-VAE on three dots is one run for four figures, and they want the same scores of it."""
    sharing = ["jl1-figure2", "jl1-figure4", "jl1-figure5", "jl1-appendix-l2"]
    figures = [read_figure(name) for name in sharing]
    runs = [planned_runs(each, each.scales["fast"], tmp_path)["JL1-VAE"] for each in figures]
    assert all(each == runs[0] for each in runs)


@pytest.mark.slow
def test_methods_of_a_figure_have_one_budget(tmp_path):
    """Same data, network, steps, batch and rate: they differ in what they minimise alone."""
    for name in ("jl1-figure4", "jl1-figure5", "jl1-appendix-l2"):
        figure = read_figure(name)
        for budget, scale in figure.scales.items():
            settings = [runs[0].settings for runs in planned_runs(figure, scale, tmp_path).values()]
            # Of the published rivals, only AnnealedVAE has a schedule.
            own = ("objective", "terms", "name", "description", "source", "anneal")
            if (name, budget) == ("jl1-figure5", "paper"):  # whose rivals come from another study
                own += ("model", "steps")
            common = [{k: v for k, v in each.items() if k not in own} for each in settings]
            assert all(each == common[0] for each in common)


def test_all_that_is_drawn_is_known_and_scores_are_among_those_taken():
    for name in ALL:
        figure = read_figure(name)
        assert set(figure.draws) <= set(DRAWN)
        assert figure.shows


def test_gans_at_scale_paper_are_scored_as_published():
    for name in ALL:
        figure = read_figure(name)
        if any(score.startswith("ppl_") for score in figure.shows):
            scored = figure.scales["paper"].metrics
            assert {"vp_published", "fid_published", "ppl_published"} <= set(scored)
            assert {"vp_published", "fid_", "ppl_"} <= set(figure.shows)


def test_a_run_whose_images_decide_its_steps_says_how_many_it_has(tmp_path):
    """Its scores are of that step, and would else never count as its own."""
    figure = read_figure("orojar-clevr")
    models = planned_runs(figure, figure.scales["fast"], tmp_path)
    assert {run.steps for run in models["OroJaR"]} == {12_000}
    (tuned, *_) = models["OroJaR, fine-tuned"]
    assert 0 < tuned.steps < 12_000
    assert tuned.after == models["GAN"][0].folder
    assert tuned.name != models["OroJaR"][0].name


def test_a_figure_of_a_users_own_folder_is_planned_with_it(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(4):
        Image.new("RGB", (64, 32)).save(pictures / f"{number}.png")
    figure = read_figure("orojar-edges-shoes")
    assert set(figure.needs) == {"data"}
    budget = figure.scales["fast"]
    own = replace(budget, settings={**budget.settings, "data.path": str(pictures)})
    models = planned_runs(figure, own, tmp_path)
    assert [len(runs) for runs in models.values()] == [1] * 5
    assert models["OroJaR"][0].settings["data"]["init_args"]["size"] == 32


def test_searches_have_settings_that_their_methods_know():
    for scale in read_figure("orojar-biggan").scales.values():
        for model in scale.models.values():
            words = [f"--{key}={value}" for key, value in model.settings.items()]
            assert method_settings(model.discover, words) == model.settings


def test_a_row_made_by_sefa_stands_beside_the_row_it_is_made_of(tmp_path):
    figure = read_figure("orojar-sprites")
    models = planned_runs(figure, figure.scales["fast"], tmp_path)
    for gan, turned in zip(models["GAN"], models["SeFa"], strict=True):
        assert (turned.after, turned.by_sefa) == (gan.folder, True)
        assert turned.folder == gan.folder.with_name(f"{gan.folder.name}-sefa")
        assert (turned.seed, turned.name) == (gan.seed, f"{gan.name}-sefa")


def test_published_numbers_are_of_the_models_shown():
    for name in ALL:
        figure = read_figure(name)
        for known in figure.published.values():
            assert set(known) <= {row for scale in figure.scales.values() for row in scale.models}
    five = read_figure("jl1-figure5").published
    assert [five["local_mig"][model][0.1] for model in five["local_mig"]] == [
        0.123, 0.062, 0.037, 0.081, 0.052, 0.058, 0.022,
    ]  # fmt: skip


def test_the_appendix_sweep_and_the_seeds_are_the_paper_s():
    appendix = read_figure("jl1-appendix-l2")
    gammas = ("0.05", "0.1", "0.2", "0.4")
    paper = appendix.scales["paper"].models
    assert set(paper) == {
        "β-VAE",
        *(f"{kind}-VAE, γ {g}" for kind in ("JL1", "JL2") for g in gammas),
    }
    for name, model in paper.items():
        if name != "β-VAE":
            kind, gamma = name.split("-VAE, γ ")
            recipe = yaml.safe_load(recipe_path(model.recipe).read_text())
            weight = recipe["terms"][kind.lower()]["weight"]
            assert model.settings.get(f"terms.{kind.lower()}.weight", weight) == float(gamma)
    known = appendix.published["local_mig"]
    assert [known[f"JL1-VAE, γ {gamma}"][0.1] for gamma in gammas] == [0.112, 0.125, 0.13, 0.13]
    assert all(0.05 <= known[f"JL2-VAE, γ {gamma}"][0.1] <= 0.055 for gamma in gammas)
    assert known["β-VAE"][0.1] == 0.054
    assert appendix.published["local_modularity"]["β-VAE"][0.1] == 0.889
    assert appendix.statistic == "mean"
    for name in ("jl1-appendix-l2", "jl1-figure4", "jl1-figure5"):
        assert read_figure(name).scales["paper"].seeds == list(range(11, 21))
    assert read_figure("jl1-figure3").scales["paper"].seeds == list(range(11, 16))
    assert read_figure("jl1-figure5").scales["paper"].models["β-VAE"].recipe == (
        "three-dots-beta-study"
    )


def test_an_unknown_figure_is_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match=r"FIGURE must be one of .*jl1-natural, .*; got 'jl1-figure9'"
    ):
        read_figure("jl1-figure9")
