"""A process that trains and scores one planned run after another.

It reads runs from its standard input, a line of JSON each, and answers each with a line on its
standard output; what the run itself prints goes to its log. It starts once for many runs, because
importing takes as long as a small run. When the other end of its input is closed, by hand or
because that process was killed, it stops as after Ctrl-C: training saves first.
"""

import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from axiswise.runs.folder import RunFolder
from axiswise.runs.sweeps.lock import take
from axiswise.runs.sweeps.planned import PlannedRun, State
from axiswise.training.stops import InterruptedRunError


def perform(run: PlannedRun, stopping: Callable[[], bool] = lambda: False) -> None:
    """Train what is not trained yet, from the newest checkpoint on, and score what is not scored.

    Args:
        run: What is wanted.
        stopping: Asked after training, which may have ended just as it was told to stop.

    Raises:
        TrainingStoppedError: If training cannot go on, or was told to stop.
        ValueError: On a metric that the run cannot have, or if this machine lacks the devices.
        OSError: If something cannot be read or written.
    """
    if not run.trained:
        _train(run)
    if stopping():
        raise InterruptedRunError("stopped after training, which is saved")
    if not run.evaluated:
        _evaluate(run)


def _train(run: PlannedRun) -> None:
    from axiswise.runs.train import resume_run, train_recipe
    from axiswise.support.files import write_atomically

    folder = RunFolder(run.folder)
    if folder.config.is_file():
        resume_run(str(run.folder))
        return
    for left in run.folder.glob(f".{folder.config.name}.*"):  # by a crash in its first moment
        left.unlink()
    write_atomically(run.told, run.config.encode())
    train_recipe(str(run.told), [], str(run.folder))


def _evaluate(run: PlannedRun) -> None:
    from axiswise.runs.evaluate import evaluate_run
    from axiswise.runs.protocol import EvaluationProtocol
    from axiswise.runs.run import load_run

    found = load_run(run.folder)
    protocol = EvaluationProtocol(**run.settings["evaluation"])
    # The folder's own config may be of an earlier sweep with another protocol.
    found = replace(found, protocol=protocol)
    run.write_record(evaluate_run(found, run.metrics)["scores"])


def main() -> int:
    """Answer until the input ends.

    Returns:
        0, or, of a process that Fabric started to help another one, the status of its command.
    """
    if len(sys.argv) > 1:
        from axiswise import cli

        return cli.main(sys.argv[1:])
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        ended = threading.Event()
        for line in _lines(ended):
            run = PlannedRun.from_json(line)
            # What the other processes of a run on several devices are started with.
            sys.argv[1:] = ["train", "--resume", str(run.folder)]
            state, reason = _attempt(run, ended.is_set)
            # What is left of an error, or of a group of processes, must not meet another run.
            last = state == "failed" or run.settings["devices"] > 1
            answers.write(json.dumps({"state": state, "reason": reason, "last": last}) + "\n")
            answers.flush()
            if last:
                break
    return 0


def _lines(ended: threading.Event) -> Iterator[str]:
    """Lines of the input, as they come; at its end this process and its helpers are told to stop.

    Training takes note of that signal at its next step. If there is none any more, the signal is
    lost, and the event says the same.
    """
    lines: queue.Queue[str | None] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            lines.put(line)
        ended.set()
        lines.put(None)
        os.killpg(0, signal.SIGTERM)

    threading.Thread(target=listen, daemon=True).start()
    while (line := lines.get()) is not None:
        yield line


def _attempt(
    run: PlannedRun, stopping: Callable[[], bool] = lambda: False
) -> tuple[State | None, str]:
    """What became of a run, None if another process is at it; and why, if it failed."""
    run.log.parent.mkdir(parents=True, exist_ok=True)
    with run.lock.open("a+b") as lock:
        if not take(lock):
            return None, ""
        if run.finished:
            return "there", ""
        with _printing_to(run):
            try:
                perform(run, stopping)
            except Exception as error:
                traceback.print_exc()
                reason = " ".join(str(error).split()) or type(error).__name__
                return "failed", reason
    return "finished", ""


@contextmanager
def _printing_to(run: PlannedRun) -> Iterator[None]:
    """Have all that this process prints, by Python or not, go to the run's log."""
    with run.log.open("wb") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
