"""What the benchmarks share: timing several ways of doing one thing side by side."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Timing:
    """The time one way took.

    Attributes:
        seconds: Median over the rounds.
        ratio: How many times the baseline's speed: median over the rounds of the baseline's time
            over this one's in the same round, so that load that comes and goes hits both.
    """

    seconds: float
    ratio: float


def compare(
    baseline: Callable[[], object], ours: Mapping[str, Callable[[], object]], rounds: int = 7
) -> dict[str, Timing]:
    """Times the baseline and ours in turn, round by round, after one round that does not count.

    Work queued on a GPU is waited for.

    Returns:
        The timing of `"baseline"` and of each name in `ours`.
    """
    ways = {"baseline": baseline, **ours}
    for way in ways.values():
        _seconds(way)
    taken = [{name: _seconds(way) for name, way in ways.items()} for _ in range(rounds)]
    return {
        name: Timing(
            statistics.median(times[name] for times in taken),
            statistics.median(times["baseline"] / times[name] for times in taken),
        )
        for name in ways
    }


def show(title: str, timings: Mapping[str, Timing]) -> None:
    """Prints one line for each timing, with its ratio to the baseline."""
    print(title)
    for name, timing in timings.items():
        print(f"  {name:<28}{timing.seconds * 1e3:>10.2f} ms  {timing.ratio:>7.2f} x")


def machine() -> str:
    """Returns a line that says what the timings were taken on."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{_cpu_name()}, {os.cpu_count()} cores{gpu}; Python {platform.python_version()}, "
        f"torch {torch.__version__} with {torch.get_num_threads()} threads"
    )


def _seconds(way: Callable[[], object]) -> float:
    start = time.perf_counter()
    way()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
