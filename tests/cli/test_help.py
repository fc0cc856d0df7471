"""Help comes at once: none of it loads torch."""

import subprocess
import sys

import pytest

from axiswise.cli import main
from axiswise.directions import METHODS
from axiswise.metrics import METRICS

NAMES = (
    "train",
    "recipes",
    "discover",
    "evaluate",
    "show",
    "sefa",
    "compare",
    "scores",
    "sweep",
    "data",
)
# Twenty times what a command takes on a machine at rest.
PATIENCE = 10
CHECK = """
import sys
from axiswise.cli import main
status = main(sys.argv[1:])
loaded = {"torch", "lightning_fabric", "jsonargparse", "matplotlib"} & sys.modules.keys()
assert not loaded, loaded
sys.exit(status)
"""


@pytest.mark.parametrize(
    "words", ["--help", *(f"{command} --help" for command in (*NAMES, "reproduce"))]
)
def test_help_loads_no_torch(words: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CHECK, *words.split()],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"usage: axiswise {words.removesuffix('--help')}".rstrip())


def test_help_of_discover_names_the_methods(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", "--help"]) == 0
    assert ", ".join(METHODS.names()) in capsys.readouterr().out


def test_help_of_evaluate_names_the_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"Metrics of runs: {', '.join(METRICS.names())};" in shown


def test_the_package_loads_torch_when_a_name_is_used() -> None:
    code = (
        "import sys, axiswise as aw\n"
        "assert 'torch' not in sys.modules\n"
        "aw.nets, aw.metrics, aw.data, aw.directions, aw.jl1_penalty\n"
        "assert 'torch' in sys.modules\n"
        "assert set(aw.__all__) <= set(dir(aw))\n"
        "[getattr(aw, name) for name in aw.__all__]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
