"""What makes the runs of a sweep happen, whatever engine it has."""

import contextlib
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from axiswise.runs.sweeps.local import Engine, LocalEngine, environments, usual_workers
from axiswise.runs.sweeps.lock import take
from axiswise.runs.sweeps.planned import Outcome, PlannedRun, Progress, Resources

_TICK = 0.5  # seconds from one look at the runs to the next
_LOOK_AGAIN = 2.0  # seconds until a run that another process is at is tried again

OnProgress = Callable[[Progress], None]


def run_all(
    runs: Sequence[PlannedRun],
    workers: int | None = None,
    engine: Literal["local", "ray"] = "local",
    on_progress: OnProgress | None = None,
    resources: Resources | None = None,
    retries: int = 2,
) -> list[Outcome]:
    """Train and score what is missing of runs.

    A finished run is left alone. One that was interrupted, by whatever, goes on from its newest
    checkpoint. One that another process is at is waited for, and taken over if it is let go of.
    One that fails is tried again by the next call. Ctrl-C and SIGTERM end all processes that were
    started, training after it has saved; a second Ctrl-C ends them at once.

    Args:
        runs: What `plan` returned.
        workers: How many runs at once, ≥ 1. If None, as many as the machine has cores and GPUs for
            (see `Resources`); on Ray, as many as the cluster has room for. On one machine, each
            has an equal share of the cores: their number, as it decides on the threads of each
            run, is part of what makes results repeat bit for bit.
        engine: "local" for processes of this machine, "ray" for a Ray cluster: the one that
            `RAY_ADDRESS` or `ray start` has at hand, else one of this machine alone.
        on_progress: Called when a run ends, and about twice a second.
        resources: What one run takes; a core, and a GPU if there is one, if None.
        retries: How often Ray starts a run again that was lost with its machine or process, ≥ 0.

    Returns:
        What became of each run, in the order of `runs`.

    Raises:
        KeyboardInterrupt: On Ctrl-C or SIGTERM.
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
        on_progress(Progress(tuple(outcomes.values()), (), len(todo)))
    if todo:
        started = _engine(engine, runs, workers, resources, retries)
        with _sigterm_as_ctrl_c():
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
    for folder in {run.lock.parent for run in runs}:
        folder.mkdir(parents=True, exist_ok=True)
    if engine == "ray":
        from axiswise.runs.sweeps.cluster import RayEngine

        return RayEngine(workers, resources, retries)
    # Of all runs, not of those that are missing: each is to have the same threads in every call.
    workers = min(usual_workers(resources) if workers is None else workers, len(runs))
    pin = all(run.settings["devices"] == 1 for run in runs)
    return LocalEngine(environments(workers, resources, pin))


def _work(
    engine: Engine,
    waiting: deque[PlannedRun],
    outcomes: dict[Path, Outcome],
    on_progress: OnProgress | None,
) -> None:
    busy: dict[Path, float] = {}  # runs that others are at, and when to look again

    def show() -> None:
        if on_progress is not None:
            running = tuple((run, run.steps_done) for run in engine.running())
            on_progress(Progress(tuple(outcomes.values()), running, len(waiting)))

    while waiting or engine.running():
        for _ in range(len(waiting)):
            if not engine.free:
                break
            run = waiting.popleft()
            if busy.get(run.folder, 0.0) > time.monotonic():
                waiting.append(run)
            elif _is_taken(run):
                busy[run.folder] = time.monotonic() + _LOOK_AGAIN
                waiting.append(run)
            elif run.finished:
                outcomes[run.folder] = Outcome(run, "there")
            else:
                engine.start(run)
        for reply in engine.wait(_TICK):
            if reply.state is None:
                busy[reply.run.folder] = time.monotonic() + _LOOK_AGAIN
                waiting.append(reply.run)
            else:
                outcomes[reply.run.folder] = Outcome(reply.run, reply.state, reply.reason)
        show()


def _is_taken(run: PlannedRun) -> bool:
    """Whether some process is at a run now."""
    with run.lock.open("a+b") as lock:
        return not take(lock)


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
