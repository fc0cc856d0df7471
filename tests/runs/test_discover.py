"""`axiswise discover` and what other commands do with its folders, end to end."""

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from axiswise import metrics
from axiswise.cli import main
from axiswise.directions import METHODS, Directions
from axiswise.nets import BigGAN, ProgressiveGenerator, SimpleGenerator
from axiswise.nets.biggan import _published_names
from axiswise.runs.directions_folder import open_directions
from axiswise.runs.discover import discover, method_settings
from axiswise.runs.generator import GeneratorSource
from axiswise.support.files import UnreadableFileError
from axiswise.support.locks import owning

ROOT = Path(__file__).parents[2]
Capture = pytest.CaptureFixture[str]
Snapshot = Callable[[Path], dict[str, str]]

# Along the rows of TURN, images change by orthogonal amounts of lengths 4, 3, 2 and 1.
MODULE = """
import torch
from pathlib import Path

Path("imported").touch()
rng = torch.Generator().manual_seed(0)
TURN = torch.linalg.qr(torch.randn(4, 4, generator=rng)).Q
PARTS = torch.linalg.qr(torch.randn(16, 4, generator=rng)).Q.T
WEIGHT = TURN.T @ torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0])) @ PARTS

class Turned(torch.nn.Module):
    latent_dim = 4
    image_range = (-8.0, 8.0)

    def forward(self, z):
        return (z @ WEIGHT).view(-1, 1, 4, 4)

def generate(z):
    return Turned()(z)

def through_numpy(z):
    return torch.from_numpy(2 * z.numpy()).view(-1, 1, 2, 2)

def interrupt(z):
    raise KeyboardInterrupt
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Code of somebody's in the current folder; gives the module, once it is imported."""
    (tmp_path / "somebodys.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    before = set(sys.modules)
    yield lambda: sys.modules["somebodys"]
    for name in set(sys.modules) - before:
        if name in ("somebodys", "my_generator", "my_method"):
            del sys.modules[name]


def run(words: str) -> int:
    """The exit status of a command."""
    return main(shlex.split(words))


def assert_refused(capsys: Capture, words: str, *phrases: str, status: int = 1) -> None:
    """One line on standard error says what is wrong, and nothing stands on output."""
    capsys.readouterr()
    assert run(words) == status
    output, errors = capsys.readouterr()
    lines = [line for line in errors.splitlines() if line and "━" not in line]
    assert len(lines) == 1, errors
    assert lines[0].startswith("axiswise: error: ")
    for phrase in phrases:
        assert phrase in lines[0]
    assert output == ""


# ---------------------------------------------------------------- what goes well


def test_somebodys_generator_from_search_to_report(theirs: Any, capsys: Capture) -> None:
    words = "discover somebodys:Turned --method jacobian-svd --directions 3 --samples 5 --seed 7"
    assert run(words) == 0
    folder, code = Path("runs/somebodys-Turned-jacobian-svd-seed7"), "--generator somebodys:Turned"
    assert capsys.readouterr().out == (
        f"{folder}: 3 directions; now `axiswise evaluate {folder} {code}`, "
        f"`axiswise show {folder} {code}`\n"
    )
    assert sorted(path.name for path in folder.iterdir()) == [
        "directions.json",
        "directions.safetensors",
        "generator.json",
    ]
    found = Directions.load(folder)
    assert (found.method, found.settings["seed"], found.settings["samples"]) == (
        "jacobian-svd",
        7,
        5,
    )
    torch.testing.assert_close((found.matrix @ theirs().TURN.T).abs(), torch.eye(3, 4))
    torch.testing.assert_close(found.importance, torch.tensor([4.0, 3.0, 2.0]))

    assert main(["evaluate", str(folder), *code.split(), "--metrics", "jacobian"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(folder / "evaluation.json")
    scores = json.loads((folder / "evaluation.json").read_text())["scores"]
    assert scores["directions"] == 3
    assert scores["off_diagonal_share"] == pytest.approx(0, abs=1e-9)
    assert scores["mean_cosine"] == pytest.approx(0, abs=1e-5)
    assert (scores["importance"], scores["importance_max"]) == pytest.approx((3, 4))
    parts = theirs().PARTS[:3]
    assert scores["sparsity"] == pytest.approx(float(parts.abs().sum(1).mean() / 4), rel=1e-5)

    assert main(["show", str(folder), *code.split(), "--only", "2", "0", "--samples", "1"]) == 0
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    assert "2 of 3 directions in 4 latents" in (folder / "report.html").read_text()


def test_coordinates_are_scored_beside_the_directions(theirs: Any) -> None:
    """As many as there are directions: those of the longest columns."""
    words = "discover somebodys:Turned --method random --directions 2 --out found"
    assert run(words) == 0
    assert run("evaluate found --generator somebodys.Turned --metrics jacobian") == 0
    scores = json.loads(Path("found/evaluation.json").read_text())["scores"]
    columns = theirs().WEIGHT.double()
    longest = columns[columns.norm(dim=1).argsort(descending=True)[:2]]
    found = Directions.load("found").matrix.double() @ columns
    for moved, name in ((longest, "_coordinates"), (found, "")):
        gram = moved @ moved.T
        share = 2 * gram[0, 1] ** 2 / gram.square().sum()
        assert scores[f"off_diagonal_share{name}"] == pytest.approx(float(share), rel=1e-4)
        cosine = gram[0, 1].abs() / (gram[0, 0] * gram[1, 1]).sqrt()
        assert scores[f"mean_cosine{name}"] == pytest.approx(float(cosine), rel=1e-4)


def test_vp_is_of_images_that_directions_alone_move(
    theirs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def pairs(generate: Callable[[Tensor], Tensor], latent_dim: int, **_: Any) -> tuple[str, str]:
        seen["latents"] = latent_dim
        seen["images"] = generate(torch.tensor([[0.5, -2.0], [0.0, 0.0]]))
        return "images", "labels"

    def score(images: str, labels: str, **_: Any) -> Any:
        assert (images, labels) == ("images", "labels")
        return type("Score", (), {"mean": 0.75, "std": 0.125})

    monkeypatch.setattr(metrics, "vp_pairs", pairs)
    monkeypatch.setattr(metrics, "vp_score", score)
    assert run("discover somebodys:Turned --directions 2 --out found") == 0
    assert run("evaluate found --generator somebodys:Turned --metrics vp") == 0
    assert json.loads(Path("found/evaluation.json").read_text())["scores"] == {
        "directions": 2,
        "vp": 0.75,
        "vp_std": 0.125,
    }
    z = torch.tensor([0.5, -2.0]) @ Directions.load("found").matrix
    expected = ((z @ theirs().WEIGHT).view(1, 4, 4) + 8) / 16
    torch.testing.assert_close(seen["images"][0], expected)
    torch.testing.assert_close(seen["images"][1], torch.full((1, 4, 4), 0.5))
    assert seen["latents"] == 2


def test_a_method_of_one_s_own_is_found_by_its_import_path(theirs: Any, capsys: Capture) -> None:
    (example,) = re.findall(
        r"# my_method\.py\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.DOTALL
    )
    Path("my_method.py").write_text(example, encoding="utf-8")
    words = "discover somebodys:Turned --method my_method:steepest --samples 5 --directions 2"
    assert run(words) == 0
    found = Directions.load("runs/somebodys-Turned-my_method-steepest-seed0")
    longest = theirs().WEIGHT.norm(dim=1).argsort(descending=True)[:2]
    assert found.matrix.argmax(1).tolist() == longest.tolist()
    assert (found.method, found.settings["samples"]) == ("my_method:steepest", 5)
    assert main(["discover", "--help", "--method", "my_method:steepest"]) == 0
    (described,) = re.findall(r"samples: (.*)\.\n", example)
    assert described in " ".join(capsys.readouterr().out.split())
    assert_refused(capsys, f"{words} --steps 3", "--steps is no setting of my_method:steepest")


def test_a_run_is_searched_scored_and_shown_with_no_word_about_its_generator(
    trained_gan: Path, trained: Path, tmp_path: Path, capsys: Capture, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, name in ((trained_gan, "gan"), (trained, "vae")):
        words = ["discover", str(folder), "--subspace", "1:4", "--steps", "3", "--out", name]
        assert main([*words, "--solver", "adam", "--batch-size=4"]) == 0
        output, errors = capsys.readouterr()
        assert f"`axiswise show {name}`" in output
        assert re.search(r"orojar .*64/64.* orojar [\d.e+-]+$", errors, re.MULTILINE)  # the loss
        found = Directions.load(name)
        assert found.matrix.shape == (3, 4)
        assert not found.matrix[:, 0].any()
        torch.testing.assert_close(found.matrix @ found.matrix.T, torch.eye(3))
        assert (found.settings["solver"], found.settings["batch_size"]) == ("adam", 4)
        assert main(["evaluate", name, "--metrics", "jacobian"]) == 0
        assert main(["show", name, "--samples", "1", "--extent", "2"]) == 0
        assert (tmp_path / name / "report.html").is_file()
    by_default = f"runs/{trained_gan.name}-coordinates-to2-seed0"
    assert main(["discover", str(trained_gan), "--method", "coordinates", "--subspace", ":2"]) == 0
    assert torch.equal(
        Directions.load(by_default).matrix.abs().sum(0), torch.tensor([1.0, 1, 0, 0])
    )


def test_a_black_box_is_searched_by_finite_differences(theirs: Any) -> None:
    words = "discover somebodys:generate --latent-dim 4 --derivative finite --epsilon 0.5 --out box"
    assert run(f"{words} --method jacobian-svd --samples 3") == 0
    found = Directions.load("box")
    assert (found.settings["derivative"], found.settings["epsilon"]) == ("finite", 0.5)
    torch.testing.assert_close(
        (found.matrix @ theirs().TURN.T).abs(), torch.eye(4), atol=1e-4, rtol=0
    )
    # The number of latents need not be said again.
    assert run("evaluate box --generator somebodys:generate --metrics jacobian") == 0


def test_a_published_checkpoint_is_searched_in_a_third_and_some_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    network = BigGAN(12, hidden=[8, 8, 4], classes=5, embedding=4, attention=8)
    weights, names = network.state_dict(), _published_names(2, 0)
    torch.save({theirs: weights[ours] for theirs, ours in names.items()}, "G_ema.pth")
    words = "discover biggan:G_ema.pth --method jacobian-svd --samples 2 --classes 1 3 "
    assert run(f"{words} --subspace coarse --directions 2") == 0
    folder = Path("runs/G_ema-jacobian-svd-coarse-seed0")
    found, generator, name = open_directions(folder)
    assert found.settings["subspace"] == [0, 4]
    assert name == "biggan:G_ema.pth"
    assert isinstance(generator, BigGAN)
    assert generator.folded
    assert list(generator.classes_searched) == [1, 3]
    assert main(["evaluate", str(folder), "--metrics", "jacobian"]) == 0


def test_show_and_evaluate_of_a_file_of_published_weights_take_its_own_axes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    network = ProgressiveGenerator(16, latent_dim=3, width=1 / 64)
    arrays = {}
    for name, value in network.state_dict().items():
        orders = {1: (0,), 2: (1, 0), 4: (2, 3, 0, 1) if "Conv0_up" in name else (2, 3, 1, 0)}
        arrays[name.replace(".", "/")] = value.permute(orders[value.dim()])
    np.savez("progan.npz", normalize_latents=0, **arrays)
    assert run("evaluate progan.npz --metrics jacobian") == 0
    folder = Path("runs/progan-coordinates-seed0")
    assert capsys.readouterr().out.splitlines()[-1] == str(folder / "evaluation.json")
    made = (folder / "directions.json").stat().st_mtime_ns
    assert run("show progan.npz --samples 1 --only 0") == 0
    assert (folder / "report.html").is_file()
    assert (folder / "directions.json").stat().st_mtime_ns == made
    found, generator, name = open_directions(folder)
    assert (len(found), name) == (3, "progan.npz")
    z = torch.randn(2, 3)
    torch.testing.assert_close(generator(z), network(z))
    np.savez("progan.npz", normalize_latents=1, **arrays)
    assert run("discover progan.npz --method random --out other") == 0
    np.savez("progan.npz", **{"a/b": np.ones(3)})
    assert run("evaluate progan.npz --metrics jacobian") == 1
    assert "its names must be those of the progressive GAN" in capsys.readouterr().err


def test_agreement_of_searches_stands_beside_that_of_random_directions(
    theirs: Any, capsys: Capture
) -> None:
    for name, words in (
        ("a", "--method jacobian-svd --samples 3"),
        ("b", "--method jacobian-svd --samples 3 --seed 1 --directions 2"),
        ("c", "--method random"),
        ("d", "--method random --seed 1"),
    ):
        assert run(f"discover somebodys:Turned --out {name} {words}") == 0
    assert theirs()
    capsys.readouterr()
    assert run("compare a b c d --out both") == 0
    output = capsys.readouterr().out
    assert output.splitlines()[-1] == "both"
    found = json.loads(Path("both/agreement.json").read_text())
    assert found["folders"] == ["a", "b", "c", "d"]
    values, chance = torch.tensor(found["mean_cosine"]), torch.tensor(found["random"])
    assert values[0, 1] == pytest.approx(1, abs=1e-4)  # the same two, whatever the seed
    assert torch.equal(values, values.T)
    assert torch.equal(chance, chance.T)
    assert chance[0, 2] == chance[2, 3]  # four of four, and four of four
    # Of four random directions in four latents by brute force, with other random numbers.
    rng = torch.Generator().manual_seed(9)
    best = []
    for _ in range(400):
        cosines = torch.linalg.qr(torch.randn(4, 4, generator=rng)).Q.abs()
        orders = torch.cartesian_prod(*[torch.arange(4)] * 4)
        orders = orders[[len(set(order)) == 4 for order in orders.tolist()]]
        best.append(float(cosines[torch.arange(4), orders].sum(1).max()) / 4)
    assert chance[0, 2] == pytest.approx(sum(best) / len(best), abs=0.02)
    assert "at random" in Path("both/agreement.md").read_text()
    assert Path("both/agreement.png").stat().st_size > 5000


def test_the_readme_s_generator_is_searched_by_the_readme_s_command(
    theirs: Any, capsys: Capture
) -> None:
    assert theirs
    page = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"```python\n# my_generator\.py\n(.*?)```", page, re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 10
    Path("my_generator.py").write_text(code)
    lines = re.findall(r"^axiswise .*my_generator:.*$", page, re.MULTILINE)
    assert [line.split()[1] for line in lines] == ["discover", "show"]
    for line in lines:
        assert main(shlex.split(line, comments=True)[1:]) == 0
    assert Path(capsys.readouterr().out.splitlines()[-1]).name == "report.html"


def test_help_lists_the_settings_of_a_method(capsys: Capture) -> None:
    assert main(["discover", "--help", "--method", "hessian"]) == 0
    output = capsys.readouterr().out
    for key in ("--subspace", "--chunk-size", "--probes", "--learning_rate", "orojar+jl1"):
        assert key in output
    assert "--solver" not in output


@pytest.mark.parametrize("method", METHODS.names())
def test_settings_of_each_method_are_read_with_their_types(method: str) -> None:
    assert method_settings(method, []) == {}
    words = {
        "orojar": ("--learning-rate 0.1 --orthonormal false --solver adam",),
        "sefa": ("--layer 0.weight",),
        "ganspace": ("--layer null --samples=7",),
    }.get(method, ())
    expected = {
        "orojar": {"learning_rate": 0.1, "orthonormal": False, "solver": "adam"},
        "sefa": {"layer": "0.weight"},
        "ganspace": {"layer": None, "samples": 7},
    }
    for line in words:
        assert method_settings(method, line.split()) == expected[method]


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("words", "phrases", "status"),
    [
        ("", ("discover needs a GENERATOR",), 1),
        ("absent:net", ("GENERATOR absent:net: there is no module absent",), 1),
        ("somebodys:generate", ("no latent_dim", "--latent-dim N"), 1),
        ("somebodys:through_numpy --latent-dim 4", ("derivative='finite'",), 1),
        ("somebodys:Turned --latent-dim 5", ("latent_dim must be the generator's own, 4",), 1),
        ("somebodys:Turned --method orijar", ("method must be one of coordinates, ", "orijar"), 1),
        (
            "somebodys:Turned --probes 3",
            ("--probes is no setting of orojar, which has --solver", "--learning_rate"),
            1,
        ),
        ("somebodys:Turned --method random --steps 3", ("random, which has none of its own",), 1),
        ("somebodys:Turned --method jacobian-svd --z 3", ("--z is no setting",), 1),
        ("somebodys:Turned --samples many", ('"samples"', "many"), 2),
        ("somebodys:Turned --solver newton", ('"solver"', "newton"), 2),
        ("somebodys:Turned --samples 0", ("samples must be", "at least 1, got 0"), 1),
        ("somebodys:Turned --samples", ("samples",), 2),
        ("somebodys:Turned another", ("another",), 2),
        ("somebodys:Turned --directions 5", ("directions must be", "got 5"), 1),
        ("somebodys:Turned --subspace 3", ("--subspace must be START:STOP, as in 0:40; got 3",), 1),
        ("somebodys:Turned --subspace fine", ("--subspace must be START:STOP", "got fine"), 1),
        ("somebodys:Turned --subspace 2:9", ("subspace must be", "≤ 4"), 1),
        ("somebodys:Turned --classes 1", ("--classes is for generators that have",), 1),
        ("somebodys:Turned --chunk-size 0", ("chunk_size must be", "at least 1, got 0"), 1),
        ("somebodys:Turned --derivative finite --epsilon 0", ("epsilon must be > 0",), 1),
    ],
)
def test_a_mistake_is_named_in_one_line_and_no_folder_stays(
    theirs: Any, capsys: Capture, words: str, phrases: tuple[str, ...], status: int
) -> None:
    assert theirs
    assert_refused(capsys, f"discover --out found {words}", *phrases, status=status)
    assert not Path("found").exists()


@pytest.mark.parametrize("words", ["--derivative backward", "--directions few", "--seed x"])
def test_words_that_mean_nothing_give_the_usage(words: str, capsys: Capture) -> None:
    assert main(["discover", "somebodys:Turned", *words.split()]) == 2
    assert capsys.readouterr().err.startswith("usage: axiswise discover GENERATOR")


def test_a_key_before_the_generator_is_not_taken_for_it(capsys: Capture) -> None:
    assert run("discover --steps 10 somebodys:Turned") == 2
    assert "GENERATOR must come before the keys that change it" in capsys.readouterr().err


def test_a_folder_that_holds_something_is_refused_before_the_generator_is_looked_at(
    theirs: Any, capsys: Capture, snapshot: Snapshot
) -> None:
    assert theirs
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("years of work")
    before = snapshot(Path("mine"))
    assert_refused(capsys, "discover somebodys:Turned --out mine", "mine exists already", "--out")
    assert snapshot(Path("mine")) == before
    assert not Path("imported").exists()
    Path("empty").mkdir()
    assert run("discover somebodys:Turned --method random --out empty") == 0


@pytest.mark.parametrize("there", [True, False])
def test_ctrl_c_leaves_no_half_written_folder(theirs: Any, capsys: Capture, there: bool) -> None:
    assert theirs
    if there:
        Path("found").mkdir()
    words = "discover somebodys:interrupt --latent-dim 4 --out found"
    assert_refused(capsys, words, "interrupted", status=130)
    assert Path("found").exists() == there
    assert not there or list(Path("found").iterdir()) == []


def test_a_disk_that_fills_up_leaves_no_half_written_folder(
    theirs: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "found/generator.json")

    assert theirs
    monkeypatch.setattr("axiswise.runs.directions_folder.write_atomically", full)
    words = "discover somebodys:Turned --method random --out found"
    assert_refused(capsys, words, "No space left on device", "generator.json")
    assert not Path("found").exists()


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        ("evaluate found --metrics mig", "metrics must be out of jacobian, vp; got 'mig'"),
        ("evaluate found --radius 0.1", "--radius is for folders of runs, which this is not"),
        ("evaluate found --features lpips", "--features is for folders of runs"),
        ("compare found --scores vp", "--scores is for folders of runs"),
        ("compare found RUN", "FOLDER … must be runs or directions, and not both"),
        ("compare found wider", "must have directions of equally many latents, got 4 of found, 6"),
        ("evaluate found --generator wide:Net", "there is no module wide"),
        ("evaluate found --generator RUN", "latent_dim must be the generator's own, 5, got 4"),
        ("show RUN --only 1", "--only is for folders of directions, which this is not"),
        ("show RUN --generator a:b", "--generator is for folders of directions"),
        ("evaluate RUN --generator a:b", "--generator is for folders of directions"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    theirs: Any, tmp_path: Path, capsys: Capture, snapshot: Snapshot, words: str, phrase: str
) -> None:
    assert theirs
    _save(Path("found"), 4)
    _save(Path("wider"), 6)
    SimpleGenerator(8, latent_dim=5, width=0.05).save_pretrained("run")
    Path("run/config.yaml").write_text("seed: 0\n")
    before = snapshot(tmp_path)
    assert_refused(capsys, words.replace("RUN", "run"), phrase)
    assert snapshot(tmp_path) == before


def _save(folder: Path, latent_dim: int, generator: object = "somebodys:Turned") -> None:
    Directions(torch.eye(2, latent_dim), torch.ones(2), "random", {"seed": 0}).save(folder)
    about = {"generator": generator, "latent_dim": None, "classes": None}
    (folder / "generator.json").write_text(json.dumps(about))


# ---------------------------------------------------------------- folders of other people


@pytest.mark.parametrize("command", ["evaluate", "show"])
@pytest.mark.parametrize("spec", ["somebodys:Turned", "somebodys.Turned"])
def test_code_that_a_folder_names_is_not_imported_unless_the_user_names_it_too(
    theirs: Any, capsys: Capture, command: str, spec: str
) -> None:
    assert theirs
    _save(Path("found"), 4, spec)
    options = "--metrics jacobian" if command == "evaluate" else "--samples 1"
    words = f"{command} found {options}"
    line = f"axiswise {words} --trust"
    assert_refused(capsys, words, f"found/generator.json names '{spec}'", line)
    assert not Path("imported").exists()
    assert "somebodys" not in sys.modules
    assert run(f"{words} {'--trust' if ':' in spec else f'--generator {spec}'}") == 0
    assert Path("imported").exists()


def test_a_recipe_that_a_folder_names_is_not_run_either(theirs: Any, capsys: Capture) -> None:
    assert theirs
    Path("evil").mkdir()
    Path("evil/config.yaml").write_text("data: {class_path: somebodys.Turned}\n")
    _save(Path("found"), 4, "evil")
    named = "evil/config.yaml: data.class_path names 'somebodys.Turned'"
    assert_refused(capsys, "show found", named, "axiswise show found --trust")
    assert not Path("imported").exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"generator": 3}',
        '{"generator": "a:b", "latent_dim": "4"}',
        '{"generator": "a:b", "classes": [1.5]}',
        '{"generator": "a:b", "classes": 3}',
        '{"generator": "a:b", "code": "import os"}',
        "\x80",
    ],
)
def test_a_damaged_note_of_the_generator_is_named(
    theirs: Any, capsys: Capture, content: str
) -> None:
    assert theirs
    _save(Path("found"), 4)
    Path("found/generator.json").write_bytes(content.encode("latin-1"))
    assert_refused(capsys, "evaluate found", "found/generator.json is damaged or was not written")


def test_directions_without_the_name_of_their_generator_need_one(
    theirs: Any, capsys: Capture
) -> None:
    assert theirs
    _save(Path("found"), 4)
    Path("found/generator.json").unlink()
    assert_refused(capsys, "show found", "found does not say which generator", "--generator SPEC")
    assert run("show found --generator somebodys:Turned --samples 1") == 0


def test_impossible_settings_are_refused(theirs: Any, capsys: Capture) -> None:
    assert theirs
    for subspace in ([3, 9], [2, 2], ["a", 1], 7):
        settings = {"subspace": subspace}
        Directions(torch.eye(2, 4), torch.ones(2), "random", settings).save("found")
        words = "evaluate found --generator somebodys:Turned --metrics jacobian"
        assert_refused(capsys, words, "the settings in found have an impossible subspace")


@pytest.mark.parametrize("name", ["directions.safetensors", "directions.json"])
@pytest.mark.parametrize("content", [b"", b"\x80\x04no", None])
def test_damaged_directions_are_refused_by_every_command(
    theirs: Any, capsys: Capture, name: str, content: bytes | None
) -> None:
    assert theirs
    _save(Path("found"), 4)
    path = Path("found") / name
    path.unlink() if content is None else path.write_bytes(content)
    for command in ("evaluate found", "show found", "compare found found"):
        assert_refused(capsys, command, name if content is None else "found has no directions")
    assert not Path("imported").exists()


# ---------------------------------------------------------------- two at once, kills, other weights


def test_a_folder_that_another_search_is_at_is_left_alone(
    theirs: Any, tmp_path: Path, refusal: Callable[[Callable[[], object]], str]
) -> None:
    """What one has finished is not removed by another one that fails."""
    assert theirs
    with owning("found"):
        source = GeneratorSource("somebodys:Turned")
        assert "found is in use" in refusal(lambda: discover(source, "random", out="found"))
        assert not Path("imported").exists()
        _save(Path("found"), 4)
    assert Directions.load(tmp_path / "found").latent_dim == 4


@pytest.mark.parametrize(
    "left", ["generator.json", "directions.safetensors", ".directions.json.x1"]
)
def test_what_a_killed_search_left_is_no_hindrance(theirs: Any, left: str) -> None:
    assert theirs
    Path("found").mkdir()
    (Path("found") / left).write_text("{")
    (Path("found") / ".lock").write_text("1 gone")
    assert run("discover somebodys:Turned --method random --out found") == 0
    names = {path.name for path in Path("found").iterdir()}
    assert names == {"generator.json", "directions.safetensors", "directions.json"}
    assert run("discover somebodys:Turned --method random --out found") == 1


def test_directions_of_another_search_than_their_settings_are_refused(tmp_path: Path) -> None:
    for seed in (0, 1):
        matrix = torch.eye(4)[seed : seed + 2]
        Directions(matrix, torch.ones(2), "random", {"seed": seed}).save(tmp_path / str(seed))
    shutil.copy(tmp_path / "1" / "directions.safetensors", tmp_path / "0")
    with pytest.raises(UnreadableFileError, match=r"directions\.safetensors is not what"):
        Directions.load(tmp_path / "0")


def test_directions_are_refused_once_their_generator_has_other_weights(
    trained_gan: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("gan", "other"):
        shutil.copytree(trained_gan, folder)
    other = SimpleGenerator.from_pretrained("other")
    with torch.no_grad():
        next(other.parameters()).mul_(0.5)
    other.save_pretrained("other")
    for generator in ("gan", "other"):
        assert run(f"discover {generator} --method random --out of-{generator}") == 0
    assert run("evaluate of-gan --metrics jacobian") == 0
    assert_refused(
        capsys, "compare of-gan of-other", "directions of one generator", "have different weights"
    )
    shutil.copy("other/model.safetensors", "gan")
    for command in ("evaluate of-gan --metrics jacobian", "show of-gan --samples 1"):
        assert_refused(capsys, command, "gan has other weights than when the directions in of-gan")
    before = Path("of-gan/evaluation.json").read_bytes()
    assert run("evaluate of-gan --metrics jacobian --generator gan") == 0
    assert "gan has other weights" in capsys.readouterr().err
    assert Path("of-gan/evaluation.json.wrong").read_bytes() == before


def test_scores_of_directions_stay_when_others_are_taken(theirs: Any) -> None:
    assert theirs
    assert run("discover somebodys:Turned --method random --out found") == 0
    words = "evaluate found --generator somebodys:Turned --metrics"
    assert run(f"{words} jacobian") == 0
    first = json.loads(Path("found/evaluation.json").read_text())["scores"]
    path = Path("found/evaluation.json")
    found = json.loads(path.read_text())
    path.write_text(json.dumps({**found, "scores": {**found["scores"], "vp": 0.5}}))
    assert run(f"{words} jacobian") == 0
    assert json.loads(path.read_text())["scores"] == {**first, "vp": 0.5}


# ---------------------------------------------------------------- the latents of a VAE


def test_a_vae_s_latents_are_drawn_as_its_codes_unless_the_prior_is_asked_for(
    trained_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    about = json.loads((trained_copy / "config.json").read_text())
    about["codes"] |= {"mean": [9.0, 0.0, 0.0, 0.0], "deviation": [0.1, 5.0, 1.0, 1.0]}
    (trained_copy / "config.json").write_text(json.dumps(about))
    words = f"discover {shlex.quote(str(trained_copy))} --method jacobian-svd --samples 3"
    assert run(f"{words} --out codes") == 0
    said, folder = capsys.readouterr().out.splitlines()
    assert said.startswith(
        "latents drawn as the codes of its data are distributed; --latents prior"
    )
    assert folder.startswith("codes: 4 directions; ")
    found, generator, _ = open_directions("codes")
    assert found.settings["latents"] == "codes of its data"
    z = generator.sample_latents(100, torch.Generator().manual_seed(0))  # type: ignore[attr-defined]
    torch.testing.assert_close(z.mean(0)[0], torch.tensor(9.0), atol=0.1, rtol=0)

    assert run(f"{words} --out prior --latents prior") == 0
    assert capsys.readouterr().out.startswith("prior: 4 directions; ")
    found, generator, _ = open_directions("prior")
    assert "latents" not in found.settings
    assert not hasattr(generator, "sample_latents")


def test_latents_are_for_vaes(trained_gan: Path, capsys: Capture) -> None:
    words = f"discover {shlex.quote(str(trained_gan))} --latents codes --out none"
    assert_refused(capsys, words, "--latents is for VAEs that were saved with the statistics")
