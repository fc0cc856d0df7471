"""How much longer the package takes to import than torch, and how long help takes.

Fresh processes, in turn. `import axiswise` loads its names on first use, so that all of them are
asked for here.

Run: python benchmarks/bench_import.py
"""

import statistics
import subprocess
import sys
import time

from timing import machine

ROUNDS = 9
MORE, HELP = 0.3, 0.5  # seconds, at most
WAYS = {
    "nothing": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "all names of axiswise": [
        "-c",
        "import axiswise as aw\nfor name in aw.__all__: getattr(aw, name)",
    ],
    "axiswise --help": ["-m", "axiswise.cli", "--help"],
    "axiswise recipes": ["-m", "axiswise.cli", "recipes"],
}


def main() -> None:
    for words in WAYS.values():  # so that byte code and the disk's cache are warm
        seconds(words)
    taken = [{name: seconds(words) for name, words in WAYS.items()} for _ in range(ROUNDS)]
    print(machine())
    print(f"a fresh interpreter, median of {ROUNDS}")
    medians = {name: statistics.median(times[name] for times in taken) for name in WAYS}
    for name, median in medians.items():
        print(f"  {name:<24}{median:>8.2f} s")
    ours, torch = "all names of axiswise", "import torch"
    more = statistics.median(times[ours] - times[torch] for times in taken)
    ratio = statistics.median(times[ours] / times[torch] for times in taken)
    helps = max(medians["axiswise --help"], medians["axiswise recipes"])
    print(f"axiswise over torch: {more:+.2f} s, {ratio:.2f} times; {target(more, MORE)}")
    print(f"help: {helps:.2f} s; {target(helps, HELP)}")


def target(reached: float, most: float) -> str:
    return f"target: at most {most} s, {'reached' if reached <= most else 'missed'}"


def seconds(words: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
