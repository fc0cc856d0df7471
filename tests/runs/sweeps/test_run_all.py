"""Sweeps on one computer: each run is trained once, none is lost, no process stays."""

import csv
import operator
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from sweep_processes import Processes, wait_until

from axiswise.cli import main
from axiswise.runs.sweeps import (
    Outcome,
    PlannedRun,
    SweepProgress,
    plan,
    run_all,
)
from axiswise.runs.sweeps.sweep import table_rows
from axiswise.runs.table import read_table, write_table
from axiswise.runs.train import train_recipe
from axiswise.support.files import UnreadableFileError

Planner = Callable[..., list[PlannedRun]]


def _stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def _states(table: Path) -> list[str]:
    return [row.status for row in read_table(table)]


@pytest.mark.slow
def test_what_failed_is_reported_and_tried_again_and_what_is_finished_is_not(
    tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One run whose folder is taken by a file, and one that is trained but cannot be scored."""
    file, out = tmp_path / "sweep.yaml", tmp_path / "out"
    sweep = {
        "recipe": tiny_recipe.name,
        "list": [{}, {"terms": None}, {"steps": 20}],
        "metrics": ["reconstruction"],
    }
    file.write_text(yaml.safe_dump(sweep))
    good, blocked, unscored = plan(file, out)
    out.mkdir()
    blocked.folder.touch()
    train_recipe(str(tiny_recipe), ["--steps", "20"], str(unscored.folder))
    weights = _stamps(unscored.folder)
    (unscored.folder / "evaluation.json").mkdir()

    words = ["sweep", str(file), "--out", str(out), "--workers", "1"]
    assert main(words) == 1
    errors = capsys.readouterr().err
    assert f"{good.folder}: finished" in errors
    assert f"{blocked.folder} exists already" in errors
    assert "2 of 3 runs failed" in errors.splitlines()[-1]
    for run in (blocked, unscored):
        assert f"(log: {run.log})" in errors
    assert f"{blocked.folder} exists already" in blocked.log.read_text().splitlines()[-1]
    assert _states(out / "sweep.csv") == ["finished", "failed", "failed"]

    before = _stamps(good.folder) | weights
    blocked.folder.unlink()
    (unscored.folder / "evaluation.json").rmdir()
    assert main(words) == 0
    assert str(good.folder) not in capsys.readouterr().err
    assert _states(out / "sweep.csv") == ["there", "finished", "finished"]
    after = _stamps(good.folder) | _stamps(unscored.folder)
    assert {path: after[path] for path in before} == before


def test_the_table_has_every_key_and_every_score(planned: Planner, trained: Path) -> None:
    """Keys that differ between the runs come first; a run that failed has no scores."""
    runs = planned(grid={"terms.jl1.weight": [0.1, 0.3]}, seeds=[0, 1])
    shutil.copytree(trained, runs[1].folder)
    scores = '{"mig": 0.25, "local_mig": {"0.3": {"mean": 0.5, "std": 0.1}}}'
    (runs[1].folder / "evaluation.json").write_text(f'{{"name": "tiny", "scores": {scores}}}')
    path = runs[0].folder.parent / "sweep.csv"
    outcomes = [Outcome(runs[1], "finished"), Outcome(runs[2], "failed", "why")]
    write_table(table_rows(runs, outcomes), path)
    with path.open() as file:
        header, *rows = csv.reader(file)
    assert header[:5] == ["recipe", "seed", "folder", "terms.jl1.weight", "trainer"]
    assert header[header.index("status") :] == ["status", "mig", "local_mig 0.3"]
    assert len(rows) == 4

    found = read_table(path)
    assert [(row.recipe, row.seed, row.status) for row in found] == [
        ("tiny", 0, "missing"),
        ("tiny", 1, "finished"),
        ("tiny", 0, "failed"),
        ("tiny", 1, "missing"),
    ]
    assert [row.config["terms.jl1.weight"] for row in found] == ["0.1", "0.1", "0.3", "0.3"]
    assert found[1].folder == str(runs[1].folder)
    assert [row.scores for row in found] == [{}, {"mig": 0.25, "local_mig 0.3": 0.5}, {}, {}]
    config = found[0].config
    assert (config["model.init_args.hidden"], config["evaluation.radius"]) == (
        "[8, 8]",
        "[0.3, 1.0]",
    )
    assert (config["trainer"], config["steps"]) == ("vae", "40")
    assert "seed" not in config


def test_a_table_keeps_the_rows_of_other_sweeps_into_its_folder(
    planned: Planner, capsys: pytest.CaptureFixture[str]
) -> None:
    """As long as their runs are there; and a file that is no table is kept aside."""
    first, second = planned(settings={"steps": 5}), planned(settings={"steps": 10})
    path = first[0].folder.parent / "sweep.csv"
    for runs in (first, second):
        runs[0].folder.mkdir(parents=True)
        write_table(table_rows(runs, []), path)
    assert [row.config["steps"] for row in read_table(path)] == ["10", "5"]
    write_table(table_rows(second, [Outcome(second[0], "finished")]), path)
    assert _states(path) == ["finished", "missing"]
    first[0].folder.rmdir()
    write_table(table_rows(second, []), path)
    assert [row.config["steps"] for row in read_table(path)] == ["10"]
    path.write_text("my own table")
    write_table(table_rows(second, []), path)
    assert len(read_table(path)) == 1
    assert (path.parent / "sweep.csv.wrong").read_text() == "my own table"
    assert "sweep.csv.wrong" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "recipe,seed,folder,steps,status\nx,0\n"])
def test_another_table_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "sweep.csv"
    path.write_text(content)
    with pytest.raises(UnreadableFileError, match="no table of `axiswise sweep`"):
        read_table(path)


def test_a_run_that_another_sweep_is_at_is_waited_for(planned: Planner, trained: Path) -> None:
    (run,) = planned(metrics=[])
    run.log.parent.mkdir(parents=True)
    seen: list[SweepProgress] = []
    lock = run.take()
    assert lock is not None
    with lock:

        def finish_elsewhere(progress: SweepProgress) -> None:
            seen.append(progress)
            if len(seen) == 3:
                shutil.copytree(trained, run.folder)
                lock.close()

        (outcome,) = run_all([run], on_progress=finish_elsewhere)
    assert outcome == Outcome(run, "there")
    assert not run.log.exists()  # it was not touched
    assert seen[:3] == [SweepProgress((), ())] * 3


def test_numbers_out_of_range_are_refused(planned: Planner) -> None:
    runs = planned()
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        run_all(runs, workers=0)
    with pytest.raises(ValueError, match="engine must be 'local' or 'ray', got 'slurm'"):
        run_all(runs, engine="slurm")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="retries must be at least 0, got -1"):
        run_all(runs, retries=-1)
    assert run_all([]) == []


STEPS = 1500
LONG = ["--steps", str(STEPS), "--checkpoint_every", "50"]


@pytest.fixture
def sweep_file(tiny_recipe: Path, tmp_path: Path) -> Path:
    file = tmp_path / "sweep.yaml"
    sweep = {
        "recipe": tiny_recipe.name,
        "settings": {"steps": STEPS, "checkpoint_every": 50},
        "seeds": [0, 1],
        "metrics": [],
    }
    file.write_text(yaml.safe_dump(sweep))
    return file


def _assert_undisturbed(runs: list[PlannedRun], recipe: Path, folder: Path) -> None:
    for run in runs:
        alone = train_recipe(
            str(recipe), [*LONG, "--seed", str(run.seed)], str(folder / run.folder.name)
        )
        weights = [(path / "model.safetensors").read_bytes() for path in (alone.path, run.folder)]
        assert weights[0] == weights[1]


def _steps(runs: list[PlannedRun]) -> list[int]:
    return [run.steps_done for run in runs]


@pytest.mark.slow
def test_killed_half_way_and_called_again_a_sweep_ends_as_if_nothing_had_been(
    sweep_file: Path, tiny_recipe: Path, tmp_path: Path, processes: Processes
) -> None:
    """Ctrl-C first, then SIGKILL: neither leaves a process, both leave checkpoints."""
    runs = plan(sweep_file, tmp_path / "out")
    words = [str(sweep_file), "--out", str(tmp_path / "out"), "--workers", "2"]

    process = processes.start(*words)
    wait_until(lambda: min(_steps(runs)) >= 100, process)
    assert len(processes.found()) == 3
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, "")
    assert errors.strip().splitlines()[-1] == "axiswise: error: interrupted"
    assert "Traceback" not in errors
    assert processes.found() == {}
    assert max(_steps(runs)) < STEPS
    done = _steps(runs)
    for run in runs:  # each had saved before it ended
        assert "stopped after step" in run.log.read_text().splitlines()[-1]
    assert _states(tmp_path / "out" / "sweep.csv") == ["missing", "missing"]

    process = processes.start(*words)
    further = [step + 100 for step in done]
    wait_until(lambda: all(map(operator.ge, _steps(runs), further)), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: processes.found() == {})
    assert max(_steps(runs)) < STEPS

    assert main(["sweep", *words]) == 0
    assert [run.finished for run in runs] == [True, True]
    _assert_undisturbed(runs, tiny_recipe, tmp_path / "alone")


@pytest.mark.slow
def test_sigterm_leaves_no_process_and_one_that_is_killed_is_replaced(
    sweep_file: Path, tmp_path: Path, processes: Processes
) -> None:
    runs = plan(sweep_file, tmp_path / "out")
    process = processes.start(str(sweep_file), "--out", str(tmp_path / "out"), "--workers", "1")
    wait_until(lambda: runs[0].steps_done >= 100, process)
    (worker,) = set(processes.found()) - {process.pid}
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: runs[1].steps_done >= 100, process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert processes.found() == {}
    assert f"{runs[0].folder}: failed: its process was ended by signal SIGKILL" in errors
    assert _states(tmp_path / "out" / "sweep.csv") == ["failed", "missing"]


@pytest.mark.slow
def test_runs_on_two_devices_follow_one_another_in_one_worker(planned: Planner) -> None:
    """Each brings a helper along, started with the worker's own words."""
    runs = planned(settings={"devices": 2, "steps": 5}, seeds=[0, 1], metrics=["reconstruction"])
    assert [outcome.state for outcome in run_all(runs, workers=1)] == ["finished", "finished"]
    assert all(run.finished for run in runs)
