"""Run every benchmark, one after the other, and write what they print to results/benchmarks.md.

On an idle computer: python benchmarks/run.py, or python benchmarks/run.py NAME … for some of them.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "benchmarks.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="bench_NAME.py of these alone; the others stay")
    names = parser.parse_args().names
    scripts = sorted(HERE.glob("bench_*.py"))
    unknown = [name for name in names if HERE / f"bench_{name}.py" not in scripts]
    if unknown:
        parser.error(f"there is no bench_NAME.py of {', '.join(unknown)}")
    earlier = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    pages = [
        "# Benchmarks",
        "Made by `python benchmarks/run.py`; a block for each script's output.",
    ]
    for script in scripts:
        head = f"```\n$ python benchmarks/{script.name}\n"
        _, found, rest = earlier.partition(head)
        if names and script.stem.removeprefix("bench_") not in names:
            if found:
                pages.append(head + rest[: rest.index("\n```") + 4])
            continue
        print(head.splitlines()[1], flush=True)
        done = subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, check=True
        )
        print(done.stdout, flush=True)
        pages.append(f"{head}{done.stdout.rstrip()}\n```")
    notes = RESULTS.with_name("benchmarks_notes.md")
    if notes.exists():
        pages.append(notes.read_text(encoding="utf-8").rstrip())
    RESULTS.write_text("\n\n".join(pages) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
