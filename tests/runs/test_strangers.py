"""Folders and recipes of strangers: no command runs code that they name, until `--trust`.

Each way to name code would leave a file, `ran`, in the current folder.
"""

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from axiswise.cli import main
from axiswise.runs.sweeps.plan import plan
from axiswise.runs.train import train_recipe
from axiswise.support.imports import UntrustedCodeError

MODULE = """
from pathlib import Path
Path("ran").touch()

from axiswise.data import ThreeDots
from axiswise.nets import ConvVAE
from axiswise.training.vae import VAETrainer

class Dots(ThreeDots):
    pass

class Net(ConvVAE):
    pass

class Kind(VAETrainer):
    pass

def term(jacobian):
    return jacobian.columns().square().mean()

def metric(codes):
    return 0.5
"""
SHELL = {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "ran"]}}
# A callable that returns a network, made of the standard library's alone.
CALLS = {
    "class_path": "functools.partial",
    "init_args": {"func": "os.system", "args": ["touch ran"]},
}
Change = Callable[[dict[str, Any]], object]


def at(*names: str, value: Any) -> Change:
    """A change of a recipe: a value below some keys."""

    def change(recipe: dict[str, Any]) -> None:
        part = recipe
        for name in names[:-1]:
            part = part.setdefault(name, {})
        part[names[-1]] = value

    return change


def beside(path: str, content: Any) -> Change:
    """A file in the current folder, and a recipe whose network is that."""

    def change(recipe: dict[str, Any]) -> None:
        Path(path).write_text(yaml.safe_dump(content))
        recipe["model"] = path

    return change


WAYS: dict[str, Change] = {
    "the class of the data": at("data", "class_path", value="stranger.Dots"),
    "a class as a word": at("data", value="stranger.Dots"),
    "the network": at("model", "class_path", value="stranger.Net"),
    "the kind of training": at("trainer", value="stranger:Kind"),
    "a term": at("terms", "mine", value={"term": "stranger:term"}),
    "the objective": at("objective", value={"class_path": "stranger.Net"}),
    "data inside of data": at(
        "data",
        value={"class_path": "axiswise.data.Grid", "init_args": {"dataset": "stranger.Dots"}},
    ),
    "a process as data": at("data", value=SHELL),
    "a function of the standard library as an argument": at("model", value=CALLS),
    "an argument that is no plain value": at("model", "init_args", "latent_dim", value=CALLS),
    "a text that contains a class": at("data", value=f"{json.dumps(SHELL)}"),
    "a text as an argument": at(
        "data",
        value={
            "class_path": "axiswise.data.Grid",
            "init_args": {"dataset": '{"class\\u005fpath": "stranger.Dots"}'},
        },
    ),
    "what a module of ours has imported": at("data", value="axiswise.cli.shlex.os.system"),
    "a module of ours that runs": at("data", value="axiswise.cli.__main__.main"),
    "a name that begins like ours": at("data", value="axiswise_stranger.Dots"),
    "another alphabet": at("data", value="stranger．Dots"),
    "white space": at("data", value=" stranger.Dots"),
    "a relative import": at("data", value=".stranger.Dots"),
    "a key with dots": at("data.class_path", value="stranger.Dots"),
    "a key that appends": at("data", "class_path+", value="stranger.Dots"),
    "arguments past the signature": at("model", "dict_kwargs", value={"x": SHELL}),
    "jsonargparse's own path": at("model", "__path__", value="stranger.yaml"),
    "a further recipe": at("recipe", value="further.yaml"),
    "a file named as a network": beside("network.yaml", {"class_path": "stranger.Net"}),
    "a file that is called like a class": beside(
        "axiswise.nets.ConvVAE", {"class_path": "stranger.Net"}
    ),
    "a type": at("evaluation", value="stranger.Net"),
    "a class as a section": at("evaluation", value={"class_path": "stranger.Net"}),
    "a class as a section's key": at("evaluation", "class_path", value="stranger.Net"),
    "a class as the settings of a term": at("terms", "jl1", value={"class_path": "stranger.Net"}),
    "arguments of no class": at("objective", value={"init_args": {}, "dict_kwargs": {"x": SHELL}}),
    "a section that is a file": at("evaluation", value="further.yaml"),
}
TAGS = (
    "!!python/object/apply:os.system ['touch ran']",
    "!!python/name:stranger.Dots ''",
    "!!python/module:stranger ''",
)
COMMANDS = ("train --resume RUN", "evaluate RUN", "show RUN", "sefa RUN", "compare RUN --udr")


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of a stranger, whose code is beside the recipe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    for name in ("stranger", "axiswise_stranger"):
        Path(f"{name}.py").write_text(MODULE)
    Path("further.yaml").write_text(yaml.safe_dump({"model": {"class_path": "stranger.Net"}}))
    yield tmp_path
    for name in ("stranger", "axiswise_stranger"):
        sys.modules.pop(name, None)


def refused(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The line that says why a command was not carried out."""
    capsys.readouterr()
    assert main(shlex.split(words)) in (1, 2)
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if line and not line.startswith("codes for UDR")]
    assert len(errors) == 1, errors
    assert errors[0].startswith("axiswise: error: ")
    assert not Path("ran").exists()
    return errors[0]


@pytest.mark.parametrize("way", WAYS)
def test_no_way_to_name_code_in_a_recipe_runs_it(
    there: Path, trained: Path, tiny_recipe: Path, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert there
    recipe = yaml.safe_load(tiny_recipe.read_text())
    WAYS[way](recipe)
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe, allow_unicode=True))
    refused("train recipe.yaml --out new", capsys)
    assert not Path("new").exists()
    shutil.copytree(trained, "run")
    shutil.copy("recipe.yaml", "run/config.yaml")
    refused("evaluate run", capsys)
    assert "stranger" not in sys.modules


@pytest.mark.parametrize("tag", TAGS)
def test_no_tag_runs_code(
    there: Path, tiny_recipe: Path, tag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert there
    Path("recipe.yaml").write_text(tiny_recipe.read_text() + f"name: {tag}\n")
    assert "recipe.yaml is no YAML file: line" in refused("train recipe.yaml", capsys)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_runs_the_code_of_a_run_s_config(
    there: Path, trained: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert there
    for name in ("run", "other"):
        shutil.copytree(trained, name)
        config = yaml.safe_load(Path(name, "config.yaml").read_text())
        config["data"]["class_path"] = "stranger.Dots"
        Path(name, "config.yaml").write_text(yaml.safe_dump(config))
        about = {"name": "tiny", "seed": len(name), "scores": {"mig": 0.5}}
        Path(name, "evaluation.json").write_text(json.dumps(about))
    words = command.replace("RUN", "run other" if "--udr" in command else "run")
    said = refused(words, capsys)
    assert "run/config.yaml: data.class_path names 'stranger.Dots'" in said
    assert said.endswith(f"run only if you trust the file: axiswise {words} --trust")


def test_scores_are_compared_without_the_code_of_the_runs(there: Path, trained: Path) -> None:
    assert there
    shutil.copytree(trained, "run")
    config = Path("run/config.yaml")
    config.write_text(config.read_text().replace("axiswise.data.ThreeDots", "stranger.Dots"))
    about = {"name": "tiny", "seed": 0, "scores": {"mig": 0.5}}
    Path("run/evaluation.json").write_text(json.dumps(about))
    assert main(["compare", "run", "--out", "compared"]) == 0
    assert not Path("ran").exists()


def test_nor_does_discover_where_the_network_is_a_stranger_s(
    there: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert there
    shutil.copytree(trained, "run")
    config = yaml.safe_load(Path("run/config.yaml").read_text())
    config["model"]["class_path"] = "stranger.Net"
    Path("run/config.yaml").write_text(yaml.safe_dump(config))
    about = json.loads(Path("run/config.json").read_text())
    about = {"architecture": "Net", "arguments": about["arguments"]}
    Path("run/config.json").write_text(json.dumps(about))
    words = "discover run --method coordinates --out found"
    assert refused(words, capsys).endswith(f": axiswise {words} --trust")
    assert not Path("found").exists()
    assert main([*shlex.split(words), "--trust"]) == 0
    assert "axiswise show found --trust" in capsys.readouterr().out
    assert Path("ran").exists()


@pytest.mark.parametrize(
    "sweep",
    [
        {"settings": {"data": "stranger.Dots"}},
        {"grid": {"model.class_path": ["axiswise.nets.ConvVAE", "stranger.Net"]}},
        {"list": [{"terms.mine.term": "stranger:term"}]},
        {"settings": {"trainer": "stranger:Kind"}},
        {"metrics": ["stranger:metric"]},
        {"metrics": ["local_stranger:metric"]},
        {"settings": {"data": CALLS}},
        {"settings": {"recipe": "further.yaml"}},
        {"settings": {"data.help": "stranger.Dots"}},
        {"settings": {"evaluation": "stranger.Net"}},
        {"settings": {"evaluation.class_path": "stranger.Net"}},
        {"settings": {"evaluation": "further.yaml"}},
        {"settings": {"terms.jl1": {"class_path": "stranger.Net"}}},
        {"settings": {"terms.jl1.class_path": "stranger.Net"}},
        {"settings": {"model": "further.yaml"}},
        {"settings": {"model": "{class_path: stranger.Net}"}},
        {"settings": {"objective.init_args.beta": SHELL}},
    ],
    ids=str,
)
def test_no_sweep_runs_code_that_its_file_names(
    there: Path, tiny_recipe: Path, sweep: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert there
    Path("sweep.yaml").write_text(yaml.safe_dump({"recipe": str(tiny_recipe), **sweep}))
    refused("sweep sweep.yaml --out all", capsys)
    assert not Path("all").exists()


def test_trust_is_passed_on_to_all_that_a_sweep_starts(there: Path, tiny_recipe: Path) -> None:
    assert there
    sweep = {"recipe": str(tiny_recipe), "settings": {"data": "stranger.Dots"}}
    with pytest.raises(
        UntrustedCodeError, match=r"--data=stranger\.Dots: .*data\.class_path names"
    ):
        plan(sweep, "all")
    (run,) = plan(sweep, "all", trust=True)
    assert run.trust
    assert type(run).from_json(run.to_json()).trust
    assert Path("ran").exists()


def test_a_run_of_a_user_s_own_class_is_opened_with_trust_alone(
    there: Path, tiny_recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever names the class himself need not say so for that command."""
    assert there
    words = f"train {tiny_recipe} --steps 10 --checkpoint_every 5 --out own --data stranger.Dots"
    assert main(shlex.split(words)) == 0
    assert "`axiswise evaluate own --trust`" in capsys.readouterr().out
    Path("ran").unlink()
    sys.modules.pop("stranger")
    assert refused("evaluate own", capsys).endswith(": axiswise evaluate own --trust")
    for command in ("evaluate own --metrics activeness", "train --resume own"):
        assert main([*shlex.split(command), "--trust"]) == 0
    assert Path("ran").exists()


def test_a_class_that_is_named_brings_no_other(there: Path, tiny_recipe: Path) -> None:
    """The arguments that a file gives to it are a file's still."""
    Path("own_data.py").write_text(
        "from axiswise.data import ThreeDots\n"
        "class Turned(ThreeDots):\n"
        "    def __init__(self, turn=None, **more):\n"
        "        super().__init__(**more)\n"
    )
    recipe = yaml.safe_load(tiny_recipe.read_text())
    recipe["data"] = {"class_path": "own_data.Turned", "init_args": {"turn": SHELL}}
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(
        UntrustedCodeError, match=r"data\.turn\.class_path names 'subprocess\.Popen'"
    ):
        train_recipe("recipe.yaml", ["--data", "own_data.Turned"], str(there / "own"))
    assert not Path("ran").exists()
    sys.modules.pop("own_data")


NAMES = (
    "../../x",
    "/tmp/x",
    "~",
    "..",
    ".hidden",
    "a/b",
    "a\\b",
    "nul",
    "CON.txt",
    "a\nb",
    "x" * 101,
)


@pytest.mark.parametrize("name", [*NAMES, "a\0b", "a\u202eb", "a ", "c:", "com1", "x?"])
def test_a_name_that_is_no_plain_folder_s_is_refused(
    there: Path, tiny_recipe: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = yaml.safe_load(tiny_recipe.read_text())
    Path("recipe.yaml").write_text(yaml.safe_dump({**recipe, "name": name}))
    before = sorted(there.parent.iterdir())
    said = refused("train recipe.yaml --steps 1", capsys)
    assert "recipe.yaml" in said or "name must be the plain name of one folder" in said
    assert not Path("runs").exists()
    assert sorted(there.parent.iterdir()) == before


def test_files_in_the_current_folder_do_not_take_the_place_of_what_is_installed(
    there: Path, tiny_recipe: Path
) -> None:
    """What axiswise adds to the import path stands behind what is installed."""
    Path("own_data.py").write_text("from axiswise.data import ThreeDots as Mine\n")
    sys.path.remove(str(there))
    installed = list(sys.path)
    train_recipe(str(tiny_recipe), ["--data", "own_data.Mine", "--steps", "5"], str(there / "own"))
    assert sys.path == [*installed, str(there)]
    sys.modules.pop("own_data")
