"""A planned run: its progress, as read from its folder."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from axiswise.nets import ConvVAE
from axiswise.runs.sweeps import PlannedRun, Resources
from axiswise.runs.sweeps.local import cores, environments, usual_workers
from axiswise.runs.sweeps.sweep import table_rows
from axiswise.runs.sweeps.worker import _attempt, perform
from axiswise.support.locks import owning
from axiswise.training.stops import InterruptedRunError

Planner = Callable[..., list[PlannedRun]]


def test_a_run_survives_its_line_of_json(planned: Planner) -> None:
    (run,) = planned(settings={"name": "ä b"}, metrics=["mig", "local"], seeds=[4])
    line = run.to_json()
    assert "\n" not in line
    assert PlannedRun.from_json(line) == run
    assert PlannedRun.from_json(run.turned_by_sefa().to_json()) == run.turned_by_sefa()
    assert PlannedRun.from_json(replace(run, metrics=None).to_json()).metrics is None


def test_steps_done_are_those_of_the_last_whole_row(planned: Planner) -> None:
    (run,) = planned()
    assert (run.steps_done, run.steps) == (0, 40)
    run.folder.mkdir(parents=True)
    table = run.folder / "metrics.csv"
    for content, done in (("step,loss\n", 0), ("step,loss\n5,1.0\n10,0.5\n1", 10)):
        table.write_text(content)
        assert run.steps_done == done
    table.write_text("step,loss\n" + "".join(f"{step},0.123456\n" for step in range(5000)))
    assert run.steps_done == 4999
    for name in ("model.safetensors", "config.json"):
        (run.folder / name).touch()
    assert run.steps_done == 40


def test_a_run_trains_and_scores_and_then_has_nothing_left_to_do(planned: Planner) -> None:
    (run,) = planned(metrics=["mig"])
    run.log.parent.mkdir(parents=True)
    assert not run.finished
    perform(run)
    assert run.finished
    assert run.steps_done == 40
    found = json.loads((run.folder / "evaluation.json").read_text())
    assert set(found["scores"]) >= {"mig", "active_axes"}
    assert "modularity" not in found["scores"]
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    perform(run)
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before


def test_other_scores_or_another_protocol_are_taken_of_the_same_weights(planned: Planner) -> None:
    """What is asked for counts, not the config in the folder; more radii than asked are enough."""
    (run,) = planned(metrics=["local"], settings={"steps": 5})
    run.log.parent.mkdir(parents=True)
    perform(run)
    weights = (run.folder / "model.safetensors").stat().st_mtime_ns

    fewer = {"steps": 5, "evaluation.radius": [0.3]}
    assert planned(metrics=["local"], settings=fewer)[0].finished
    (more,) = planned(metrics=["local", "mig"], settings={"steps": 5})
    assert not more.finished
    (other,) = planned(metrics=["local"], settings={"steps": 5, "evaluation.centres": 3})
    assert other.folder == run.folder
    assert not other.finished
    perform(other)
    assert other.finished
    assert not run.finished  # its own protocol's scores were replaced
    found = json.loads((run.folder / "evaluation.json").read_text())
    assert found["protocol"]["centres"] == 3
    assert len(found["scores"]["local_mig"]["0.3"]["values"]) == 3
    assert (run.folder / "model.safetensors").stat().st_mtime_ns == weights


@pytest.mark.parametrize("damaged", ["evaluation.json", "record"])
def test_damaged_scores_are_taken_again(planned: Planner, damaged: str) -> None:
    (run,) = planned(metrics=["reconstruction"], settings={"steps": 5})
    run.log.parent.mkdir(parents=True)
    perform(run)
    path = run.record if damaged == "record" else run.folder / damaged
    path.write_text('{"scores"')
    assert not run.finished
    perform(run)
    assert run.finished


def test_an_unfinished_run_goes_on_from_its_checkpoint_to_the_same_weights(
    planned: Planner,
) -> None:
    (run,) = planned(metrics=[])
    run.log.parent.mkdir(parents=True)
    perform(run)
    model, newest = run.folder / "model.safetensors", run.folder / "checkpoints/step-00000040.pt"
    weights = model.read_bytes()
    earlier = run.folder / "checkpoints/step-00000030.pt"
    before = earlier.stat().st_mtime_ns
    model.unlink()
    newest.unlink()
    perform(run)
    assert model.read_bytes() == weights
    assert earlier.stat().st_mtime_ns == before  # it did not start from nothing


def test_a_run_that_is_stopped_as_training_ends_is_not_scored_first(planned: Planner) -> None:
    (run,) = planned(settings={"steps": 2})
    run.log.parent.mkdir(parents=True)
    with pytest.raises(InterruptedRunError, match="stopped after training"):
        perform(run, lambda: True)
    assert run.trained
    assert not (run.folder / "evaluation.json").exists()


@pytest.mark.slow
def test_a_worker_whose_signal_to_stop_was_lost_ends_when_its_input_does() -> None:
    lose = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    work = "from axiswise.runs.sweeps.worker import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", f"{lose}; {work}"],
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
        start_new_session=True,  # the signal is for its whole group
    )
    assert done.returncode == 0


def test_what_a_crash_in_the_first_moment_left_is_no_hindrance(planned: Planner) -> None:
    (run,) = planned(metrics=[], settings={"steps": 2})
    run.folder.mkdir(parents=True)
    run.log.parent.mkdir()
    (run.folder / ".config.yaml.x7").write_text("data: {")
    perform(run)
    assert run.finished
    assert not (run.folder / ".config.yaml.x7").exists()


def test_a_run_that_another_process_is_at_is_let_alone(planned: Planner) -> None:
    (run,) = planned()
    run.log.parent.mkdir(parents=True)
    lock = run.take()
    assert lock is not None
    with lock:
        assert _attempt(run) == ("busy", "")
    assert not run.folder.exists()
    assert not run.log.exists()  # which would be the other one's


def test_cores_are_shared_and_a_number_of_threads_that_was_set_is_not_exceeded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("axiswise.runs.sweeps.local.cores", lambda: 12)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    assert environments(3, Resources(), pin=True) == [dict.fromkeys(names, "4")] * 3
    assert environments(24, Resources(), pin=True)[23] == dict.fromkeys(names, "1")
    assert usual_workers(Resources()) == 12
    assert usual_workers(Resources(cpus=5)) == 2
    assert usual_workers(Resources(cpus=50)) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert environments(3, Resources(), pin=True)[0] == dict.fromkeys(names, "2")
    monkeypatch.undo()
    assert 1 <= cores() <= (os.cpu_count() or 1)


def test_several_runs_share_a_gpu_and_each_sees_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axiswise.runs.sweeps.local.cores", lambda: 64)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def seen(workers: int, resources: Resources, pin: bool = True) -> list[str | None]:
        chosen = environments(workers, resources, pin)
        return [environment.get("CUDA_VISIBLE_DEVICES") for environment in chosen]

    assert usual_workers(Resources()) == 2
    assert usual_workers(Resources(gpus=0.25)) == 8
    assert usual_workers(Resources(gpus=2)) == 1
    assert usual_workers(Resources(gpus=0)) == 64
    assert seen(4, Resources(gpus=0.5)) == ["0", "1", "0", "1"]
    assert seen(2, Resources(), pin=False) == [None, None]  # runs on several devices choose
    assert seen(2, Resources(gpus=0)) == ["", ""]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-b")
    assert seen(3, Resources()) == ["5", "GPU-b", "5"]


def test_a_run_killed_before_the_last_file_of_its_model_goes_on(planned: Planner) -> None:
    (run,) = planned(metrics=["reconstruction"], settings={"steps": 5})
    run.log.parent.mkdir(parents=True)
    perform(run)
    before = {path.name: path.read_bytes() for path in run.folder.iterdir() if path.is_file()}
    (run.folder / "config.json").unlink()
    (run.folder / ".config.json.x1y2z3w4").touch()
    assert not run.finished
    perform(run)
    assert run.finished
    assert {
        path.name: path.read_bytes() for path in run.folder.iterdir() if path.is_file()
    } == before


def test_scores_of_other_weights_do_not_count(planned: Planner) -> None:
    (run,) = planned(metrics=["reconstruction"], settings={"steps": 5})
    run.log.parent.mkdir(parents=True)
    perform(run)
    vae = ConvVAE.from_pretrained(run.folder)
    with torch.no_grad():
        next(vae.parameters()).mul_(0.5)
    vae.save_pretrained(run.folder)
    assert not run.finished
    assert table_rows([run], [])[0].scores == {}
    perform(run)
    assert run.finished
    assert table_rows([run], [])[0].scores


def test_a_run_that_somebody_trains_by_hand_is_let_alone(planned: Planner) -> None:
    (run,) = planned(metrics=[], settings={"steps": 5})
    found: list[tuple[str, str]] = []
    with owning(run.folder):
        thread = threading.Thread(target=lambda: found.append(_attempt(run)))
        with os.fdopen(os.dup(1), "wb") as out, os.fdopen(os.dup(2), "wb") as errors:
            thread.start()
            thread.join()
            for kept, stream in ((out, 1), (errors, 2)):
                os.dup2(kept.fileno(), stream)
    assert found == [("busy", "")]
