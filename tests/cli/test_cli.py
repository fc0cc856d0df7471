"""The command line: what it prints, and that no fault costs more than one clear line."""

import errno
import json
import os
import re
import shlex
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from axiswise.cli import main
from axiswise.nets import ConvVAE

Capture = pytest.CaptureFixture[str]
Snapshot = Callable[[Path], dict[str, str]]


def assert_refused(capsys: Capture, words: list[str], *phrases: str, status: int = 1) -> None:
    """One line on standard error (beside a progress bar) says what is wrong; nothing on output."""
    capsys.readouterr()
    assert main(words) == status
    output, errors = capsys.readouterr()
    bars = ("data", "training", "codes", "local scores", "pictures", "Jacobian")
    lines = [line for line in errors.splitlines() if line and not line.startswith(bars)]
    assert len(lines) == 1, errors
    assert lines[0].startswith("axiswise: error: ")
    for phrase in phrases:
        assert phrase in lines[0]
    assert output == ""


# ---------------------------------------------------------------- what goes well


def test_a_run_from_training_to_report(tiny_recipe: Path, tmp_path: Path, capsys: Capture) -> None:
    run = tmp_path / "run"
    assert main(["train", str(tiny_recipe), "--out", str(run), "--steps", "20"]) == 0
    output = capsys.readouterr().out
    assert output == f"{run}: trained; now `axiswise evaluate {run}`, `axiswise show {run}`\n"
    assert main(["evaluate", str(run), "--radius", "0.5", "--seed", "2"]) == 0
    output = capsys.readouterr().out
    scores = json.loads((run / "evaluation.json").read_text())["scores"]
    assert f"{scores['mig']:.4g}" in output
    assert output.splitlines()[-1] == str(run / "evaluation.json")
    assert main(["show", str(run)]) == 0
    assert capsys.readouterr().out == f"{run / 'report.html'}\n"
    out = tmp_path / "comparison"
    assert main(["compare", str(run), str(run / "evaluation.json"), "--out", str(out)]) == 0
    output = capsys.readouterr().out
    assert f"{scores['mig']:.4g} (1)" in output  # one run, whatever it is named by
    assert output.splitlines()[-1] == str(out)


def test_one_s_own_images_with_no_code(tmp_path: Path, capsys: Capture) -> None:
    images = tmp_path / "images"
    images.mkdir()
    rng = torch.Generator().manual_seed(0)
    for number in range(5):
        pixels = torch.randint(256, (70, 80, 3), generator=rng, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(images / f"{number}.png")
    run = tmp_path / "run"
    words = f"--data.path {images} --out {run} --steps 3 --batch_size 4 --accelerator cpu"
    small = "--data.size 32 --model.hidden [8,8] --model.latent_dim 4"  # it takes seconds less
    assert main(["train", "image-folder-jl1", *words.split(), *small.split()]) == 0
    assert main(["evaluate", str(run)]) == 0
    assert main(["show", str(run)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(run / "report.html")
    assert ConvVAE.from_pretrained(run).channels == 3
    scores = json.loads((run / "evaluation.json").read_text())["scores"]
    assert "nll_of_means" in scores
    assert "mig" not in scores
    names = {path.name for path in (run / "pictures").iterdir()}
    assert {"columns.png", "traversals.gif", "reconstructions.png"} <= names
    assert "local_scores.png" not in names
    assert_refused(
        capsys,
        ["evaluate", str(run), "--metrics", "mig"],
        "metrics must be out of activeness, activeness_published, columns, ",
        "vp_published, all (the true factors of these images are",
    )


def test_resume_takes_a_folder_of_a_finished_run(trained_copy: Path, capsys: Capture) -> None:
    assert main(["train", "--resume", str(trained_copy)]) == 0
    assert str(trained_copy) in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["evaluate", "-h"]])
def test_help_is_no_error(words: list[str], capsys: Capture) -> None:
    assert main(words) == 0
    output, errors = capsys.readouterr()
    assert output.startswith("usage: axiswise")
    assert errors == ""


def test_help_on_a_recipe_lists_its_keys(capsys: Capture) -> None:
    assert main(["train", "three-dots-demo", "--help"]) == 0
    output = capsys.readouterr().out
    for key in ("--steps", "--learning_rate", "--objective.help", "--terms.jl1.weight", "--resume"):
        assert key in output
    assert main(["train", "three-dots-demo", "--objective.help", "AnnealedVAE"]) == 0
    assert "--objective.gamma" in capsys.readouterr().out


@pytest.mark.parametrize("shape", [(28, 28), (32, 32, 3), (100, 100), (64, 48, 3), (40, 40, 1)])
def test_images_of_any_size_train_once_the_named_option_is_given(
    shape: tuple[int, ...], tmp_path: Path, capsys: Capture
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, *shape), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", images=images)
    data = f"--data axiswise.data.NpzImages --data.path {tmp_path / 'own.npz'} --batch_size 2"
    short = "--steps 1 --terms.jl1 null --model.latent_dim 2 --accelerator cpu"
    words = ["train", "image-folder-jl1", *data.split(), *short.split()]
    own = [*words, "--data.size", "null", "--data.channels", "null", "--out"]
    height, width = shape[:2]
    said = f"{height} × {width} pixels", "--data.size 64"
    assert_refused(capsys, [*own, str(tmp_path / "refused")], *said)
    assert not (tmp_path / "refused").exists()
    assert main([*words, "--out", str(tmp_path / "run")]) == 0  # the recipe's size and channels
    assert ConvVAE.from_pretrained(tmp_path / "run").channels == 3
    assert main([*own, str(tmp_path / "own"), "--data.size", "64"]) == 0
    assert ConvVAE.from_pretrained(tmp_path / "own").channels == (3 if shape[2:] == (3,) else 1)


def test_a_warning_is_one_line(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def show(*warning: Any) -> None:
        sys.stderr.write(warnings.formatwarning(*warning[:4]))  # as Python does outside of pytest

    for number in range(2):
        Image.fromarray(np.full((8, 8), 4095 * number, np.uint16)).save(tmp_path / f"{number}.png")
    (tmp_path / "c.heic").write_bytes(b"")
    words = f"--data.path {tmp_path} --out {tmp_path / 'run'} --steps 1 --batch_size 2"
    short = "--data.size 16 --model.hidden [4] --model.latent_dim 2 --accelerator cpu"
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        monkeypatch.setattr(warnings, "showwarning", show)
        assert main(["train", "image-folder-jl1", *words.split(), *short.split()]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if 'value_range "[0, 4095]"' in line and "warning: " in line]
    assert [line for line in lines if "skipped 1 of 3 image files" in line]
    assert not [line for line in lines if ".py:" in line]


# ---------------------------------------------------------------- words that are wrong


@pytest.mark.parametrize("words", [[], ["trian"], ["evaluate"], ["show", "a", "--speed", "3"]])
def test_words_that_are_no_command_give_the_usage(words: list[str], capsys: Capture) -> None:
    assert main(words) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("usage: axiswise")
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("words", "phrases", "status"),
    [
        ("train three-dot-demo", ("got 'three-dot-demo'; did you mean three-dots-demo?",), 1),
        ("train .", ("got '.', a folder: a run goes on by --resume",), 1),
        ("train three-dots-demo --stps 3", ("did you mean --steps?", "RECIPE --help` lists"), 2),
        ("train three-dots-demo --terms.jl1.wieght 3", ("did you mean --terms.jl1.weight?",), 2),
        ("train three-dots-demo --data axiswise.data.Dots", ("no attribute 'Dots'", "lists"), 2),
        ("train three-dots-demo --objective FactorVE", ("FactorVE", "lists all keys and"), 2),
        ("discover biggan:none.pth", ("GENERATOR biggan:FILE must name a file", "none.pth"), 1),
    ],
)
def test_a_slip_leads_to_what_was_meant(
    capsys: Capture, words: str, phrases: tuple[str, ...], status: int
) -> None:
    assert_refused(capsys, words.split(), *phrases, status=status)


def test_a_name_that_is_no_text_is_refused_before_any_work(capsys: Capture) -> None:
    words = ["train", "three-dots-demo", "--out", "runs/\udcff\udcfe"]
    assert_refused(capsys, words, "must be text in this system's encoding", r"'runs/\udcff\udcfe'")


@pytest.mark.parametrize("name", ["[/b]", "🙂 é", "a\nb", "%s{x}"])
def test_an_odd_name_of_a_folder_is_no_hindrance(
    trained: Path, tmp_path: Path, capsys: Capture, name: str
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / name))
    assert main(["evaluate", str(run), "--metrics", "mig"]) == 0
    out = str(tmp_path / f"{name} compared")
    assert main(["compare", str(run), "--out", out]) == 0
    assert capsys.readouterr().out.endswith(f"{out}\n")
    assert main(["discover", str(run), "--method", "coordinates", "--out", f"{run}.d"]) == 0
    quoted = shlex.quote(f"{run}.d")
    assert f"`axiswise evaluate {quoted}`, `axiswise show {quoted}`" in capsys.readouterr().out


def test_an_unknown_option_gets_the_usage_of_its_command(capsys: Capture) -> None:
    assert main(["show", "runs/mine", "--speed", "3"]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("usage: axiswise show")
    assert errors.endswith("axiswise show: error: unrecognized arguments: --speed 3\n")


def test_a_key_of_a_later_version_is_said_to_be_one(trained_copy: Path, capsys: Capture) -> None:
    with (trained_copy / "config.yaml").open("a") as file:
        file.write("key_of_tomorrow: 3\n")
    for command in ("evaluate", "show"):
        assert_refused(capsys, [command, str(trained_copy)], "it may be of a later version")


def test_keys_before_the_recipe_are_not_taken_for_it(capsys: Capture) -> None:
    assert main(["train", "--steps", "100", "three-dots-demo"]) == 2
    assert "RECIPE must come before the keys that change it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "phrases", "status"),
    [
        ("--nosuch 3", ("nosuch",), 2),
        ("--steps many", ('"steps"', "many"), 2),
        ("--steps 0", ("steps must be at least 1, got 0",), 1),
        ("--anneal 1.5", ("anneal must be between 0 and 1, got 1.5",), 1),
        ("--learning_rate .nan", ("learning_rate must be > 0, got nan",), 1),
        ("--batch_size 9 --devices 2", ("batch_size must be a multiple of devices = 2",), 1),
        ("--checkpoint_every 12", ("checkpoint_every must be a multiple of log_every = 5",), 1),
        ("--precision 16", ('"precision"', "bf16-mixed"), 2),
        ("--objective.beta -1", ("beta must be ≥ 0, got -1",), 1),
        ("--objective.likelihood poisson", ("likelihood", "poisson"), 2),
        ("--terms.jl1.weight -1", ("weight must be ≥ 0, got -1",), 1),
        ("--terms.l1.weight 1", ("term must be one of hessian", "got 'l1'"), 1),
        ("--terms.jl1.columns 5", ("terms.jl1: columns must be at most the 4 latents, got 5",), 1),
        ("--terms.jl1.columns few", ("columns", "int"), 2),
        ("--terms.jl1.probes 2", ("Group 'terms.jl1' does not accept option 'probes'",), 2),
        ("--model.latent_dim 0", ("latent_dim must be positive, got 0",), 1),
        ("--model.depth 3", ("depth",), 2),
        ("--model collections.OrderedDict", ("OrderedDict", "VAE"), 2),
        ("--model no.such.Network", ("no.such.Network",), 2),
        ("--data.size 18", ("size must be a multiple of 4, at least 10 for 2", "got 18"), 1),
        ("--data.size 8", ("size must be a multiple of 4, at least 10 for 2", "got 8"), 1),
        ("--data.values 1", ("values must be between 2 and 16777216, got 1",), 1),
        ("--evaluation.bins 1", ("bins must be at least 2, got 1",), 1),
        ("--data axiswise.data.ImageFolder --data.path /no/where", ("'/no/where' does not",), 1),
    ],
)
def test_a_bad_override_is_named_and_no_folder_is_made(
    tiny_recipe: Path,
    tmp_path: Path,
    capsys: Capture,
    words: str,
    phrases: tuple[str, ...],
    status: int,
) -> None:
    out = tmp_path / "run"
    given = ["train", str(tiny_recipe), "--out", str(out), *words.split()]
    lowered = [phrase.replace("got value", "Got value") for phrase in phrases]
    assert_refused(capsys, given, *lowered, status=status)
    assert not out.exists()


def test_training_on_a_gpu_that_is_not_there(
    tiny_recipe: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    words = ["train", str(tiny_recipe), "--out", str(tmp_path / "run"), "--accelerator", "cuda"]
    assert_refused(capsys, words, "accelerator must be 'cpu' or 'auto'")
    assert not (tmp_path / "run").exists()


def test_an_unknown_recipe_is_refused_with_one_of_a_like_name(capsys: Capture) -> None:
    assert_refused(
        capsys,
        ["train", "four-dots"],
        "that `axiswise recipes` lists, such as three-dots-",
        "got 'four-dots'",
    )


def test_neither_recipe_nor_resume(capsys: Capture) -> None:
    assert_refused(capsys, ["train"], "RECIPE", "--resume")


@pytest.mark.parametrize("extra", [["tiny.yaml"], ["--steps", "3"], ["--out", "elsewhere"]])
def test_resume_goes_with_nothing_else(
    trained_copy: Path, capsys: Capture, snapshot: Snapshot, extra: list[str]
) -> None:
    before = snapshot(trained_copy)
    words = ["train", "--resume", str(trained_copy), *extra]
    assert_refused(capsys, words, "--resume takes a folder and nothing else")
    assert snapshot(trained_copy) == before


@pytest.mark.parametrize("command", [["train", "--resume"], ["evaluate"], ["show"], ["compare"]])
@pytest.mark.parametrize("kind", ["missing", "no run"])
def test_a_folder_that_is_no_run_is_named_and_left_alone(
    tmp_path: Path, capsys: Capture, command: list[str], kind: str
) -> None:
    folder = tmp_path / "folder"
    if kind == "no run":
        folder.mkdir()
        (folder / "photo.png").write_bytes(b"x")
    assert_refused(capsys, [*command, str(folder)], f"{folder} is no run folder")
    assert folder.exists() == (kind == "no run")
    if kind == "no run":
        assert [path.name for path in folder.iterdir()] == ["photo.png"]


def test_a_folder_that_exists_is_not_trained_into(
    trained_copy: Path, tiny_recipe: Path, capsys: Capture, snapshot: Snapshot
) -> None:
    before = snapshot(trained_copy)
    words = ["train", str(tiny_recipe), "--out", str(trained_copy)]
    assert_refused(capsys, words, f"{trained_copy} exists already", "--resume")
    assert snapshot(trained_copy) == before


@pytest.mark.parametrize("below", [".", "new/run"])
@pytest.mark.parametrize(
    "words",
    ["train TINY", "sweep SWEEP", "reproduce jl1-figure2", "compare RUN", "data show ThreeDots"],
)
def test_a_file_in_place_of_a_folder_is_refused(
    words: str, below: str, trained: Path, tiny_recipe: Path, tmp_path: Path, capsys: Capture
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file of the user's")
    out = str(taken / below)
    files = {"TINY": tiny_recipe, "RUN": trained, "SWEEP": tmp_path / "sweep.yaml"}
    files["SWEEP"].write_text(f"recipe: {tiny_recipe}")
    command = [str(files.get(word, word)) for word in words.split()]
    refusal = f"--out must be a folder, got '{out}': {taken} is a file"
    assert_refused(capsys, [*command, "--out", out], refusal)
    assert taken.read_text() == "a file of the user's"


# ---------------------------------------------------------------- files that are damaged


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _picture(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))


def _write(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text) and None


CHECKPOINT = "checkpoints/step-00000040.pt"
EVALUATION = '{"name": "tiny", "scores": {"mig": 0.5}}'
RESUME, EVALUATE, SHOW, COMPARE = ("train", "--resume"), ("evaluate",), ("show",), ("compare",)

FAULTS: dict[str, tuple[tuple[str, ...], str, Callable[[Path], None]]] = {
    "resume, checkpoint cut": (RESUME, CHECKPOINT, _cut),
    "resume, checkpoint altered": (RESUME, CHECKPOINT, _alter),
    "resume, checkpoint empty": (RESUME, CHECKPOINT, _empty),
    "resume, checkpoint foreign": (RESUME, CHECKPOINT, _picture),
    "resume, digest gone": (RESUME, CHECKPOINT, lambda p: p.with_suffix(".sha256").unlink()),
    "resume, config cut": (RESUME, "config.yaml", lambda p: p.write_text(p.read_text()[:300])),
    "resume, config empty": (RESUME, "config.yaml", _empty),
    "resume, config foreign": (RESUME, "config.yaml", _write("learning_rate: 3\nepochs: 4\n")),
    "resume, config binary": (RESUME, "config.yaml", _picture),
    "resume, config no YAML": (RESUME, "config.yaml", _write("data: {{{")),
    "resume, metrics foreign": (RESUME, "metrics.csv", _picture),
    "resume, metrics altered": (RESUME, "metrics.csv", lambda p: _swap(p, "5,", "five,")),
    "evaluate, config empty": (EVALUATE, "config.yaml", _empty),
    "evaluate, config foreign": (EVALUATE, "config.yaml", _write("a: 3\n")),
    "evaluate, weights cut": (EVALUATE, "model.safetensors", _cut),
    "evaluate, weights foreign": (EVALUATE, "model.safetensors", _picture),
    "evaluate, weights NaN": (EVALUATE, "model.safetensors", lambda p: _plant_nan(p)),
    "evaluate, config.json cut": (EVALUATE, "config.json", _cut),
    "evaluate, config.json foreign": (EVALUATE, "config.json", _write('{"model_type": "bert"}')),
    "show, weights cut": (SHOW, "model.safetensors", _cut),
    "show, evaluation cut": (SHOW, "evaluation.json", _cut),
    "show, evaluation foreign": (SHOW, "evaluation.json", _write("[]")),
    "show, metrics altered": (SHOW, "metrics.csv", lambda p: _swap(p, "5,", "five,")),
    "compare, evaluation cut": (COMPARE, "evaluation.json", _cut),
    "compare, evaluation foreign": (COMPARE, "evaluation.json", _write('{"scores": 3}')),
    "compare, evaluation binary": (COMPARE, "evaluation.json", _picture),
}


def _swap(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(f"\n{old}", f"\n{new}", 1))


def _plant_nan(path: Path) -> None:
    vae = ConvVAE.from_pretrained(path.parent)
    with torch.no_grad():
        vae.decoder[2].bias[3] = float("nan")
    vae.save_pretrained(path.parent)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_file_is_named_in_one_line_and_nothing_is_lost(
    trained_copy: Path,
    capsys: Capture,
    snapshot: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    monkeypatch.chdir(trained_copy.parent)
    (trained_copy / "evaluation.json").write_text(EVALUATION)
    (trained_copy / "report.html").write_text("an older report")
    command, name, damage = FAULTS[fault]
    damage(trained_copy / name)
    before = snapshot(trained_copy)
    named = str(trained_copy) if "NaN" in fault else str(trained_copy / name)
    assert_refused(capsys, [*command, str(trained_copy)], named)
    after = {
        path: digest
        for path, digest in snapshot(trained_copy).items()
        if not re.match("tensorboard|pictures", path) or path in before
    }
    assert after == before


def test_after_a_damaged_checkpoint_was_deleted_the_run_goes_on(
    trained_copy: Path, trained: Path, capsys: Capture
) -> None:
    """The message's advice works."""
    _alter(trained_copy / CHECKPOINT)
    words = ["train", "--resume", str(trained_copy)]
    assert_refused(capsys, words, "delete it to resume from the one before")
    (trained_copy / CHECKPOINT).unlink()
    assert main(words) == 0
    name = "model.safetensors"
    assert (trained_copy / name).read_bytes() == (trained / name).read_bytes()


def test_a_run_with_neither_model_nor_checkpoint(trained_copy: Path, capsys: Capture) -> None:
    (trained_copy / "model.safetensors").unlink()
    shutil.rmtree(trained_copy / "checkpoints")
    for command in ("evaluate", "show"):
        assert_refused(capsys, [command, str(trained_copy)], "neither a finished model nor a check")


def test_a_run_that_was_not_evaluated_cannot_be_compared(
    trained_copy: Path, capsys: Capture
) -> None:
    words = ["compare", str(trained_copy)]
    assert_refused(capsys, words, f"run `axiswise evaluate {trained_copy}` first")


@pytest.mark.parametrize(
    ("words", "phrases"),
    [
        (["--metrics", "mug"], ("metrics must be out of local, activeness", "'mug'")),
        (["--radius", "0.001"], ("radius 0.001 varies no factor",)),
        (["--radius", "-1"], ("radius", "-1")),
    ],
)
def test_bad_options_of_evaluate(
    trained_copy: Path,
    capsys: Capture,
    snapshot: Snapshot,
    words: list[str],
    phrases: tuple[str, ...],
) -> None:
    before = snapshot(trained_copy)
    assert_refused(capsys, ["evaluate", str(trained_copy), *words], *phrases)
    assert snapshot(trained_copy) == before


# ---------------------------------------------------------------- disks and permissions


def _half_done(trained_copy: Path) -> None:
    """Back to step 30, so that there is something to do."""
    for name in ("model.safetensors", "config.json", CHECKPOINT):
        (trained_copy / name).unlink()


@pytest.mark.parametrize(
    ("kind", "phrase"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
    ],
    ids=["full disk", "read-only folder", "read-only disk"],
)
@pytest.mark.parametrize("call", ["tempfile.mkstemp", "os.fsync"])
def test_a_disk_that_takes_nothing_more_costs_nothing_that_is_there(
    trained_copy: Path,
    trained: Path,
    capsys: Capture,
    snapshot: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
    kind: OSError,
    phrase: str,
    call: str,
) -> None:
    _half_done(trained_copy)
    (trained_copy / "evaluation.json").write_text(EVALUATION)
    before = snapshot(trained_copy)

    def fail(*_: object, **__: object) -> None:
        raise kind

    with monkeypatch.context() as patched:
        patched.setattr(call, fail)
        for command, name in ((RESUME, "metrics.csv"), (EVALUATE, "evaluation.json")):
            words = [*command, str(trained_copy)]
            assert_refused(capsys, words, phrase, str(trained_copy / name))
    assert {path: digest for path, digest in snapshot(trained_copy).items() if path in before} == (
        before
    )
    assert not list(trained_copy.rglob(".*"))
    assert main(["train", "--resume", str(trained_copy)]) == 0  # there is room again
    name = "model.safetensors"
    assert (trained_copy / name).read_bytes() == (trained / name).read_bytes()


@pytest.mark.slow
def test_a_disk_that_fills_up_while_training_leaves_the_last_checkpoint(
    tiny_recipe: Path,
    trained: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = tmp_path / "run"
    written = []

    def fill(_: int) -> None:
        written.append(0)
        # The config; metrics, copy, digest, checkpoint, picture at steps 10 and 20; three more.
        if len(written) > 14:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fill)
        words = ["train", str(tiny_recipe), "--out", str(run)]
        assert_refused(capsys, words, "No space left on device", "step-00000030.pt")
    names = sorted(path.name for path in (run / "checkpoints").glob("*.pt"))
    assert names == ["step-00000010.pt", "step-00000020.pt"]
    assert main(["train", "--resume", str(run)]) == 0
    for name in ("model.safetensors", "config.json", "config.yaml"):
        assert (run / name).read_bytes() == (trained / name).read_bytes()


def test_metrics_that_find_no_room_are_named(
    tiny_recipe: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("axiswise.runs.folder.open_here", full)
    words = ["train", str(tiny_recipe), "--out", str(tmp_path / "run")]
    assert_refused(capsys, words, "No space left on device", str(tmp_path / "run/metrics.csv"))


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_folder_that_may_not_be_written(
    trained_copy: Path, tiny_recipe: Path, capsys: Capture
) -> None:
    trained_copy.chmod(0o555)
    try:
        words = ["evaluate", str(trained_copy), "--metrics", "mig"]
        assert_refused(capsys, words, "Permission denied", "evaluation.json")
        words = ["train", str(tiny_recipe), "--out", str(trained_copy / "inner")]
        assert_refused(capsys, words, "Permission denied", "inner")
    finally:
        trained_copy.chmod(0o755)


def test_out_below_a_file_is_refused(tiny_recipe: Path, capsys: Capture) -> None:
    words = ["train", str(tiny_recipe), "--out", str(tiny_recipe / "run")]
    assert_refused(capsys, words, str(tiny_recipe / "run"))


def test_ctrl_c_before_the_first_step_is_one_line(
    tiny_recipe: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("axiswise.runs.train.train_recipe", interrupt)
    assert_refused(capsys, ["train", str(tiny_recipe)], "interrupted", status=130)


def test_an_error_of_our_own_is_not_hidden(
    tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_: object, **__: object) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr("axiswise.runs.train.train_recipe", bug)
    with pytest.raises(AssertionError, match="a bug"):
        main(["train", str(tiny_recipe)])


def test_helpers_of_the_first_process_keep_quiet(
    tiny_recipe: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert main(["train", str(tiny_recipe), "--out", str(tmp_path / "run"), "--steps", "0"]) == 1
    assert capsys.readouterr() == ("", "")
