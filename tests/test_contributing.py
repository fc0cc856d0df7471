"""The examples of CONTRIBUTING.md, each by the commands below it."""

import re
import shlex
from pathlib import Path

import pytest

from axiswise.cli import main

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
# Kind → a file that its commands write, and a word that the example brings into it.
WRITTEN = {
    "penalty": ("runs/even/metrics.csv", ",even,"),
    "term": ("runs/light/metrics.csv", ",light,"),
    "metric": ("runs/even/evaluation.json", '"local_best_axis"'),
    "data set": ("runs/mine/config.yaml", "my_data.Bars"),
    "method": ("runs/steepest/directions.json", "my_method:steepest"),
    "kind of training": ("runs/plain/evaluation.json", '"mig"'),
}
SECTIONS = re.findall(r"^## Add (.*?)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.M | re.S)


def test_there_is_a_page_for_each_kind() -> None:
    for kind, (title, _) in zip(WRITTEN, SECTIONS, strict=True):
        assert kind in title


@pytest.mark.parametrize(("title", "text"), SECTIONS, ids=[title for title, _ in SECTIONS])
def test_the_example_works_from_the_command_line(
    title: str,
    text: str,
    tiny_recipe: Path,
    trained_copy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("runs").mkdir()
    trained_copy.rename("runs/even" if "penalty" not in title else "runs/trained")
    ((name, code),) = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL)
    assert 8 <= code.count("\n") <= 40
    Path(name).write_text(code, encoding="utf-8")
    for name, recipe in re.findall(r"```yaml\n# (\w+\.yaml)\n(.*?)```", text, re.DOTALL):
        Path(name).write_text(recipe, encoding="utf-8")
    (commands,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    for line in commands.splitlines():
        program, *words = shlex.split(line.replace("three-dots-demo", str(tiny_recipe)))
        assert program == "axiswise"
        short = ["--steps", "10", "--log_every", "5", "--checkpoint_every", "10"]
        assert main([*words, *(short if words[0] == "train" else [])]) == 0
    ((file, word),) = [found for kind, found in WRITTEN.items() if kind in title]
    assert word in Path(file).read_text(encoding="utf-8")
