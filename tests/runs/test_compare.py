"""`axiswise compare`: means, standard deviations and counts over runs."""

import csv
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from axiswise import plots
from axiswise.nets import ConvVAE
from axiswise.runs.compare import (
    Values,
    choose_scores,
    comparison_rows,
    group_by_recipe,
    read_evaluations,
    write_comparison,
)
from axiswise.runs.evaluate import evaluate_run
from axiswise.runs.protocol import read_settings
from axiswise.runs.run import load_run
from axiswise.runs.table import TableRow, write_table
from axiswise.runs.train import resume_run
from axiswise.support.files import UnreadableFileError
from axiswise.support.locks import owning
from axiswise.training.recipe import recipe_path


def _evaluation(name: str, seed: int, **scores: Any) -> str:
    return json.dumps({"name": name, "seed": seed, "step": 10, "scores": scores})


def _local(*means: float) -> dict[str, dict[str, Any]]:
    radii = ("0.1", "0.5", "1")
    return {
        radius: {"mean": mean, "std": 0.5, "values": [mean]}
        for radius, mean in zip(radii, means, strict=True)
    }


def read_values(sources: list[str]) -> Values:
    return group_by_recipe(read_evaluations(sources))


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    """Two seeds of one recipe as run folders, one of them and a run of another as files."""
    for seed, mig, local in ((0, 0.2, (0.5, 0.3, 0.1)), (1, 0.4, (0.9, 0.5, 0.1))):
        folder = tmp_path / f"jl1-{seed}"
        folder.mkdir()
        (folder / "config.yaml").write_text("seed: 0\n")
        text = _evaluation("jl1", seed, active_axes=6, mig=mig, local_mig=_local(*local))
        (folder / "evaluation.json").write_text(text)
    third = tmp_path / "third.json"
    third.write_text(_evaluation("jl1", 2, mig=0.9, local_mig=_local(0.1, 0.1, 0.1)))
    beta = tmp_path / "beta.json"
    beta.write_text(_evaluation("beta", 0, mig=0.05, jl1=12345.678))
    return [str(tmp_path / "jl1-0"), str(beta), str(tmp_path / "jl1-1"), str(third)]


def test_runs_are_grouped_by_recipe_whether_folder_or_file(sources: list[str]) -> None:
    assert read_values(sources) == {
        "active_axes": {"jl1": [6, 6]},
        "mig": {"jl1": [0.2, 0.4, 0.9], "beta": [0.05]},
        "local_mig 0.1": {"jl1": [0.5, 0.9, 0.1]},
        "local_mig 0.5": {"jl1": [0.3, 0.5, 0.1]},
        "local_mig 1": {"jl1": [0.1, 0.1, 0.1]},
        "jl1": {"beta": [12345.678]},
    }


def test_cells_are_mean_sample_deviation_and_count(sources: list[str]) -> None:
    rows = comparison_rows(read_values(sources))
    assert rows[0] == ["score", "beta", "jl1"]
    cells = {row[0]: row[1:] for row in rows[1:]}
    # mean of 0.2, 0.4, 0.9 is 0.5; deviations −0.3, −0.1, 0.4: √(0.26 / 2) = 0.36
    assert cells["mig"] == ["0.05 (1)", "0.5 ± 0.36 (3)"]
    assert cells["local_mig 0.1"] == ["–", "0.5 ± 0.4 (3)"]
    assert cells["local_mig 1"] == ["–", "0.1 ± 0 (3)"]
    assert cells["active_axes"] == ["–", "6 ± 0 (2)"]
    assert cells["jl1"] == ["1.235e+04 (1)", "–"]


def test_the_comparison_is_written_as_table_and_plots(
    sources: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}
    for name in ("comparison", "scores_against_radius"):
        original = getattr(plots, name)

        def draw(given: Any, name: str = name, original: Any = original) -> Any:
            drawn[name] = given
            return original(given)

        monkeypatch.setattr(plots, name, draw)
    out = tmp_path / "some" / "where"
    write_comparison(read_evaluations(sources), sources, out)
    assert sorted(path.name for path in out.iterdir()) == [
        "comparison.md",
        "comparison.png",
        "radius.png",
        "runs.csv",
    ]
    lines = (out / "comparison.md").read_text().splitlines()
    assert lines[:2] == ["| score | beta | jl1 |", "|---|---|---|"]
    assert "| mig | 0.05 (1) | 0.5 ± 0.36 (3) |" in lines
    assert lines[-3] == "Mean ± sample standard deviation over seeds (number of seeds)."
    assert lines[-1] == f"Made by `axiswise compare {' '.join(sources)}`."

    # One bar for each score without radius or at the radius that the paper is about.
    assert drawn["comparison"]["jl1"].keys() == {"active_axes", "mig", "local_mig 0.1"}
    assert drawn["comparison"]["beta"] == {"mig": [0.05], "jl1": [12345.678]}
    radii, means, over_seeds = drawn["scores_against_radius"]["jl1"]["local_mig"]
    assert radii == [0.1, 0.5, 1.0]
    assert means == pytest.approx([0.5, 0.3, 0.1])
    deviations = [np.std([0.5, 0.9, 0.1], ddof=1), np.std([0.3, 0.5, 0.1], ddof=1), 0.0]
    assert over_seeds == pytest.approx(deviations)


def test_each_run_s_scores_are_written_by_recipe_and_seed(
    sources: list[str], tmp_path: Path
) -> None:
    write_comparison(read_evaluations(sources), sources, tmp_path)
    with (tmp_path / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["recipe"], row["seed"]) for row in rows] == [
        ("beta", "0"),
        ("jl1", "0"),
        ("jl1", "1"),
        ("jl1", "2"),
    ]
    assert [row["mig"] for row in rows] == ["0.05", "0.2", "0.4", "0.9"]
    assert [row["local_mig 0.5"] for row in rows] == ["", "0.3", "0.5", "0.1"]
    assert {row["step"] for row in rows} == {"10"}


def test_a_single_seed_has_no_deviation(sources: list[str], tmp_path: Path) -> None:
    assert comparison_rows(read_values(sources[:1]))[2] == ["mig", "0.2 (1)"]
    write_comparison(read_evaluations(sources[:1]), sources[:1], tmp_path / "out")
    assert (tmp_path / "out" / "radius.png").exists()


def test_without_local_scores_there_is_no_plot_against_radius(
    sources: list[str], tmp_path: Path
) -> None:
    write_comparison(read_evaluations(sources[1:2]), sources[1:2], tmp_path / "out")
    assert not (tmp_path / "out" / "radius.png").exists()


def test_a_run_without_evaluation_is_named(sources: list[str], tmp_path: Path) -> None:
    (tmp_path / "jl1-1" / "evaluation.json").unlink()
    with pytest.raises(FileNotFoundError, match=f"{sources[2]} was not evaluated yet: run"):
        read_values(sources)


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"{tmp_path / 'none'} is no run folder"):
        read_values([str(tmp_path / "none")])


def test_a_damaged_evaluation_is_named(sources: list[str], tmp_path: Path) -> None:
    path = tmp_path / "jl1-0" / "evaluation.json"
    path.write_text(path.read_text()[:-9])
    with pytest.raises(UnreadableFileError, match=f"{path} is damaged"):
        read_values(sources)


def test_scores_that_are_not_numbers_show_as_such(tmp_path: Path) -> None:
    paths = [tmp_path / "one.json", tmp_path / "two.json"]
    for seed, (path, value) in enumerate(zip(paths, (math.inf, 2.0), strict=True)):
        path.write_text(_evaluation("jl1", seed, ima_contrast=value))
    assert comparison_rows(read_values([str(paths[0])]))[1] == ["ima_contrast", "inf (1)"]
    both = [str(path) for path in paths]
    assert comparison_rows(read_values(both))[1] == ["ima_contrast", "inf ± nan (2)"]
    write_comparison(read_evaluations(both), both, tmp_path / "out")


def test_the_activeness_of_gans_stands_side_by_side(
    tmp_path: Path, sources: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run of each recipe that has it; other runs have no part in it."""
    for name, seed, axes in (("gan", 0, [0.1, 0.2]), ("gan", 1, [9.0, 9.0]), ("oro", 0, [0.3])):
        evaluation = json.loads(_evaluation(name, seed, vp=0.5))
        path = tmp_path / f"{name}-{seed}.json"
        path.write_text(json.dumps({**evaluation, "activeness_per_axis": axes}))
        sources.append(str(path))
    drawn: list[dict[str, list[float]]] = []
    draw = plots.activeness
    monkeypatch.setattr(plots, "activeness", lambda models: drawn.append(models) or draw(models))
    write_comparison(read_evaluations(sources), sources, tmp_path / "out")
    assert drawn == [{"gan": [0.1, 0.2], "oro": [0.3]}]
    assert (tmp_path / "out" / "activeness.png").stat().st_size > 2000


def test_chosen_scores_alone_are_compared_in_the_order_given(sources: list[str]) -> None:
    chosen = choose_scores(read_evaluations(sources), ["local_mig 0.1", "mig"])
    jl1 = [found["scores"] for found in chosen if found["name"] == "jl1"]
    assert [list(scores) for scores in jl1] == [["local_mig 0.1", "mig"]] * 3
    assert group_by_recipe(chosen)["mig"] == {"jl1": [0.2, 0.4, 0.9], "beta": [0.05]}


def test_recipes_go_down_where_they_are_more_than_scores(sources: list[str]) -> None:
    rows = comparison_rows(group_by_recipe(choose_scores(read_evaluations(sources), ["mig"])))
    assert rows == [["recipe", "mig"], ["beta", "0.05 (1)"], ["jl1", "0.5 ± 0.36 (3)"]]


def test_scores_that_no_run_has_are_refused_with_those_there_are(sources: list[str]) -> None:
    with pytest.raises(ValueError, match=r"scores must be out of .*mig.*; got vp, kid"):
        choose_scores(read_evaluations(sources), ["mig", "vp", "kid"])


@pytest.mark.parametrize(
    ("score", "key", "values"),
    [
        ("vp", "vp", ("clevr", "dsprites")),
        ("vp_std", "vp_latents", (2, 3)),
        ("kid_inception", "images", (1000, 2000)),
        ("ppl_lpips", "paths", (100, 2000)),
    ],
)
def test_scores_by_different_protocols_are_not_compared(
    tmp_path: Path, score: str, key: str, values: tuple[Any, Any]
) -> None:
    paths = []
    for seed, value in enumerate(values):
        evaluation = json.loads(_evaluation("gan", seed, **{score: 0.5}))
        paths.append(str(tmp_path / f"{seed}.json"))
        Path(paths[-1]).write_text(json.dumps({**evaluation, "protocol": {key: value}}))
    with pytest.raises(ValueError, match=rf"evaluation\.{key} {values[0]} and {values[1]}"):
        read_evaluations(paths)
    Path(paths[1]).write_text(_evaluation("gan", 1, mig=0.5))  # has none of these scores
    assert len(read_evaluations(paths)) == 2


SWEEP = """\
recipe,seed,folder,terms.jl1.weight,description,steps,evaluation.vp,evaluation.vp_latents,status,mig,local_mig 0.1
jl1,0,runs/a,0.1,one,10,dsprites,null,finished,0.2,0.5
jl1,1,runs/b,0.1,two,10,dsprites,null,there,0.4,0.3
jl1,0,runs/c,0.3,one,10,dsprites,null,finished,0.6,
jl1,1,runs/d,0.3,one,10,dsprites,null,failed,,
beta,0,runs/e,,one,20,dsprites,null,finished,0.1,0.2
"""  # noqa: E501


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.csv"
    path.write_text(SWEEP)
    return path


def test_runs_of_a_sweep_go_by_their_recipe_and_what_it_varied(sweep: Path) -> None:
    assert read_values([str(sweep)]) == {
        "mig": {
            "beta": [0.1],
            "jl1 terms.jl1.weight=0.1": [0.2, 0.4],
            "jl1 terms.jl1.weight=0.3": [0.6],
        },
        "local_mig 0.1": {"beta": [0.2], "jl1 terms.jl1.weight=0.1": [0.5, 0.3]},
    }
    found = read_evaluations([str(sweep)])
    assert [(run["seed"], run["step"], run["folder"]) for run in found] == [
        (0, 20, "runs/e"),
        (0, 10, "runs/a"),
        (1, 10, "runs/b"),
        (0, 10, "runs/c"),
    ]


def test_runs_of_one_recipe_with_other_settings_are_told_apart(sources: list[str]) -> None:
    """By folder or by the file in it; one whose config nobody knows keeps the recipe's name."""
    first, _, second, third = sources
    for folder, weight in ((first, 0.1), (second, 0.3)):
        config = f"name: jl1\nseed: {weight}\nterms: {{jl1: {{weight: {weight}}}}}\n"
        config += f"description: {folder}\n"
        (Path(folder) / "config.yaml").write_text(config)
    assert read_values([first, f"{second}/evaluation.json", third])["mig"] == {
        "jl1": [0.9],
        "jl1 terms.jl1.weight=0.1": [0.2],
        "jl1 terms.jl1.weight=0.3": [0.4],
    }


def test_runs_of_an_earlier_version_or_another_machine_are_not_told_apart(
    sources: list[str],
) -> None:
    config = read_settings(recipe_path("three-dots-beta-fast")).dump()
    settings = yaml.safe_load(config)
    settings |= {"objective": {"beta": 4.0}, "accelerator": "cpu", "log_every": 7}
    del settings["evaluation"]["dci"]
    for folder, text in ((sources[0], config), (sources[2], yaml.safe_dump(settings))):
        (Path(folder) / "config.yaml").write_text(text)
    assert read_values([sources[0], sources[2]])["mig"] == {"jl1": [0.2, 0.4]}


def test_a_sweep_and_runs_are_compared_together(
    sweep: Path, sources: list[str], tmp_path: Path
) -> None:
    both = [str(sweep), *sources]
    assert read_values(both)["mig"]["beta"] == [0.1, 0.05]
    write_comparison(read_evaluations(both), both, tmp_path / "out")
    assert (tmp_path / "out" / "radius.png").exists()


def test_a_sweep_s_protocols_are_checked_too(sweep: Path, tmp_path: Path) -> None:
    """Its config is text: null is no protocol's name."""
    sweep.write_text(SWEEP.replace(",mig,", ",vp,"))
    run = tmp_path / "run.json"
    evaluation = json.loads(_evaluation("gan", 0, vp=0.5))
    run.write_text(json.dumps({**evaluation, "protocol": {"vp": "dsprites", "vp_latents": None}}))
    assert len(read_evaluations([str(sweep), str(run)])) == 5
    run.write_text(json.dumps({**evaluation, "protocol": {"vp": "dsprites", "vp_latents": 3}}))
    with pytest.raises(ValueError, match=r"evaluation\.vp_latents 3 and None"):
        read_evaluations([str(sweep), str(run)])


def test_a_sweep_s_folder_stands_for_its_table(sweep: Path) -> None:
    assert read_values([str(sweep.parent)]) == read_values([str(sweep)])


def test_a_sweep_without_scores_is_refused(sweep: Path) -> None:
    header, *rows = SWEEP.splitlines()
    sweep.write_text("\n".join([header, rows[3]]) + "\n")
    with pytest.raises(ValueError, match=f"{sweep} has no run that was evaluated"):
        read_evaluations([str(sweep)])


def test_another_table_is_refused(sweep: Path) -> None:
    sweep.write_text("a,b\n1,2\n")
    with pytest.raises(UnreadableFileError, match=f"{sweep} is no table of `axiswise sweep`"):
        read_evaluations([str(sweep)])


@pytest.mark.parametrize("score", ["dci_completeness", "local_dci_disentanglement_active"])
def test_dci_by_different_trees_is_not_compared(tmp_path: Path, score: str) -> None:
    paths = []
    value = _local(0.5, 0.5, 0.5) if score.startswith("local_") else 0.5
    for seed, trees in enumerate(("forest", "boosted")):
        evaluation = json.loads(_evaluation("jl1", seed, **{score: value}))
        paths.append(str(tmp_path / f"{seed}.json"))
        Path(paths[-1]).write_text(json.dumps({**evaluation, "protocol": {"dci": trees}}))
    with pytest.raises(ValueError, match=r"evaluation\.dci boosted and forest"):
        read_evaluations(paths)


def test_local_scores_that_are_infinite_have_no_place_on_a_curve(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    local = {"local_total_correlation": _local(math.inf, 0.5, 0.2)}
    path.write_text(_evaluation("jl1", 0, **local))
    write_comparison(read_evaluations([str(path)]), [str(path)], tmp_path / "out")
    assert (tmp_path / "out" / "radius.png").exists()
    assert "inf (1)" in (tmp_path / "out" / "comparison.md").read_text()


def test_committed_evaluations_are_read_and_stand_beside_new_ones(tmp_path: Path) -> None:
    kept = Path(__file__).parents[2] / "results" / "figures" / "scores"
    files = sorted(map(str, kept.glob("three-dots-jl1-fast-*.json")))
    assert len(files) > 1
    text = _evaluation("three-dots-jl1-fast", 9, local_mig=_local(0.5, 0.4, 0.3))
    (tmp_path / "evaluation.json").write_text(text)
    found = read_evaluations([*files, str(tmp_path / "evaluation.json")])
    assert [evaluation["name"] for evaluation in found] == ["three-dots-jl1-fast"] * len(found)
    assert len(group_by_recipe(found)["local_mig 0.1"]["three-dots-jl1-fast"]) == len(files) + 1


@pytest.mark.slow
def test_evaluate_show_and_compare_do_without_fabric(trained_copy: Path) -> None:
    code = (
        "import sys; from axiswise.runs import compare, evaluate, run, show, udr; "
        "evaluate.evaluate_run(run.load_run(sys.argv[1]), ['mig', 'jacobian']); "
        "compare.read_evaluations([sys.argv[1]]); "
        "print([name for name in sys.modules if name.startswith(('lightning', 'axiswise.cli'))])"
    )
    words = [sys.executable, "-c", code, str(trained_copy)]
    found = subprocess.run(words, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.fixture
def scored(trained_copy: Path) -> Path:
    evaluate_run(load_run(trained_copy), ["reconstruction"])
    return trained_copy


def _further(folder: Path) -> None:
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("steps: 40", "steps: 45"))
    resume_run(str(folder))


def _other_model(folder: Path) -> None:
    vae = ConvVAE.from_pretrained(folder)
    with torch.no_grad():
        next(vae.parameters()).mul_(0.5)
    vae.save_pretrained(folder)


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "another model": (_other_model, "the model was replaced or trained further since step 40"),
    "trained further": (_further, "the model was replaced or trained further since step 40"),
    "another config": (
        lambda folder: _edit(folder / "config.yaml", "beta: 2.0", "beta: 3.0"),
        "config.yaml was changed since",
    ),
    "other data": (
        lambda folder: _edit(folder / "config.yaml", "values: 16", "values: 12"),
        "config.yaml was changed since",
    ),
    "scores of another run": (
        lambda folder: _edit(folder / "evaluation.json", '"weights": "', '"weights": "0'),
        "the model was replaced or trained further since step 40",
    ),
    "unfinished, and at another step": (
        lambda folder: _unfinished(folder),
        "the model was replaced or trained further since step 40",
    ),
}


def _edit(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def _unfinished(folder: Path) -> None:
    for name in ("model.safetensors", "config.json", "checkpoints/step-00000040.pt"):
        (folder / name).unlink()


@pytest.mark.parametrize("change", CHANGES)
def test_scores_that_are_not_of_the_weights_beside_them_are_refused(
    scored: Path, change: str
) -> None:
    assert len(read_evaluations([str(scored)])) == 1
    make, why = CHANGES[change]
    make(scored)
    for source in (scored, scored / "evaluation.json"):
        with pytest.raises(UnreadableFileError, match=rf"are stale, .*{why}: run `axiswise evalu"):
            read_evaluations([str(source)])


def test_scores_outlive_their_weights_and_a_change_of_how_a_run_is_scored(scored: Path) -> None:
    _edit(scored / "config.yaml", "centres: 2", "centres: 3")
    assert len(read_evaluations([str(scored)])) == 1
    for name in ("model.safetensors", "config.json"):
        (scored / name).unlink()
    assert len(read_evaluations([str(scored)])) == 1  # the last checkpoint has the same weights
    shutil.rmtree(scored / "checkpoints")
    assert len(read_evaluations([str(scored)])) == 1


def test_a_sweep_s_table_does_not_count_where_a_run_has_changed_since(
    scored: Path, tmp_path: Path
) -> None:
    row = TableRow("tiny", 0, f"gone/{scored.name}", {"steps": "40"}, "finished", {"mig": 0.9})
    write_table([row], tmp_path / "sweep.csv")
    (found,) = read_evaluations([str(tmp_path)])
    assert "mig" not in found["scores"]  # what stands in the run's folder counts
    assert found["folder"] == str(scored)
    _other_model(scored)
    with pytest.raises(UnreadableFileError, match="are stale"):
        read_evaluations([str(tmp_path)])
    shutil.rmtree(scored)
    (found,) = read_evaluations([str(tmp_path)])
    assert found["scores"] == {"mig": 0.9}


@pytest.mark.parametrize(
    "again", ["{0}", "{0}/", "{0}/../{1}", "LINK", "{0}/evaluation.json", "SWEEP"]
)
def test_one_run_under_two_names_is_counted_once_and_it_says_so(
    scored: Path, tmp_path: Path, again: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link").symlink_to(scored)
    row = TableRow("tiny", 0, str(scored), {"steps": "40"}, "finished", {"mig": 0.9})
    write_table([row], tmp_path / "sweep" / "sweep.csv")
    names = {"LINK": str(tmp_path / "link"), "SWEEP": str(tmp_path / "sweep")}
    second = names.get(again, again.format(scored, scored.name))
    capsys.readouterr()
    (found,) = read_evaluations([second, str(scored)])
    assert found["folder"] == str(scored)
    assert f"{scored} is named twice, and counted once" in capsys.readouterr().err


def test_a_copy_of_a_run_is_not_counted_and_it_says_so(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(scored, tmp_path / "other"))
    both = [str(scored), str(copy)]
    capsys.readouterr()
    assert len(read_evaluations(both)) == 1
    assert f"{copy} has the same weights as {scored}: it is a copy" in capsys.readouterr().err
    _edit(copy / "config.yaml", "name: tiny", "name: tine")
    _edit(copy / "evaluation.json", '"name": "tiny"', '"name": "tine"')
    assert len(read_evaluations(both)) == 2  # they are not counted together
    assert capsys.readouterr().err == ""
    for name in ("1.json", "2.json"):
        (tmp_path / name).write_text(_evaluation("jl1", 0, mig=0.5))
    assert len(read_evaluations([str(tmp_path / "1.json"), str(tmp_path / "2.json")])) == 1
    assert "has the same seed and scores as" in capsys.readouterr().err


def test_two_that_write_one_comparison_at_once_are_refused(
    sources: list[str], tmp_path: Path, refusal: Callable[[Callable[[], object]], str]
) -> None:
    found = read_evaluations(sources)
    with owning(tmp_path / "out"):
        told = refusal(lambda: write_comparison(found, sources, tmp_path / "out"))
    assert "out is in use" in told
    assert not (tmp_path / "out").exists()
