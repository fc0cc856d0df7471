"""Training beside other work: how the command line's thread settings do on an idle and a busy CPU.

Fresh processes, in turn; each takes JL1-VAE's steps (one sampled column, batch 64) for some
seconds. The other work is two processes that take the same steps with PyTorch's own settings.

Run: python benchmarks/bench_busy.py [NAME=VALUE …]    (a way more, with these settings)
"""

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

WARM, SECONDS, ROUNDS, NEIGHBOURS = 2.5, 5.0, 2, 2
IDLE, BUSY = (
    1.05,
    5.0,
)  # a step's time, at most: times PyTorch's own when idle; times our own when idle
SETTINGS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
SHARE = "AXISWISE_BENCH_SHARE"
OWN = {name: value for name, value in os.environ.items() if name not in SETTINGS}


def main() -> None:
    ways = {
        "PyTorch's own": {},
        "axiswise": {SHARE: "1"},
        "passive": {"OMP_WAIT_POLICY": "passive"},
    }
    for words in sys.argv[1:]:
        ways[words] = dict(word.split("=") for word in words.split(","))
    idle = [{name: step(settings) for name, settings in ways.items()} for _ in range(ROUNDS)]
    with neighbours():
        busy = [{name: step(settings) for name, settings in ways.items()} for _ in range(ROUNDS)]
    from timing import machine

    print(machine())
    print(f"a step of JL1-VAE, idle and beside {NEIGHBOURS} processes that train, {ROUNDS} rounds")
    baseline = next(iter(ways))
    for name in ways:
        alone = statistics.median(times[name] for times in idle)
        beside = statistics.median(times[name] for times in busy)
        ratio = statistics.median(times[name] / times[baseline] for times in idle)
        print(
            f"  {name:<28}{alone * 1e3:>8.1f} ms  {ratio:5.2f} times PyTorch's own;"
            f"{beside * 1e3:>9.1f} ms  {beside / alone:5.2f} times when idle"
        )
    print(
        f"target: idle at most {IDLE} times PyTorch's own, beside others at most {BUSY:.0f} times"
    )


@contextlib.contextmanager
def neighbours() -> Iterator[None]:
    """Processes that train as long as the context lasts."""
    others = [start({}, seconds=1e9) for _ in range(NEIGHBOURS)]
    try:
        for other in others:
            assert other.stdout is not None
            other.stdout.readline()  # it has begun
        yield
    finally:
        for other in others:
            other.kill()
            other.communicate()


def step(settings: Mapping[str, str]) -> float:
    """Seconds of a step in a fresh process."""
    out, _ = start(settings, SECONDS).communicate()
    return float(out.split()[-1])


def start(settings: Mapping[str, str], seconds: float) -> "subprocess.Popen[str]":
    command = [sys.executable, __file__, "--train", str(seconds)]
    environment = {**OWN, **settings}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def train(seconds: float) -> None:
    """Print a line when steps begin, and the mean seconds of a step after that time."""
    from axiswise.objectives import make_term
    from axiswise.support.threads import share_cores
    from axiswise.training.allocator import keep_freed_memory
    from bench_training_step import GAMMA
    from bench_training_step import step as make_step

    if SHARE in os.environ:
        share_cores()
    keep_freed_memory()
    take = make_step(make_term("jl1", weight=GAMMA, columns=1))
    until = time.perf_counter() + WARM
    while time.perf_counter() < until:
        take()
    print("begun", flush=True)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        take()
        count += 1
    print((time.perf_counter() - begin) / count)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        train(float(sys.argv[2]))
    else:
        main()
