"""Kills trainings at random moments, resumes them, and compares them with undisturbed ones.

    python tests/training/kills.py --kills 50

prints a row for each kind of training; `make test-all` has ten kills of each. Some kills come after
a time, some while a run resumes, and some between two changes of files, of which the last is that
between the model's weights and the file that makes it whole.
"""

import argparse
import contextlib
import csv
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny import TINY, TINY_GAN, TINY_PROGRESSIVE

KINDS = {
    "vae": (TINY, ["--terms.jl1.columns", "2"]),
    "gan": (TINY_GAN, []),
    "progressive": (TINY_PROGRESSIVE, ["--stable_images", "160", "--fading_images", "320"]),
    "factor_vae": (TINY, ["--terms", "{factor_vae: {weight: 3, features: 32}}"]),
}
MODEL = "model.safetensors"
IMPORTED = (
    *("axiswise.cli", "axiswise.runs.train", "axiswise.training.loop"),
    *("axiswise.runs.dispatch", "axiswise.runs.evaluate", "axiswise.runs.discover"),
    *("axiswise.runs.show", "torch.utils.tensorboard"),
)
Doom = Callable[[str, str], bool]  # whether to be killed, "before" or "after" a change of a file


def at_change(number: int) -> Doom:
    """Be killed at the so manyth moment before or after a change of a file."""
    left = [number]

    def doom(_when: str, _path: str) -> bool:
        left[0] -= 1
        return left[0] == 0

    return doom


def at_the_end(when: str, path: str) -> bool:
    """Be killed between the model's weights and the file that makes it whole."""
    return when == "before" and path.endswith("config.json")


def fork(words: Sequence[str], doom: Doom | None = None) -> int:
    """Run a command in a process of its own, which has computed nothing before."""
    child = os.fork()
    if child:
        return child
    from axiswise.cli import main

    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    if doom is not None:
        _be_killed(doom)
    os._exit(main(list(words)))


def _be_killed(doom: Doom) -> None:
    """Let this process be killed before or after it changes a file."""

    def around(name: str) -> None:
        change = getattr(os, name)

        def changed(*given: object, **options: object) -> object:
            target = str(given[-1])
            if doom("before", target):
                os.kill(os.getpid(), signal.SIGKILL)
            result = change(*given, **options)
            if doom("after", target):
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(os, name, changed)

    for name in ("replace", "fsync", "unlink", "mkdir"):
        around(name)


def ended(child: int) -> int:
    """The exit status of a process; negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def rows(run: Path) -> int:
    try:
        return (run / "metrics.csv").read_text().count("\n") - 1
    except FileNotFoundError:
        return 0


def metrics(run: Path) -> list[list[str]]:
    """The table of metrics without the column that says how fast the computer was."""
    with (run / "metrics.csv").open(newline="") as file:
        header, *table = csv.reader(file)
    speed = header.index("images_per_second")
    return [row[:speed] + row[speed + 1 :] for row in (header, *table)]


def listing(run: Path) -> set[str]:
    """All files of a run but TensorBoard's, of which each attempt has one."""
    files = (str(path.relative_to(run)) for path in run.rglob("*"))
    return {name for name in files if not name.startswith("tensorboard/")}


def compared(run: Path, whole: Path) -> dict[str, bool]:
    """What is equal in two runs: weights bit for bit, metrics row for row, names of files.

    A kill may leave a part of an old checkpoint.
    """
    weights = [(folder / MODEL).read_bytes() for folder in (run, whole)]
    return {
        "weights": weights[0] == weights[1],
        "rows": metrics(run) == metrics(whole),
        "files": all(
            name.startswith("checkpoints/step-") for name in listing(run) ^ listing(whole)
        ),
    }


class Campaign:
    """Trainings of one kind.

    Attributes:
        whole: The run that nothing disturbs.
        log: What happened at each kill, and rows of metrics after it.
    """

    def __init__(self, kind: str, place: Path, seed: int, steps: int) -> None:
        text, overrides = KINDS[kind]
        self.place, self.chance = place, random.Random(f"{kind} {seed}")
        self.log: list[dict[str, object]] = []
        self.recipe = place / "recipe.yaml"
        self.recipe.write_text(text)
        self.words = ["--steps", str(steps), *overrides]
        self.whole = place / "undisturbed"
        assert ended(fork(self.first(self.whole))) == 0
        self.rows = rows(self.whole)

    def first(self, run: Path) -> list[str]:
        return ["train", str(self.recipe), "--out", str(run), *self.words]

    def next(self, run: Path) -> list[str]:
        if (run / "config.yaml").exists():
            return ["train", "--resume", str(run)]
        return self.first(run)

    def kill(self, run: Path, number: int, of: int) -> None:
        """Start or resume a run, and kill it; each kind of moment has its turn."""
        last = number == of - 1
        way = "end" if last else ("time", "change", "resume")[number % 3]
        target = self.rows * (number + 1) // (of + 1)
        if way in ("change", "end"):
            doom = at_the_end if last else at_change(self.chance.randrange(1, 60))
            status = ended(fork(self.next(run), doom))
        else:
            child = fork(self.next(run))
            if way == "time":
                deadline = time.monotonic() + 60
                while rows(run) < target and time.monotonic() < deadline:
                    time.sleep(0.001)
                time.sleep(self.chance.uniform(0, 0.03))
            else:
                time.sleep(self.chance.uniform(0, 0.3))
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            status = ended(child)
        self.log.append({"way": way, "status": status, "rows": rows(run)})
        self.check(run)

    def check(self, run: Path) -> None:
        """What a kill left is whole, or was never given its name."""
        for path in run.glob("checkpoints/*.pt"):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            assert path.with_suffix(".sha256").read_text() == digest, path
        config = run / "config.yaml"
        assert (
            not config.exists() or config.read_bytes() == (self.whole / "config.yaml").read_bytes()
        )

    def killed(self, kills: int) -> dict[str, object]:
        """Kill a run so many times, resume it to its end, and compare."""
        run = self.place / "killed"
        for number in range(kills):
            self.kill(run, number, kills)
        scored = ended(fork(["evaluate", str(run), "--metrics", "jacobian"])) if kills else 0
        with contextlib.suppress(FileNotFoundError):
            (run / "evaluation.json").unlink()
        status = ended(fork(self.next(run)))
        return {"log": self.log, "scored": scored, "exit": status, **compared(run, self.whole)}

    def two(self) -> dict[str, object]:
        """Start two processes in one folder at once, then resume half a run twice at once."""
        run = self.place / "two"
        children = [fork(self.first(run)) for _ in range(2)]
        first = sorted(map(ended, children))
        new = compared(run, self.whole)
        half = self.place / "half"
        child = fork(self.first(half))
        deadline = time.monotonic() + 60
        while rows(half) < self.rows // 2 and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        ended(child)
        children = [fork(self.next(half)) for _ in range(2)]
        second = sorted(map(ended, children))
        return {"exits": [first, second], "new": new, "resumed": compared(half, self.whole)}

    def commands(self, kills: int) -> dict[str, object]:
        """Kill other commands at each change of a file, and call them again."""
        run = Path(shutil.copytree(self.whole, self.place / "scored"))
        words = ["evaluate", str(run), "--metrics", "jacobian", "activeness"]
        file = run / "evaluation.json"
        assert ended(fork(words)) == 0
        expected = json.loads(file.read_text())
        file.unlink()
        for number in range(1, kills + 1):
            ended(fork(words, at_change(number)))
            assert not file.exists() or json.loads(file.read_text())["name"]
        scores = ended(fork(words)) == 0 and json.loads(file.read_text()) == expected
        discover = ["discover", str(run), "--method", "random", "--out"]
        found = []
        for number in range(kills + 1):  # the first is not killed
            out = self.place / f"found-{number}"
            died = ended(fork([*discover, str(out)], at_change(number)))
            if died and not (out / "directions.json").exists():
                assert ended(fork([*discover, str(out)])) == 0
            found.append({path.name: path.read_bytes() for path in out.iterdir()})
        same = all(one[name] == content for one in found for name, content in found[0].items())
        return {"scores": scores, "directions": same}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--kills", type=int, default=10, help="of a run of each kind")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print all that happened")
    options = parser.parse_args()
    for module in IMPORTED:  # once, before all forks: it takes seconds
        importlib.import_module(module)
    found = {}
    if not options.json:
        print(
            "| kind | kills: after a time, at a change, resuming, at the end | what is the same |"
        )
        print("|---|---|---|", flush=True)
    for kind in options.kinds:
        with tempfile.TemporaryDirectory() as place:
            campaign = Campaign(kind, Path(place), options.seed, options.steps)
            found[kind] = {**campaign.killed(options.kills), "two": campaign.two()}
            found[kind]["commands"] = campaign.commands(min(options.kills, 12))
        if not options.json:
            print(row(kind, found[kind]), flush=True)
    if options.json:
        print(json.dumps(found))


def row(kind: str, result: dict[str, Any]) -> str:
    """A row of the table: how many kills of each kind there were, and what is the same."""
    log = [entry["way"] for entry in result["log"] if entry["status"] == -signal.SIGKILL]
    ways = ", ".join(str(log.count(way)) for way in ("time", "change", "resume", "end"))
    whole = {key: result[key] for key in ("weights", "rows", "files")}
    checks = {"killed": whole, **result["two"], **result["commands"]}
    return f"| {kind} | {len(log)}: {ways} | {checks} |"


if __name__ == "__main__":
    main()
