"""What tests of sweeps share: plans of the tiny recipe, and sweeps as processes."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sweep_processes import Processes

from axiswise.runs.sweeps import PlannedRun, plan

Planner = Callable[..., list[PlannedRun]]


@pytest.fixture
def planned(tiny_recipe: Path, tmp_path: Path) -> Planner:
    """Plans runs of the tiny recipe into tmp_path/out; keys of the sweep as keyword arguments."""

    def make(**keys: Any) -> list[PlannedRun]:
        return plan({"recipe": str(tiny_recipe), **keys}, tmp_path / "out")

    return make


@pytest.fixture
def processes() -> Iterator[Processes]:
    if not sys.platform.startswith("linux"):
        pytest.skip("processes are looked for in /proc")
    started = Processes()
    yield started
    for number in started.found():
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
