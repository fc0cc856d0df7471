"""Runs in several local processes, each with its share of cores."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from axiswise.runs.sweeps.planned import Outcome, PlannedRun, Resources
from axiswise.support.reading import read_bytes
from axiswise.support.threads import cores

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class LocalEngine:
    """Trains runs in local processes (an `axiswise.runs.sweeps.run_all.Engine`).

    There is a process for each of `environments`, which are added to this process's. It is started
    with its first run, and again after a run that failed.
    """

    def __init__(self, environments: Sequence[Mapping[str, str]]) -> None:
        self._events: queue.Queue[_Event] = queue.Queue()
        self._workers = [_Worker(environment, self._events) for environment in environments]

    @property
    def free(self) -> int:
        """How many more runs it takes now."""
        return len(self._workers) - len(self.running())

    def running(self) -> list[PlannedRun]:
        """The runs that train now."""
        return [worker.run for worker in self._workers if worker.run is not None]

    def start(self, run: PlannedRun) -> None:
        """Start a run, and return at once; one process at least must be free."""
        next(worker for worker in self._workers if worker.run is None).start(run)

    def wait(self, seconds: float) -> list[Outcome]:
        """Return the outcomes of runs that ended, when one has or after that time."""
        try:
            event = self._events.get(timeout=seconds)
        except queue.Empty:
            return []
        outcome = event.worker.receive(event)
        return [] if outcome is None else [outcome]

    def stop(self) -> None:
        """End all processes after training has saved; at once on Ctrl-C."""
        try:
            for worker in self._workers:
                worker.ask_to_stop()
            for worker in self._workers:
                worker.join()
        finally:
            for worker in self._workers:
                worker.kill()


@dataclass(frozen=True)
class _Event:
    """A line that a process wrote, or, if None, that it has ended."""

    worker: "_Worker"
    process: "subprocess.Popen[str]"
    line: str | None


class _Worker:
    """One process after another, for one run after another."""

    def __init__(self, environment: Mapping[str, str], events: "queue.Queue[_Event]") -> None:
        self.environment = environment
        self.events = events
        self.run: PlannedRun | None = None
        self.process: subprocess.Popen[str] | None = None

    def start(self, run: PlannedRun) -> None:
        self.run = run
        if self.process is None or not _send(self.process, run):
            self.process = self._open()
            _send(self.process, run)

    def receive(self, event: _Event) -> Outcome | None:
        """How the run ended, if the event is about that."""
        if event.process is not self.process:  # an earlier one's
            return None
        run, self.run = self.run, None
        if event.line is None:
            self.process = None
            if run is None:
                return None
            lost = event.process.returncode < 0
            return Outcome(run, "failed", _crash(event.process, run), lost)
        assert run is not None
        answer = json.loads(event.line)
        if answer["last"]:
            _kill_group(event.process)
            self.process = None
        return Outcome(run, answer["state"], answer["reason"])

    def ask_to_stop(self) -> None:
        if self.process is not None:
            _close_input(self.process)

    def join(self) -> None:
        if self.process is not None:
            self.process.wait()

    def kill(self) -> None:
        if self.process is not None:
            _kill_group(self.process)
            self.process.wait()

    def _open(self) -> "subprocess.Popen[str]":
        # A group of its own: Ctrl-C reaches this process alone, which then asks that one to save.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "axiswise.runs.sweeps.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": _import_path(), **self.environment},
            process_group=0,
        )
        threading.Thread(target=self._listen, args=(process,), daemon=True).start()
        return process

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.events.put(_Event(self, process, line))
        process.wait()
        _kill_group(process)
        _close_input(process)
        self.events.put(_Event(self, process, None))


def environments(workers: int, resources: Resources, pin: bool) -> list[dict[str, str]]:
    """Threads and GPU of each local process; with `pin`, each sees one GPU alone, in turn."""
    threads = thread_limits(max(resources.cpus, cores() // workers))
    seen = _gpus() if pin else []
    if resources.gpus == 0:
        seen = [""]
    return [
        threads | ({"CUDA_VISIBLE_DEVICES": seen[number % len(seen)]} if seen else {})
        for number in range(workers)
    ]


def thread_limits(threads: int) -> dict[str, str]:
    """The environment of a process with so many threads, or this one's number if fewer."""
    if os.environ.get("OMP_NUM_THREADS", "").isdigit():
        threads = min(threads, int(os.environ["OMP_NUM_THREADS"]))
    return dict.fromkeys(_THREADS, str(threads))


def usual_workers(resources: Resources) -> int:
    """How many runs fit here at once: by the cores, and by the GPUs if runs use them."""
    most = cores() // resources.cpus
    gpus = len(_gpus())
    if gpus and resources.gpus != 0:
        # So many on each: a run does not use parts of two GPUs.
        share = 1 if resources.gpus is None else resources.gpus
        most = min(most, gpus * int(1 / share) if share <= 1 else int(gpus / share))
    return max(1, most)


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return named[:count] if len(named) >= count and named != [""] else [*map(str, range(count))]


def _import_path() -> str:
    """This process's import path, for another one to find a user's own modules."""
    return os.pathsep.join(path or str(Path.cwd()) for path in sys.path)


def _send(process: "subprocess.Popen[str]", run: PlannedRun) -> bool:
    assert process.stdin is not None
    try:
        process.stdin.write(run.to_json() + "\n")
        process.stdin.flush()
    except (BrokenPipeError, ValueError):  # it has ended, and its input may be closed already
        return False
    return True


def _close_input(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def _crash(process: "subprocess.Popen[str]", run: PlannedRun) -> str:
    """Why a process ended without an answer."""
    status = process.returncode
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    text = read_bytes(run.log).decode(errors="replace") if run.log.is_file() else ""
    lines = text.split("\n")
    last = [line.strip() for line in lines if line.strip()][-1:]
    return "; ".join([f"its process was ended by {how}", *last])


def _kill_group(process: "subprocess.Popen[str]") -> None:
    """End a process's children, such as helpers of a run on several devices."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
