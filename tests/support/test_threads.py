"""How PyTorch's threads wait for each other, as the cores are idle or busy."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from axiswise.support import threads

LINUX = Path("/proc/self/schedstat").exists()
pytestmark = pytest.mark.skipif(not LINUX, reason="the system does not count how long threads wait")


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A watcher's threads that are not started, but noted by name."""
    started: list[str] = []
    monkeypatch.setattr(threading.Thread, "start", lambda self: started.append(self.name))
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    threads.share_cores.cache_clear()
    return started


def test_one_watcher_is_started_however_often_a_command_runs(watched: list[str]) -> None:
    threads.share_cores()
    threads.share_cores()
    assert watched == ["axiswise-cores"]


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_a_users_own_choice_is_left_alone(
    name: str, watched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "passive" if name == "OMP_WAIT_POLICY" else "1000")
    threads.share_cores()
    assert watched == []


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_the_surplus_of_threads_changes_no_bit() -> None:
    values = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))
    alone = values.sum()
    surplus = threads._Surplus()
    beside = values.sum()
    surplus.end()
    assert torch.equal(alone, beside)


@pytest.mark.usefixtures("two_threads")
def test_cores_that_were_taken_bring_the_surplus_and_free_ones_end_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Seconds waited for a core at each look: idle, busy, still busy, idle again.
    waited = iter([0.0, 0.0, 0.5, 0.6, *[0.6] * threads._CALM])
    seen: list[bool] = []

    def look() -> float:
        names = [thread.name for thread in threading.enumerate()]
        seen.append("axiswise-surplus" in names)
        if len(seen) > 4 + threads._CALM:
            raise StopIteration
        return next(waited)

    clock = iter(float(second) for second in range(20))
    monkeypatch.setattr(threads, "_waited", look)
    passing = SimpleNamespace(sleep=lambda _seconds: None, monotonic=lambda: next(clock))
    monkeypatch.setattr(threads, "time", passing)
    with pytest.raises(StopIteration):
        threads._watch()
    assert seen == [False] * 3 + [True] * (1 + threads._CALM) + [False]


ASLEEP = """
import time
from pathlib import Path
import torch
from axiswise.support import threads

torch.set_num_threads(2)
values = torch.zeros(1 << 18)
values.add_(1.0)
others = [task for task in Path("/proc/self/task").iterdir()][1:]

def awake():
    before = sum(int((task / "schedstat").read_text().split()[0]) for task in others)
    for _ in range(100):
        values.add_(1.0)
        time.sleep(0.005)
    return sum(int((task / "schedstat").read_text().split()[0]) for task in others) - before

spinning = awake()
surplus = threads._Surplus()
asleep = awake()
surplus.end()
print(spinning, asleep, awake())
"""


@pytest.mark.slow  # a matter of milliseconds, on a machine that does nothing else
def test_threads_sleep_while_there_is_a_surplus() -> None:
    """In a process of its own: other tests leave threads behind."""
    own = {name: value for name, value in os.environ.items() if name not in threads._OWN_CHOICES}
    done = subprocess.run([sys.executable, "-c", ASLEEP], env=own, capture_output=True, check=True)
    spinning, asleep, again = map(int, done.stdout.split())
    assert asleep < min(spinning, again) / 2


def test_waiting_for_a_core_is_counted_in_seconds() -> None:
    own = int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    threads_so_far = len(list(Path("/proc/self/task").iterdir()))
    found = threads._waited()
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    assert own <= found < threads_so_far * uptime
