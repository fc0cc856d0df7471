"""A sweep's file: which runs it asks for, and what is found out before the first."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from axiswise.cli import main
from axiswise.runs.sweeps import PlannedRun, Resources, plan, read_sweep

Planner = Callable[..., list[PlannedRun]]


def _values(runs: list[PlannedRun], *keys: str) -> list[tuple[Any, ...]]:
    found = []
    for run in runs:
        row = []
        for key in keys:
            value: Any = run.settings
            for part in key.split("."):
                value = value[part]
            row.append(value)
        found.append(tuple(row))
    return found


def test_a_grid_is_a_product_and_seeds_come_last(planned: Planner) -> None:
    runs = planned(grid={"terms.jl1.weight": [0.1, 0.3], "steps": [10, 20]}, seeds=[0, 5])
    assert _values(runs, "terms.jl1.weight", "steps", "seed") == [
        (weight, steps, seed) for weight in (0.1, 0.3) for steps in (10, 20) for seed in (0, 5)
    ]
    assert [run.seed for run in runs] == [0, 5] * 4
    assert runs[2].overrides == ("--terms.jl1.weight=0.1", "--steps=20")
    assert len({run.folder for run in runs}) == 8


def test_a_list_keeps_together_what_stands_in_one_entry(planned: Planner) -> None:
    entries = [{"name": "none", "terms": None}, {"name": "strong", "terms.jl1.weight": 3}]
    runs = planned(list=entries, grid={"steps": [10, 20]})
    assert [run.name for run in runs] == ["none", "none", "strong", "strong"]
    assert [run.settings["steps"] for run in runs] == [10, 20, 10, 20]
    assert ["terms" not in run.settings for run in runs] == [True, True, False, False]
    assert runs[2].settings["terms"]["jl1"]["weight"] == 3.0
    assert runs[2].settings["terms"]["jl1"]["columns"] == 1  # what the entry leaves out stays


def test_settings_hold_for_all_and_what_is_nearer_to_the_run_wins(planned: Planner) -> None:
    settings = {"steps": 7, "learning_rate": "1e-2", "evaluation": {"samples": 50}}
    runs = planned(
        settings=settings,
        list=[{}, {"steps": 8}, {"steps": 9, "anneal": 0.25}],
        grid={"anneal": [0.75]},
    )
    assert _values(runs, "steps", "anneal") == [(7, 0.75), (8, 0.75), (9, 0.75)]
    assert (
        _values(runs, "learning_rate", "evaluation.samples", "evaluation.centres")
        == [(0.01, 50, 2)] * 3
    )


def test_several_recipes_and_entries_that_name_their_own(
    tiny_recipe: Path, tiny_gan_recipe: Path, tmp_path: Path
) -> None:
    """Paths are seen from the sweep's file; shipped names stay what they are."""
    assert tiny_recipe.parent == tmp_path
    values = {"recipe": ["tiny.yaml", "three-dots-demo"], "list": [{}, {"recipe": "tiny-gan.yaml"}]}
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(values))
    runs = plan(file, tmp_path / "out")
    assert [run.name for run in runs] == ["tiny", "three-dots-demo", "tiny-gan"]
    assert runs[2].recipe == str(tiny_gan_recipe)
    assert [run.settings["trainer"] for run in runs] == ["vae", "vae", "gan"]


def test_one_config_has_one_folder_however_it_is_put(planned: Planner, tmp_path: Path) -> None:
    (first,) = planned(settings={"terms.jl1": {"weight": 0.1}, "description": "other words"})
    (again,) = planned(grid={"terms.jl1.weight": [1.0e-1]}, settings={"evaluation.bins": 7})
    (seeded,) = planned(seeds=[3])
    (other,) = planned(settings={"terms.jl1.weight": 0.2})
    name, digest, seed = first.folder.name.split("-")
    assert (name, seed, len(digest)) == ("tiny", "seed0", 8)
    assert first.folder == again.folder
    assert seeded.folder == tmp_path / "out" / f"tiny-{digest}-seed3"
    assert digest not in other.folder.name
    assert len(planned(list=[{}, {"terms.jl1.weight": 0.1}, {"steps": 1}], seeds=[0, 0])) == 2


def test_a_folder_s_name_has_no_more_parts_than_one(planned: Planner, tmp_path: Path) -> None:
    (run,) = planned(settings={"name": "a b"})
    assert run.folder.parent == tmp_path / "out"
    assert run.folder.name.startswith("a_b-")
    assert run.name == "a b"
    with pytest.raises(ValueError, match="name must be the plain name of one folder"):
        planned(settings={"name": "../a b"})


@pytest.mark.parametrize(
    ("values", "metrics"),
    [
        ({}, None),
        ({"metrics": "usual"}, None),
        ({"metrics": []}, ()),
        ({"metrics": "mig"}, ("mig",)),
        ({"metrics": ["local", "mig"]}, ("local", "mig")),
        ({"metrics": "all"}, ("all",)),
    ],
)
def test_metrics_are_the_usual_ones_or_none_or_named(
    planned: Planner, values: dict[str, Any], metrics: tuple[str, ...] | None
) -> None:
    assert planned(**values)[0].metrics == metrics


def test_resources_and_retries_are_read(tiny_recipe: Path) -> None:
    values = {"recipe": str(tiny_recipe), "resources": {"cpus": 2, "gpus": 0.25}, "retries": 0}
    sweep = read_sweep(values)
    assert (sweep.resources, sweep.retries) == (Resources(cpus=2, gpus=0.25), 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"grids": {}}, "unknown key 'grids'"),
        ({"recipe": []}, "must name a recipe"),
        ({"recipe": "no-such-recipe"}, "must be a YAML file or one that .*no-such-recipe"),
        ({"grid": {"terms.jl1.weigth": [1]}}, "weigth"),
        ({"grid": {"steps": [10, 20, 0]}}, "--steps=0: steps must be at least 1, got 0"),
        ({"grid": {"steps": []}}, "grid: steps must not be an empty list"),
        ({"grid": {"steps": 10}}, "grid: steps must be a list, got 10"),
        ({"grid": [10]}, "grid must be keys and values"),
        ({"list": [{"steps": 10}, {"terms.jl1.weight": "heavy"}]}, "heavy"),
        ({"list": {"steps": 10}}, "list must be a list of keys and values"),
        ({"seeds": 3}, "seeds must be a list of whole numbers, got 3"),
        ({"seeds": [True]}, "seeds must be a list of whole numbers"),
        ({"settings": {"seed": 3}}, "--seed=3 must not be a setting"),
        ({"metrics": ["mig", "migg"]}, "metrics must be out of .*got 'migg'"),
        ({"metrics": {"mig": 1}}, "metrics must be a name or a list of names"),
        ({"resources": {"gpu": 1}}, "resources has the keys cpus and gpus, not 'gpu'"),
        ({"resources": {"cpus": 0}}, "resources.cpus must be at least 1, got 0"),
        ({"resources": {"cpus": 0.5}}, "resources.cpus must be a whole number, got 0.5"),
        ({"resources": {"gpus": -1}}, "resources.gpus must be at least 0, got -1"),
        ({"resources": {"gpus": "one"}}, "resources.gpus must be a number or null, got 'one'"),
        ({"retries": -1}, "retries must be at least 0, got -1"),
        ({"retries": 1.5}, "retries must be a whole number, got 1.5"),
    ],
)
def test_whatever_is_wrong_is_said_before_there_is_a_folder(
    planned: Planner, tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        planned(**values)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["recipe: [", "- tiny", "\x00"])
def test_what_is_no_sweep_is_said_in_one_line(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(content)
    assert main(["sweep", str(file), "--out", str(tmp_path / "out")]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith(f"axiswise: error: {file} is no ")
    assert errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["no-such.yaml", "."])
def test_a_file_that_is_not_there_is_named(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / name
    assert main(["sweep", str(file), "--out", str(tmp_path / "out")]) == 1
    said = f"FILE must be a YAML file of a sweep, there is none at '{file}'"
    assert capsys.readouterr().err == f"axiswise: error: {said}\n"


def test_sweeps_in_the_docs_are_some(tmp_path: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "sweeps.md"
    grid, entries, resources = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    counts = []
    for values in (grid.replace(", my-recipe.yaml", ""), entries + resources):
        file = tmp_path / "sweep.yaml"
        file.write_text(values)
        counts.append(len(plan(file, tmp_path / "out")))
    assert counts == [18, 12]
