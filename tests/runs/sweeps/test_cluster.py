"""Sweeps on Ray: a local cluster, whose workers have no part of the sweep's folder."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sweep_processes import Processes, wait_until

from axiswise.cli import main
from axiswise.runs.sweeps import Outcome, PlannedRun, Resources, plan, run_all
from axiswise.runs.train import train_recipe

ray = pytest.importorskip("ray", reason="needs the extra ray")
if not sys.platform.startswith("linux"):
    pytest.skip("processes are looked for in /proc", allow_module_level=True)

pytestmark = pytest.mark.slow

Planner = Callable[..., list[PlannedRun]]
STEPS = 1500
LONG = {"steps": STEPS, "checkpoint_every": 50}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Processes]:
    """Two cores and a pretended GPU; all that its workers start is marked."""
    started = Processes()
    name, _, value = started.mark.partition("=")
    context: Any = ray.init(
        num_cpus=2,
        num_gpus=1,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {name: value}},
    )
    # Whoever joins the cluster needs to be let in: Ray has put a token into the environment.
    token = {key: value for key, value in os.environ.items() if key.startswith("RAY_")}
    address = {"RAY_ADDRESS": context.address_info["gcs_address"]}
    started.environment = {**started.environment, **token, **address}
    yield started
    ray.shutdown()


def _trainers(cluster: Processes) -> list[int]:
    return [number for number, words in cluster.found().items() if "sweeps.worker" in words]


def _undisturbed(run: PlannedRun, recipe: Path, folder: Path) -> bytes:
    words = [f"--{key}={value}" for key, value in LONG.items()]
    alone = train_recipe(str(recipe), [*words, f"--seed={run.seed}"], str(folder))
    return (alone.path / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("cluster")
def test_two_runs_share_a_gpu_and_all_that_they_write_comes_back(planned: Planner) -> None:
    runs = planned(seeds=[0, 1], metrics=["reconstruction"])
    seen: list[int] = []
    outcomes = run_all(
        runs,
        engine="ray",
        resources=Resources(cpus=1, gpus=0.5),
        on_progress=lambda progress: seen.append(len(progress.running)),
    )
    assert outcomes == [Outcome(run, "finished") for run in runs]
    assert max(seen) == 2
    for run in runs:
        assert run.finished
        assert sorted(path.name for path in run.folder.iterdir()) == [
            "checkpoints",
            "config.json",
            "config.yaml",
            "evaluation.json",
            "metrics.csv",
            "model.safetensors",
            "samples",
            "tensorboard",
        ]
        steps = sorted(path.name for path in (run.folder / "checkpoints").glob("*.pt"))
        assert steps == ["step-00000030.pt", "step-00000040.pt"]
        assert "nll_of_means" in json.loads((run.folder / "evaluation.json").read_text())["scores"]
        lock = run.take()
        assert lock is not None  # it was let go
        lock.close()
    assert run_all(runs, engine="ray") == [Outcome(run, "there") for run in runs]


@pytest.mark.usefixtures("cluster")
def test_a_run_that_fails_says_why_and_its_log_comes_back(planned: Planner) -> None:
    (run,) = planned(settings={"learning_rate": 1e30})
    (outcome,) = run_all([run], engine="ray", retries=5)
    assert outcome.state == "failed"
    assert "nll is nan" in outcome.reason
    assert "nll is nan" in outcome.run.log.read_text()  # tried once


def test_a_lost_run_starts_again_from_the_newest_checkpoint(
    planned: Planner, tiny_recipe: Path, tmp_path: Path, cluster: Processes
) -> None:
    (run,) = planned(settings=LONG, metrics=[])
    killed: list[int] = []

    def kill_once(_progress: object) -> None:
        if not killed and list((run.folder / "checkpoints").glob("*.pt")):
            (trainer,) = _trainers(cluster)
            os.kill(trainer, signal.SIGKILL)
            killed.append(run.steps_done)

    assert run_all([run], engine="ray", on_progress=kill_once) == [Outcome(run, "finished")]
    assert 50 <= killed[0] < STEPS
    weights = (run.folder / "model.safetensors").read_bytes()
    assert weights == _undisturbed(run, tiny_recipe, tmp_path / "alone")


def test_killed_half_way_and_called_again_a_sweep_goes_on(
    tiny_recipe: Path, tmp_path: Path, cluster: Processes
) -> None:
    """The cluster stays; what it was at ends, and what had come back is what the next call has."""
    file, out = tmp_path / "sweep.yaml", tmp_path / "out"
    sweep = {"recipe": tiny_recipe.name, "settings": LONG, "seeds": [0, 1], "metrics": []}
    file.write_text(yaml.safe_dump(sweep))
    runs = plan(file, out)
    words = [str(file), "--out", str(out), "--engine", "ray"]
    process = cluster.start(*words)
    wait_until(
        lambda: all(list((run.folder / "checkpoints").glob("*.pt")) for run in runs), process
    )
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not _trainers(cluster))
    assert not any(run.trained for run in runs)
    kept = [run.steps_done for run in runs]
    assert min(kept) >= 50

    first: list[int] = []

    def note(progress: Any) -> None:
        first.extend(done for _, done in progress.running)

    run_all(runs, engine="ray", on_progress=note)
    assert min(first) >= 50  # from where it was
    for run in runs:
        weights = (run.folder / "model.safetensors").read_bytes()
        assert weights == _undisturbed(run, tiny_recipe, tmp_path / f"alone{run.seed}")
    assert main(["sweep", *words]) == 0  # nothing is left to do but the table
    assert (out / "sweep.csv").is_file()


def test_without_ray_the_error_says_how_to_get_it(
    planned: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'axiswise\[ray\]'"):
        run_all(planned(), engine="ray")
