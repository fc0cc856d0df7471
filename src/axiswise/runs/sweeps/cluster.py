"""Runs on a Ray cluster, whose computers need not share a disk.

A task trains its run in a local folder, by `LocalEngine`, and sends back what it writes, each
checkpoint at once. A run that starts again is sent its files, and continues from its newest
checkpoint on any computer.
"""

import contextlib
import logging
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from axiswise.runs.folder import RunFolder
from axiswise.runs.sweeps.local import LocalEngine, thread_limits
from axiswise.runs.sweeps.planned import Outcome, PlannedRun, Resources
from axiswise.support.files import write_atomically
from axiswise.support.locks import BusyError, owning

_EVERY = 1.0  # seconds from one look at a run's files to the next

Files = dict[str, bytes]  # path, seen from the folder that the run's folder is in, and content


@dataclass(frozen=True)
class _News:
    """New or changed files of a run, the names of all, and in the end its outcome."""

    files: Files
    there: frozenset[str]
    outcome: Outcome | None = None


class RayEngine:
    """Trains runs as tasks of a Ray cluster (an `axiswise.runs.sweeps.run_all.Engine`)."""

    def __init__(self, workers: int | None, resources: Resources, retries: int) -> None:
        try:
            import ray
        except ImportError as error:
            raise ImportError("--engine ray needs Ray: pip install 'axiswise[ray]'") from error
        self._ray: Any = ray
        self._workers = workers
        self._retries = retries
        self._ours = not ray.is_initialized()
        if self._ours:
            ray.init(log_to_driver=False, logging_level=logging.WARNING)
        self._remote = ray.remote(_perform).options(
            num_cpus=resources.cpus,
            num_gpus=resources.gpus or 0,
            max_retries=0,  # a task that starts again must be given the newest checkpoint
            num_returns="streaming",
        )
        self._cpus = resources.cpus
        self._tasks: dict[Any, _Task] = {}
        self._busy: list[Outcome] = []

    @property
    def free(self) -> int:
        """How many more runs it takes now; Ray queues those that find no room."""
        return 1 if self._workers is None else self._workers - len(self._tasks)

    def running(self) -> list[PlannedRun]:
        """The runs that train now, or wait for room."""
        return [task.run for task in self._tasks.values()]

    def start(self, run: PlannedRun) -> None:
        """Start a run, and return at once."""
        lock = run.take()
        if lock is None:
            self._busy.append(Outcome(run, "busy"))
            return
        try:
            with owning(run.folder):
                self._submit(_Task(run, lock, self._retries))
        except OSError as error:
            lock.close()
            by_hand = isinstance(error, BusyError)
            self._busy.append(Outcome(run, "busy" if by_hand else "failed", str(error)))

    def wait(self, seconds: float) -> list[Outcome]:
        """Return the outcomes of runs that ended, when news comes or after that time."""
        busy, self._busy = self._busy, []
        if busy or not self._tasks:
            return busy
        ready, _ = self._ray.wait(list(self._tasks), timeout=seconds, fetch_local=False)
        outcomes = [self._receive(stream) for stream in ready]
        return [outcome for outcome in outcomes if outcome is not None]

    def stop(self) -> None:
        """End all runs; what has come back of them stays."""
        for stream, task in self._tasks.items():
            with contextlib.suppress(Exception):
                self._ray.cancel(stream)
            task.lock.close()
        if self._ours:
            self._ray.shutdown()

    def _submit(self, task: "_Task") -> None:
        files = _read(task.run, _stamps(task.run))
        stream = self._remote.remote(task.run.to_json(), files, self._cpus)
        self._tasks[stream] = task

    def _receive(self, stream: Any) -> Outcome | None:
        """Write what a run has sent; how it ended, if it has."""
        task = self._tasks[stream]
        try:
            news = self._ray.get(next(stream))
        except (self._ray.exceptions.RayError, StopIteration) as error:
            own = isinstance(error, self._ray.exceptions.RayTaskError)
            reason = " ".join(str(error).split()) or "the task ended without a word"
            news = _News({}, frozenset(), Outcome(task.run, "failed", reason, lost=not own))
        else:
            _write(news.files, task.run)
            _drop_old_checkpoints(task.run, news.there)
        if news.outcome is None:
            return None
        del self._tasks[stream]
        if news.outcome.lost and task.retries:
            self._submit(replace(task, retries=task.retries - 1))
            return None
        task.lock.close()
        outcome: Outcome = replace(news.outcome, run=task.run)
        return outcome


@dataclass(frozen=True)
class _Task:
    run: PlannedRun
    lock: BinaryIO
    retries: int


def _perform(line: str, files: Files, cpus: int) -> Iterator[_News]:
    """Train a run in a temporary folder, and send what is new."""
    there = PlannedRun.from_json(line)
    with tempfile.TemporaryDirectory(prefix="axiswise-") as place:
        run = replace(there, folder=Path(place) / there.folder.name)
        _write(files, run)
        # Ray has chosen the GPU already: the task sees no other.
        engine = LocalEngine([thread_limits(cpus)])
        try:
            engine.start(run)
            seen = _stamps(run)
            outcomes: list[Outcome] = []
            while not outcomes:
                outcomes = engine.wait(_EVERY)
                stamps = _stamps(run)
                changed = [name for name, stamp in stamps.items() if seen.get(name) != stamp]
                seen = stamps
                if changed or outcomes:
                    yield _News(_read(run, changed), frozenset(stamps), *outcomes)
        finally:
            engine.stop()


def _stamps(run: PlannedRun) -> dict[str, tuple[int, int]]:
    """Time and size of each file of a run."""
    stamps = {}
    for path in (run.log, run.record, *run.folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and not path.name.startswith("."):  # those are not whole yet
                status = path.stat()
                name = str(path.relative_to(run.folder.parent))
                stamps[name] = (status.st_mtime_ns, status.st_size)
    return stamps


def _read(run: PlannedRun, names: Iterable[str]) -> Files:
    """Contents of files, checkpoints first: the table of metrics must not be older."""
    contents = {}
    for name in sorted(names, key=lambda name: not _is_checkpoint(name)):
        with contextlib.suppress(FileNotFoundError):  # a checkpoint that a newer one has replaced
            contents[name] = (run.folder.parent / name).read_bytes()
    return contents


def _write(files: Files, run: PlannedRun) -> None:
    """Write files, checkpoints last, each after its checksum."""
    for name in sorted(files, key=lambda name: (_is_checkpoint(name), name.endswith(".pt"))):
        path = run.folder.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, files[name])


def _drop_old_checkpoints(run: PlannedRun, there: frozenset[str]) -> None:
    for path in run.files.checkpoints.glob("step-*"):
        if str(path.relative_to(run.folder.parent)) not in there:
            path.unlink()


def _is_checkpoint(name: str) -> bool:
    return Path(name).parent.name == RunFolder("").checkpoints.name
