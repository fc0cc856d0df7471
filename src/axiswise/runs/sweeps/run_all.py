"""Trains and scores the runs of a sweep, on this computer or on a Ray cluster."""

import contextlib
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

from axiswise.runs.sweeps.local import LocalEngine, environments, usual_workers
from axiswise.runs.sweeps.planned import Outcome, PlannedRun, Resources, SweepProgress

_TICK = 0.5  # seconds from one look at the runs to the next
_LOOK_AGAIN = 2.0  # seconds until a run that another process works on is tried again

OnProgress = Callable[[SweepProgress], None]


class Engine(Protocol):
    """Where runs train."""

    @property
    def free(self) -> int:
        """How many more runs it takes now."""
        ...

    def running(self) -> list[PlannedRun]:
        """The runs that train now."""
        ...

    def start(self, run: PlannedRun) -> None:
        """Start a run, and return at once."""
        ...

    def wait(self, seconds: float) -> list[Outcome]:
        """Return the outcomes of runs that ended, when one has or after that time."""
        ...

    def stop(self) -> None:
        """End all runs, saved where that is possible, and leave no process behind."""
        ...


def run_all(
    runs: Sequence[PlannedRun],
    workers: int | None = None,
    engine: Literal["local", "ray"] = "local",
    on_progress: OnProgress | None = None,
    resources: Resources | None = None,
    retries: int = 2,
) -> list[Outcome]:
    """Train and score those of some runs that are not finished.

    An interrupted run continues from its newest checkpoint. A run that another process works on is
    waited for, and taken over if that process ends. A failed run is tried again by the next call.
    Ctrl-C, SIGTERM and SIGHUP end all runs after training has saved; a second Ctrl-C ends them at
    once.

    Args:
        runs: The runs, from `plan`.
        workers: Number of runs at once, ≥ 1; by the number of cores and GPUs if None. Local runs
            have equal shares of the cores, and the number of threads changes the last bits of
            results: they repeat exactly with the same number of workers only.
        engine: "local" for processes of this computer, "ray" for a Ray cluster: that of
            `RAY_ADDRESS` or `ray start`, else one of this computer alone.
        on_progress: Called when a run ends, and about twice a second.
        resources: Cores and GPUs of one run; a core, and a GPU if there is one, if None.
        retries: How often Ray starts a run again whose process or computer was lost, ≥ 0.

    Returns:
        How each run ended, in the order of `runs`.

    Raises:
        KeyboardInterrupt: On Ctrl-C, SIGTERM or SIGHUP.
        ImportError: If `engine` is "ray" and Ray is not installed.
        ValueError: If `workers`, `engine` or `retries` is out of range.
        OSError: If the folder cannot be written.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if engine not in ("local", "ray"):
        raise ValueError(f"engine must be 'local' or 'ray', got {engine!r}")
    if retries < 0:
        raise ValueError(f"retries must be at least 0, got {retries}")
    resources = Resources() if resources is None else resources
    outcomes = {run.folder: Outcome(run, "there") for run in runs if run.finished}
    todo = deque(run for run in runs if run.folder not in outcomes)
    if on_progress is not None:
        on_progress(SweepProgress(tuple(outcomes.values()), ()))
    if todo:
        started = _engine(engine, runs, workers, resources, retries)
        with _signals_as_ctrl_c():
            try:
                _work(started, todo, outcomes, on_progress)
            finally:
                started.stop()
    return [outcomes[run.folder] for run in runs]


def _engine(
    engine: str,
    runs: Sequence[PlannedRun],
    workers: int | None,
    resources: Resources,
    retries: int,
) -> Engine:
    for folder in {run.log.parent for run in runs}:
        folder.mkdir(parents=True, exist_ok=True)
    if engine == "ray":
        from axiswise.runs.sweeps.cluster import RayEngine

        return RayEngine(workers, resources, retries)
    # Of all runs, not of those that are missing: each has the same threads in every call.
    workers = min(usual_workers(resources) if workers is None else workers, len(runs))
    pin = all(run.settings["devices"] == 1 for run in runs)
    return LocalEngine(environments(workers, resources, pin))


def _work(
    engine: Engine,
    waiting: deque[PlannedRun],
    outcomes: dict[Path, Outcome],
    on_progress: OnProgress | None,
) -> None:
    look_again: dict[Path, float] = {}  # when, at runs that other processes work on

    def put_off(run: PlannedRun) -> None:
        look_again[run.folder] = time.monotonic() + _LOOK_AGAIN
        waiting.append(run)

    while waiting or engine.running():
        for _ in range(len(waiting)):
            if not engine.free:
                break
            run = waiting.popleft()
            if look_again.get(run.folder, 0.0) > time.monotonic():
                waiting.append(run)
                continue
            lock = run.take()
            if lock is None:
                put_off(run)
                continue
            lock.close()
            if run.finished:
                outcomes[run.folder] = Outcome(run, "there")
            else:
                engine.start(run)
        for outcome in engine.wait(_TICK):
            if outcome.state == "busy":
                put_off(outcome.run)
            else:
                outcomes[outcome.run.folder] = outcome
        if on_progress is not None:
            running = tuple((run, run.steps_done) for run in engine.running())
            on_progress(SweepProgress(tuple(outcomes.values()), running))


@contextlib.contextmanager
def _signals_as_ctrl_c() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return

    def interrupt(number: int, _frame: object) -> None:
        if number != signal.SIGTERM:  # a terminal that is closed may send two
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    numbers = [signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)]  # Windows has no SIGHUP
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
