"""tools/house.py finds what it is there to find."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("grimp", reason="needs the extra dev")

PATH = Path(__file__).parents[1] / "tools" / "house.py"
spec = importlib.util.spec_from_file_location("house", PATH)
assert spec is not None
assert spec.loader is not None
house = importlib.util.module_from_spec(spec)
spec.loader.exec_module(house)


@pytest.mark.parametrize(
    ("module", "imported", "fault"),
    [
        ("runs.evaluate", "training.recipe", None),
        ("runs.sweeps.plan", "runs.run", None),
        ("jacobian.push", "jacobian.checks", None),
        ("", "cli", None),
        ("training.loop", "runs.folder", "training.loop imports runs.folder"),
        ("runs.compare", "runs.sweeps.plan", "runs.compare imports runs.sweeps.plan"),
        ("directions.search", "metrics.mig", "directions.search imports metrics.mig"),
        ("training.loop", "metrics", "training.loop imports metrics, which is for runs"),
        ("support.files", "", "support.files imports axiswise"),
        ("odd", "support.files", "odd is in no folder"),
    ],
)
def test_imports_go_down(module: str, imported: str, fault: str | None) -> None:
    found = list(house.floor_faults({module: {imported}}))
    assert len(found) == (fault is not None)
    assert not fault or found[0].startswith(fault)


def test_circles_of_modules_and_folders_are_found() -> None:
    assert not list(house.circles({"runs.run": {"nets.vae"}, "nets.vae": {"support.files"}}))
    (modules,) = house.circles({"nets.a": {"nets.b"}, "nets.b": {"nets.a"}})
    assert modules.startswith("circle of modules: ")
    (folders,) = house.circles({"nets.a": {"data.a"}, "data.b": {"nets.b"}})
    assert folders.startswith("circle of folders: ")


def test_long_functions_are_found(tmp_path: Path) -> None:
    body = "\n".join("    x = 1" for _ in range(80))
    (tmp_path / "long.py").write_text(f"def short():\n    return 1\n\ndef long():\n{body}\n")
    assert list(house.long_functions(tmp_path)) == ["long.py:4 long has 81 lines, 80 at most"]
