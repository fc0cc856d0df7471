"""A fuzz of every file that a command reads: no traceback, no hang, no other file changed.

The seed is the day's. AXISWISE_FUZZ_SEED repeats that of another day, and
`python tests/runs/damaging.py 1000` tries more and prints what became of them.
"""

import os
import time
from pathlib import Path

import pytest
from damaging import attempt, build

from tiny import TINY, TINY_GAN

SEED = int(os.environ.get("AXISWISE_FUZZ_SEED", time.strftime("%Y%m%d", time.gmtime())))
PARTS, EACH = 12, 25

# A warning is a line on the command line, no error.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.unchecked,
    pytest.mark.filterwarnings("default::UserWarning"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "world"
    build(folder, TINY, TINY_GAN)
    return folder


@pytest.mark.parametrize("part", range(PARTS))
def test_a_damaged_file_is_refused_in_a_line_and_costs_nothing(world: Path, part: int) -> None:
    print(f"AXISWISE_FUZZ_SEED={SEED}")  # shown where the test fails
    tried = [attempt(world, SEED, number) for number in range(part * EACH, (part + 1) * EACH)]
    faults = [result for result in tried if result.is_fault]
    assert not faults, "\n\n".join(map(str, faults))
    assert any(result.outcome == "refused" for result in tried)
