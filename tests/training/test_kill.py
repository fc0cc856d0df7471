"""`kill -9` and Ctrl-C, on real processes."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from axiswise.cli import main
from axiswise.runs.folder import RunFolder
from axiswise.training.checkpoint import list_checkpoints

STEPS = 560
# What the tiny recipe of each kind is trained with, beside its steps.
OVERRIDES = {"vae": ["--terms.jl1.columns", "2"], "gan": []}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}

# Imports once, then forks a fresh process for each attempt, as importing takes seconds. It has
# computed nothing itself when it forks, so the children start as any process does.
KILLER = """
import json, os, random, signal, sys, time
from pathlib import Path
import axiswise.training.loop
import torch.utils.tensorboard
from axiswise.cli import main

recipe, folder, overrides, seed = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]), 11
kills, kills_of_resumed = map(int, sys.argv[4:])
chance = random.Random(seed)

def start(words):
    child = os.fork()
    if child:
        return child
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os._exit(main(words))

def rows():
    try:
        return (folder / "metrics.csv").read_text().count("\\n") - 1
    except FileNotFoundError:
        return 0

def killed(child):
    # It may have died by itself: then there was nothing to kill, and the status says so.
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        return ["ended", status]
    os.kill(child, signal.SIGKILL)
    return ["killed", os.WTERMSIG(os.waitpid(child, 0)[1])]

log = []
first = ["train", recipe, "--out", str(folder), *overrides]
resume = ["train", "--resume", str(folder)]
for attempt in range(kills):
    child = start(resume if attempt else first)
    target = (attempt + 1) * 8  # rows, of five steps each
    deadline = time.monotonic() + 60
    while rows() < target and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.03))
    log.append([rows(), *killed(child)])
for attempt in range(kills_of_resumed):  # and while it restores itself, or soon after
    child = start(resume)
    moment = time.monotonic() + chance.uniform(0, 0.25)
    while rows() < 84 + 4 * attempt and time.monotonic() < moment:
        time.sleep(0.001)
    log.append([rows(), *killed(child)])
_, status = os.waitpid(start(resume), 0)
print(json.dumps({"log": log, "exit": os.waitstatus_to_exitcode(status)}))
"""


@pytest.fixture(scope="module", params=OVERRIDES)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def recipe(kind: str, trained: Path, trained_gan: Path) -> Path:
    return {"vae": trained.parent / "tiny.yaml", "gan": trained_gan.parent / "tiny-gan.yaml"}[kind]


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory, kind: str, recipe: Path
) -> Callable[[int], RunFolder]:
    """A run of so many steps that was never stopped."""

    @functools.cache
    def train(steps: int) -> RunFolder:
        out = tmp_path_factory.mktemp("uninterrupted") / "run"
        assert torch.get_num_threads() == 1
        words = ["train", str(recipe), "--out", str(out), "--steps", str(steps)]
        assert main([*words, *OVERRIDES[kind]]) == 0
        return RunFolder(out)

    return train


def _metrics(run: RunFolder) -> dict[str, list[float]]:
    columns = run.read_metrics()
    del columns["images_per_second"]
    return columns


def _assert_same(run: RunFolder, other: RunFolder) -> None:
    weights = [(folder.path / "model.safetensors").read_bytes() for folder in (run, other)]
    assert weights[0] == weights[1]
    assert _metrics(run) == _metrics(other)


@pytest.mark.parametrize(
    ("steps", "kills", "kills_of_resumed"),
    [pytest.param(STEPS, 10, 6, marks=pytest.mark.slow), (160, 1, 1)],
)
def test_a_run_killed_at_random_moments_ends_as_if_it_had_not_been(
    uninterrupted: Callable[[int], RunFolder],
    kind: str,
    recipe: Path,
    tmp_path: Path,
    steps: int,
    kills: int,
    kills_of_resumed: int,
) -> None:
    """In the midst of training, and while it resumes."""
    folder = tmp_path / "run"
    overrides = ["--steps", str(steps), *OVERRIDES[kind]]
    words = [str(recipe), str(folder), json.dumps(overrides), str(kills), str(kills_of_resumed)]
    done = subprocess.run(
        [sys.executable, "-c", KILLER, *words],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    expected = [["killed", signal.SIGKILL]] * (kills + kills_of_resumed)
    assert [entry[1:] for entry in result["log"]] == expected, result
    assert result["exit"] == 0
    _assert_same(RunFolder(folder), uninterrupted(steps))


@pytest.mark.slow
def test_ctrl_c_saves_says_so_in_one_line_and_loses_nothing(
    uninterrupted: Callable[[int], RunFolder], kind: str, recipe: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    words = [sys.executable, "-m", "axiswise.cli", "train", str(recipe), "--out", str(folder)]
    process = subprocess.Popen(
        [*words, "--steps", str(STEPS), *OVERRIDES[kind]],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    run = RunFolder(folder)
    try:
        deadline = time.monotonic() + 60
        while not run.metrics.exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert output == b""
    *bar, last = errors.decode().strip().splitlines()
    assert bar[0].startswith("training")
    assert not any("error" in line for line in bar)
    step = int(list_checkpoints(run.checkpoints)[-1].stem.removeprefix("step-"))
    assert 5 <= step < STEPS
    assert last == (
        f"axiswise: error: stopped after step {step} of {STEPS}, all of it saved; "
        f"go on with `axiswise train --resume {folder}`"
    )
    shutil.copytree(folder, tmp_path / "elsewhere")  # a run may be moved
    assert main(["train", "--resume", str(tmp_path / "elsewhere")]) == 0
    _assert_same(RunFolder(tmp_path / "elsewhere"), uninterrupted(STEPS))
