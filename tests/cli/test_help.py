"""Help comes at once: none of it loads torch."""

import subprocess
import sys

import pytest

from axiswise.cli import COMMANDS, main
from axiswise.directions import METHODS
from axiswise.metrics import METRICS
from axiswise.training.shipped import recipe_names

NAMES = [command.__name__.rpartition(".")[2] for command in COMMANDS]
PATIENCE = 10  # seconds: twenty times what is promised, as tests may share the cores
CHECK = """
import sys
from axiswise.cli import main
status = main(sys.argv[1:])
loaded = {"torch", "lightning_fabric", "jsonargparse", "matplotlib"} & sys.modules.keys()
assert not loaded, loaded
sys.exit(status)
"""


def without_torch(words: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", CHECK, *words.split()],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("command", ["", *NAMES])
def test_help_loads_no_torch(command: str) -> None:
    assert without_torch(f"{command} --help").startswith(f"usage: axiswise {command}".rstrip())


def test_recipes_are_listed_without_torch() -> None:
    assert [line.split()[0] for line in without_torch("recipes").splitlines()] == recipe_names()


def test_help_of_discover_names_the_methods(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", "--help"]) == 0
    assert ", ".join(METHODS.names()) in capsys.readouterr().out


def test_help_of_evaluate_names_the_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"Metrics of runs: {', '.join(METRICS.names())};" in shown


def test_the_package_loads_libraries_when_they_are_used() -> None:
    code = (
        "import sys, axiswise as aw\n"
        "assert 'torch' not in sys.modules\n"
        "import axiswise.data, axiswise.metrics\n"
        "assert 'torch' in sys.modules\n"
        "assert not {'PIL', 'sklearn'} & sys.modules.keys()\n"
        "import axiswise.plots\n"
        "assert not {'matplotlib.pyplot', 'imageio', 'av'} & sys.modules.keys()\n"
        "assert set(aw.__all__) <= set(dir(aw))\n"
        "[getattr(aw, name) for name in aw.__all__]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
