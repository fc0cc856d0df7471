"""PyTorch's threads beside other work: they wait for each other awake when idle, asleep when busy.

PyTorch's threads (GNU OpenMP's) wait for each other by spinning, which is fastest on idle cores.
Beside other processes a thread that spins keeps the one that it waits for from a core: a training
step takes 20 times as long beside two others, where 3 times would be fair. Threads that sleep share
well, but idle they cost a quarter of the speed, and OpenMP reads which way to wait only once. But
they always sleep where a process has more OpenMP threads than cores: so here threads that do
nothing have OpenMP threads of their own for as long as the cores are busy. Results are the
same bit for bit: each sum is still split among as many threads.
"""

import functools
import os
import sys
import threading
import time
from pathlib import Path

_OWN_CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
_TASKS = Path("/proc/self/task")
_SECONDS = 1.0  # between two looks
# Seconds in which a thread was ready and had no core, for each second: busy from the first number
# on, idle below the second one. An idle machine has less than 0.01.
_BUSY, _IDLE = 0.1, 0.03
_CALM = 5  # looks in a row after which the cores count as idle


@functools.cache
def share_cores() -> None:
    """Let this process's threads wait asleep while other processes want the cores, from now on.

    A user's own OMP_WAIT_POLICY or GOMP_SPINCOUNT wins; where the system does not count how long
    threads wait for a core (it is not Linux), nothing changes.
    """
    counted = (_TASKS / str(threading.get_native_id()) / "schedstat").exists()
    if counted and not any(name in os.environ for name in _OWN_CHOICES):
        threading.Thread(target=_watch, name="axiswise-cores", daemon=True).start()


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _watch() -> None:
    """Look each second whether threads had to wait for a core, and choose how they wait."""
    surplus: _Surplus | None = None
    calm = 0  # looks in a row that found the cores idle
    seconds, waited = time.monotonic(), _waited()
    while True:
        time.sleep(_SECONDS)
        before, waited_before = seconds, waited
        seconds, waited = time.monotonic(), _waited()
        share = (waited - waited_before) / (seconds - before)
        calm = calm + 1 if share < _IDLE else 0
        if surplus is None and share > _BUSY and _is_loaded():
            surplus = _Surplus()
        elif surplus is not None and calm == _CALM:
            surplus.end()
            surplus = None


def _waited() -> float:
    """Seconds in which threads of this process were ready to run and had no core, so far."""
    total = 0
    for task in _TASKS.iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[1])
        except (OSError, ProcessLookupError):
            continue  # it has ended
    return total / 1e9


def _is_loaded() -> bool:
    """Whether PyTorch is there, with more than one thread: else nobody spins."""
    count = getattr(sys.modules.get("torch"), "get_num_threads", None)
    return count is not None and count() > 1


class _Surplus:
    """Threads that do nothing until `end`, each with OpenMP threads of its own.

    With those of the thread that works, more OpenMP threads than cores.
    """

    def __init__(self) -> None:
        import torch

        self._over = threading.Event()
        sets = -(-cores() // (torch.get_num_threads() - 1))
        self._threads = [
            threading.Thread(target=self._stay, name="axiswise-surplus", daemon=True)
            for _ in range(sets - 1)
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _stay(self) -> None:
        import torch

        torch.ones(1 << 18).add_(1.0)  # large enough to be shared among threads
        self._over.wait()
