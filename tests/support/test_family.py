"""Families: names are read without an import, things are found when asked for."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from axiswise.support.family import Family

PACKAGE = {
    "__init__.py": "raise RuntimeError('imported')",
    "one.py": '@shape("square")\ndef square(): ...\n\n@shape(\n    "line", 2\n)\ndef line(): ...\n',
    "two.py": '# @shape("commented")\n@shape("circle")\nclass Circle: ...\n',
}


def own(thing: object, spec: str) -> str:
    if not callable(thing):
        raise TypeError(f"shape {spec} must be callable, got {type(thing).__name__}")
    return f"own {spec}"


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family[str]:
    (tmp_path / "shapes_").mkdir()
    for name, text in PACKAGE.items():
        (tmp_path / "shapes_" / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return Family("shape", "shapes_", "shape", own)


def test_names_are_read_off_the_files_and_nothing_is_imported(shapes: Family[str]) -> None:
    assert shapes.names() == ["circle", "line", "square"]
    assert "shapes_" not in sys.modules


def test_one_of_ours_is_imported_when_asked_for(
    shapes: Family[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shape(name: str) -> Callable[[object], object]:
        def declare(thing: object) -> object:
            shapes.declare(name, thing, f"ours {name}")
            return thing

        return declare

    monkeypatch.setattr("builtins.shape", shape, raising=False)
    (tmp_path / "shapes_" / "__init__.py").write_text("")
    assert shapes.find("circle") == "ours circle"
    assert "shapes_.one" not in sys.modules
    # The same object by its import path has the same declaration.
    assert shapes.find("shapes_.two:Circle") == "ours circle"
    with pytest.raises(ValueError, match="shape 'circle' is declared twice"):
        shapes.declare("circle", object(), "other")
    for module in [name for name in sys.modules if name.startswith("shapes_")]:
        monkeypatch.delitem(sys.modules, module)


def test_an_object_by_its_import_path_is_the_users_own(shapes: Family[str]) -> None:
    assert shapes.find("pathlib:Path.home") == "own pathlib:Path.home"
    assert shapes.find("pathlib.Path") == "own pathlib.Path"
    with pytest.raises(TypeError, match="shape os:sep must be callable, got str"):
        shapes.find("os:sep")


def test_a_wrong_name_is_answered_with_what_is_allowed(shapes: Family[str]) -> None:
    with pytest.raises(ValueError, match="shape must be one of circle, line, square, or an import"):
        shapes.find("oval")
    with pytest.raises(ImportError, match="shape nowhere:oval: there is no module nowhere"):
        shapes.find("nowhere:oval")
    with pytest.raises(ImportError, match="the module pathlib has no Oval"):
        shapes.find("pathlib:Oval")
