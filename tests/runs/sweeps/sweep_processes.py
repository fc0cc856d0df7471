"""Sweeps as processes, for tests that disturb them."""

import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path


class Processes:
    """Sweeps as processes; all that they start is marked, to be found."""

    def __init__(self) -> None:
        self.mark = f"AXISWISE_TEST={uuid.uuid4()}"
        name, _, value = self.mark.partition("=")
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", name: value}

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "axiswise.cli", "sweep", *words],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def found(self) -> dict[int, str]:
        """Id and command line of each process that is there."""
        there = {}
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in (path / "environ").read_bytes().split(b"\0"):
                    words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    there[int(path.name)] = words
        return there


def wait_until(
    condition: Callable[[], object], process: "subprocess.Popen[str] | None" = None
) -> None:
    """Wait for something that comes in a minute on an idle computer, while a process lives."""
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)
