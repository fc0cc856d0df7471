"""A process that trains and scores one planned run after another.

It reads a run from each line of its standard input, JSON, and answers with a line on its standard
output; what the run prints goes to its log. One process does many runs, because importing takes as
long as a small run. When its input ends, it stops as after Ctrl-C: training saves first.
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

from axiswise.runs.sweeps.planned import PlannedRun, State
from axiswise.support.files import open_here
from axiswise.support.locks import BusyError
from axiswise.support.threads import share_cores
from axiswise.training.stops import InterruptedRunError

_TRUST = "--trust"


def perform(run: PlannedRun, stopping: Callable[[], bool] = lambda: False) -> None:
    """Train a run from its newest checkpoint on, and score it, if that is not done yet.

    `stopping` is called after training, which may have ended when it was to be interrupted; if it
    returns true, an InterruptedRunError is raised.
    """
    if not run.trained:
        _train(run)
    if stopping():
        raise InterruptedRunError("stopped after training, which is saved")
    if not run.evaluated:
        _evaluate(run)


def _train(run: PlannedRun) -> None:
    from axiswise.runs.sefa import sefa_run
    from axiswise.runs.train import resume_run, train_recipe
    from axiswise.support.files import write_atomically

    if run.by_sefa:
        for left in (run.files.config, run.files.weights, run.files.about):  # by one cut short
            left.unlink(missing_ok=True)
        sefa_run(str(run.after), str(run.folder), trust=run.trust)
        return
    if run.files.config.is_file():
        resume_run(str(run.folder), trust=run.trust)
        return
    write_atomically(run.start, run.config.encode())
    train_recipe(str(run.start), [], str(run.folder), trust=run.trust)


def _evaluate(run: PlannedRun) -> None:
    from axiswise.runs.evaluate import evaluate_run
    from axiswise.runs.protocol import EvaluationProtocol
    from axiswise.runs.run import load_run

    # The folder's own config may be of an earlier sweep with another protocol.
    protocol = EvaluationProtocol(**run.settings["evaluation"])
    found = replace(load_run(run.folder, trust=run.trust), protocol=protocol)
    run.write_record(evaluate_run(found, run.metrics)["scores"])


def main() -> int:
    """Answer until the input ends.

    Fabric starts further processes, with the same words, for a run on several devices: these have
    the run's folder as a word, and whether to trust it, and help.
    """
    share_cores()
    if len(sys.argv) > 1:
        return _help(sys.argv[1], trust=_TRUST in sys.argv[2:])
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        ended = threading.Event()
        for line in _lines(ended):
            run = PlannedRun.from_json(line)
            sys.argv[1:] = [str(run.folder), *([_TRUST] if run.trust else [])]
            state, reason = _attempt(run, ended.is_set)
            # What is left of an error, or of a group of processes, must not meet another run.
            last = state == "failed" or run.settings["devices"] > 1
            answers.write(json.dumps({"state": state, "reason": reason, "last": last}) + "\n")
            answers.flush()
            if last:
                break
    return 0


def _help(folder: str, *, trust: bool) -> int:
    """Take part in a run; the process that is helped reports errors."""
    from axiswise.runs.train import resume_run

    try:
        resume_run(folder, trust=trust)
    except Exception:
        return 1
    return 0


def _lines(ended: threading.Event) -> Iterator[str]:
    """Lines of the input; at its end, SIGTERM to this process and its helpers.

    Training obeys that signal at its next step; after its last step, `ended` stops the run.
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


def _attempt(run: PlannedRun, stopping: Callable[[], bool] = lambda: False) -> tuple[State, str]:
    """How an attempt at a run ended, and why, if it failed."""
    run.log.parent.mkdir(parents=True, exist_ok=True)
    lock = run.take()
    if lock is None:
        return "busy", ""
    with lock:
        if run.finished:
            return "there", ""
        with _printing_to(run):
            try:
                perform(run, stopping)
            except BusyError:  # somebody trains it by hand
                return "busy", ""
            except Exception as error:
                traceback.print_exc()
                reason = " ".join(str(error).split()) or type(error).__name__
                return "failed", reason
    return "finished", ""


@contextmanager
def _printing_to(run: PlannedRun) -> Iterator[None]:
    """Redirect all that this process prints, by Python or not, to the run's log."""
    with open_here(run.log, "wb") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
