"""Two processes on one machine are one with the whole batch."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from axiswise.cli import main
from axiswise.runs.folder import RunFolder
from axiswise.training.checkpoint import list_checkpoints, load_checkpoint
from tiny import TINY_PROGRESSIVE

pytestmark = pytest.mark.slow

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
COMMAND = [sys.executable, "-m", "axiswise.cli", "train"]


def _gradients(run: RunFolder, network: str = "vae", beta: float = 0.9) -> list[Tensor]:
    """After Adam's first step its running mean is 1 − β of the gradient."""
    state = load_checkpoint(list_checkpoints(run.checkpoints)[-1])
    assert state["step"] == 1
    moments = state["trainer"]["optimizers"][network]["state"]
    return [moments[index]["exp_avg"] / (1 - beta) for index in sorted(moments)]


def _train_in_two(words: list[str], run: RunFolder) -> None:
    done = subprocess.run(
        [*COMMAND, *words, "--out", str(run.path), "--devices", "2"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"{run.path}: trained") == 1  # the second process keeps quiet


def test_the_gradients_of_two_processes_are_those_of_one_with_the_whole_batch(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    """From the first step on all terms count; each process sees half of images and columns."""
    words = [str(tiny_recipe), "--steps", "1", "--anneal", "0", "--terms.jl1.weight", "3"]
    one, two, half = (RunFolder(tmp_path / name) for name in ("one", "two", "half"))
    assert main(["train", *words, "--out", str(one.path)]) == 0
    _train_in_two(words, two)

    whole = _gradients(one)
    for ours, theirs in zip(_gradients(two), whole, strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6 * scale)
    alone, together = one.read_metrics(), two.read_metrics()
    del alone["images_per_second"], together["images_per_second"]
    assert together.keys() == alone.keys()
    for name, values in alone.items():
        assert together[name] == pytest.approx(values, rel=1e-5), name

    # A batch that really is half as large gives other gradients: the comparison can fail.
    assert main(["train", *words, "--batch_size", "4", "--out", str(half.path)]) == 0
    assert not torch.allclose(_gradients(half)[0], whole[0], rtol=1e-2)


def test_the_gradients_of_a_gan_in_two_processes_are_those_of_one(
    tiny_gan_recipe: Path, tmp_path: Path
) -> None:
    """Of critic, generator and the networks of added terms; the critic's slopes are halved too."""
    words = [str(tiny_gan_recipe), "--steps", "1", "--terms.orojar.weight", "0.1"]
    words += ["--terms.vp.weight", "2", "--terms.infogan", "{latents: 3, width: 0.1}"]
    words += ["--terms.jl1", "{}"]
    one, two, half = (RunFolder(tmp_path / name) for name in ("one", "two", "half"))
    assert main(["train", *words, "--out", str(one.path)]) == 0
    _train_in_two(words, two)
    assert main(["train", *words, "--batch_size", "4", "--out", str(half.path)]) == 0
    for network in ("critic", "generator"):
        whole = _gradients(one, network, beta=0.5)
        for ours, theirs in zip(_gradients(two, network, beta=0.5), whole, strict=True):
            scale = float(theirs.abs().max())
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * scale + 1e-7)
        other = _gradients(half, network, beta=0.5)
        assert not torch.allclose(other[0], whole[0], rtol=1e-2)
    alone, together = one.read_metrics(), two.read_metrics()
    assert together.keys() == alone.keys()
    # What tells a collapse is measured by each process on its own images.
    for name in alone.keys() - {"images_per_second", "variety", "score_spread"}:
        assert together[name] == pytest.approx(alone[name], rel=1e-4, abs=1e-6), name


def test_the_gradients_of_factor_vae_in_two_processes_are_those_of_one(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    """Of its discriminator as well, whose second batch is permuted as a whole."""
    words = [str(tiny_recipe), "--steps", "1", "--anneal", "0", "--terms.factor_vae.features", "16"]
    one, two, half = (RunFolder(tmp_path / name) for name in ("one", "two", "half"))
    assert main(["train", *words, "--out", str(one.path)]) == 0
    _train_in_two(words, two)
    assert main(["train", *words, "--batch_size", "4", "--out", str(half.path)]) == 0
    for network, beta in (("vae", 0.9), ("terms.factor_vae", 0.5)):
        whole = _gradients(one, network, beta)
        for ours, theirs in zip(_gradients(two, network, beta), whole, strict=True):
            scale = float(theirs.abs().max())
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * scale + 1e-7)
        assert not torch.allclose(_gradients(half, network, beta)[0], whole[0], rtol=1e-2)
    alone, together = one.read_metrics(), two.read_metrics()
    assert together.keys() == alone.keys()
    for name in alone.keys() - {"images_per_second"}:
        assert together[name] == pytest.approx(alone[name], rel=1e-4, abs=1e-6), name


def test_ctrl_c_stops_both_processes_after_the_same_step_and_resume_goes_on(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    """Only the first process is told, as by a scheduler; the other has to hear of it."""
    run = RunFolder(tmp_path / "run")
    words = [str(tiny_recipe), "--steps", "3000", "--devices", "2", "--out", str(run.path)]
    process = subprocess.Popen(
        [*COMMAND, *words],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 90
        while not run.metrics.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, errors
    assert errors.count("axiswise: error: stopped after step") == 1
    assert "Traceback" not in errors
    state = load_checkpoint(list_checkpoints(run.checkpoints)[-1])
    assert state["step"] >= 5
    # What the other process had logged since the last row is in it: one process can go on.
    assert len(state["log"]) == state["step"] % 5


def test_the_gradients_of_a_growing_gan_in_two_processes_are_those_of_one(tmp_path: Path) -> None:
    """Each process has one of the two parts, whose largest penalties are averaged."""
    recipe = tmp_path / "tiny-progressive.yaml"
    recipe.write_text(TINY_PROGRESSIVE)
    words = [str(recipe), "--steps", "1", "--terms.orojar.reduction", "max"]
    one, two, whole = (RunFolder(tmp_path / name) for name in ("one", "two", "whole"))
    assert main(["train", *words, "--out", str(one.path)]) == 0
    _train_in_two(words, two)
    assert main(["train", *words, "--parts", "1", "--out", str(whole.path)]) == 0
    for network in ("critic", "generator"):
        wanted = _gradients(one, network, beta=0.0)
        for ours, theirs in zip(_gradients(two, network, beta=0.0), wanted, strict=True):
            scale = float(theirs.abs().max())
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * scale + 1e-7)
        # A batch in one part gives others: the comparison can fail.
        other = _gradients(whole, network, beta=0.0)
        assert not all(map(torch.allclose, other, wanted))
    alone, together = one.read_metrics(), two.read_metrics()
    assert together.keys() == alone.keys()
    for name in alone.keys() - {"images_per_second", "variety", "score_spread"}:
        assert together[name] == pytest.approx(alone[name], rel=1e-4, abs=1e-6), name
