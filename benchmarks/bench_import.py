"""How much longer `import axiswise` takes than `import torch`, each in fresh processes in turn.

Run: python benchmarks/bench_import.py
"""

import statistics
import subprocess
import sys
import time

from timing import machine

ROUNDS = 9
TARGET = 0.3
STATEMENTS = {
    "nothing": "pass",
    "import torch": "import torch",
    "import axiswise": "import axiswise",
}


def main() -> None:
    for statement in STATEMENTS.values():  # so that byte code and the disk's cache are warm
        seconds(statement)
    taken = [{name: seconds(code) for name, code in STATEMENTS.items()} for _ in range(ROUNDS)]
    print(machine())
    print(f"a fresh interpreter, median of {ROUNDS}")
    for name in STATEMENTS:
        print(f"  {name:<18}{statistics.median(times[name] for times in taken):>8.2f} s")
    more = statistics.median(times["import axiswise"] - times["import torch"] for times in taken)
    ratio = statistics.median(times["import axiswise"] / times["import torch"] for times in taken)
    print(
        f"axiswise over torch: {more:+.2f} s, {ratio:.2f} times; "
        f"target: at most {TARGET} s more, {'reached' if more <= TARGET else 'missed'}"
    )


def seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
