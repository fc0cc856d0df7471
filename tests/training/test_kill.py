"""`kill -9`, Ctrl-C and other signals, on real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from kills import KINDS, compared

from axiswise.cli import main
from axiswise.runs.folder import RunFolder
from axiswise.training.checkpoint import list_checkpoints

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}


def _campaign(kind: str, kills: int, steps: int) -> dict[str, Any]:
    words = ["--kinds", kind, "--kills", str(kills), "--steps", str(steps), "--json"]
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("kills.py")), *words],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)[kind]  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_moment_or_started_twice_a_run_ends_as_if_nothing_had_been(kind: str) -> None:
    """And what other commands were killed at is whole in the next call."""
    kills = 10
    found = _campaign(kind, kills, 200)
    assert [entry["status"] for entry in found["log"]] == [-signal.SIGKILL] * kills, found
    same = {"weights": True, "rows": True, "files": True}
    assert {key: found[key] for key in same} == same, found
    assert (found["scored"], found["exit"]) == (0, 0)
    assert found["two"] == {"exits": [[0, 1], [0, 1]], "new": same, "resumed": same}
    assert found["commands"] == {"scores": True, "directions": True}


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.slow
@pytest.mark.usefixtures("heard_hangups")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_saves_says_so_in_one_line_and_loses_nothing(
    trained: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder, whole = tmp_path / "run", tmp_path / "whole"
    recipe = ["train", str(trained.parent / "tiny.yaml"), "--steps", "560", "--out"]
    assert main([*recipe, str(whole)]) == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "axiswise.cli", *recipe, str(folder)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    run = RunFolder(folder)
    try:
        deadline = time.monotonic() + 60
        while not run.metrics.exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert output == b""
    *bar, last = errors.decode().strip().splitlines()
    assert not any("error" in line for line in bar)
    step = int(list_checkpoints(run.checkpoints)[-1].stem.removeprefix("step-"))
    assert 5 <= step < 560
    assert last == (
        f"axiswise: error: stopped after step {step} of 560, all of it saved; "
        f"go on with `axiswise train --resume {folder}`"
    )
    shutil.copytree(folder, tmp_path / "elsewhere")  # a run may be moved
    assert main(["train", "--resume", str(tmp_path / "elsewhere")]) == 0
    assert compared(tmp_path / "elsewhere", whole) == {"weights": True, "rows": True, "files": True}
