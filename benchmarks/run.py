"""Run every benchmark, one after the other, and write what they print to results/benchmarks.md.

Run on an otherwise idle machine: python benchmarks/run.py
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "benchmarks.md"


def main() -> None:
    intro = "Made by `python benchmarks/run.py`; each block is one script's output."
    pages = ["# Benchmarks", intro]
    for script in sorted(HERE.glob("bench_*.py")):
        print(f"$ python benchmarks/{script.name}", flush=True)
        done = subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, check=True
        )
        print(done.stdout, flush=True)
        pages.append(f"```\n$ python benchmarks/{script.name}\n{done.stdout.rstrip()}\n```")
    notes = RESULTS.with_name("benchmarks_notes.md")
    if notes.exists():
        pages.append(notes.read_text(encoding="utf-8").rstrip())
    RESULTS.write_text("\n\n".join(pages) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
