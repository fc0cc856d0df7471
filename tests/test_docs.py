"""What README and docs/ say works: their Python runs, their commands are understood."""

import argparse
import re
import shlex
from pathlib import Path

import pytest
import torch

import axiswise as aw
from axiswise import cli
from axiswise.runs.protocol import read_settings
from axiswise.training.recipe import recipe_names, recipe_path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_of_the_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    aw.nets.ConvVAE(channels=3).save_pretrained("runs/mine")  # the README trains it beforehand
    names = {"aw": aw, "images": torch.rand(2, 3, 64, 64)}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)


def test_commands_of_the_readme_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[argparse.Namespace] = []
    for command in cli.COMMANDS:
        monkeypatch.setattr(command, "run", seen.append)
    monkeypatch.setattr(cli.data, "_show", seen.append)
    lines = [
        shlex.split(line, comments=True)
        for block in blocks(PAGES[0], "sh")
        for line in block.splitlines()
        if line.startswith("axiswise ")
    ]
    assert len(lines) >= 8
    for words in lines:
        assert cli.main(words[1:]) == 0, words
    assert len(seen) == len(lines)
    for options in seen:
        if getattr(options, "recipe", None):
            read_settings(recipe_path(options.recipe), options.words)


def test_recipe_in_the_docs_is_one(tmp_path: Path) -> None:
    (recipe,) = blocks(ROOT / "docs" / "recipes.md", "yaml")
    path = tmp_path / "mine.yaml"
    path.write_text(recipe, encoding="utf-8")
    assert read_settings(path).keys.name == "mine"


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith(("https://arxiv.org/", "https://semver.org")):
                assert (page.parent / target).exists(), f"{page.name} → {target}"


def test_the_first_command_trains_a_shipped_recipe() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"axiswise train (\w[\w-]+) ", makefile)
    assert recipe in recipe_names()


def test_every_row_of_parity_names_a_test_that_exists() -> None:
    page = (ROOT / "results" / "parity.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    for cells in rows:
        assert len(cells) == 5, cells
        if cells[0].strip() == "protocol or number":
            continue
        tests = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", cells[4])
        assert tests or "not run here" in cells[4], cells
        for file, name in tests:
            assert (ROOT / file).is_file(), file
            assert f"def {name}" in (ROOT / file).read_text(encoding="utf-8"), (file, name)
