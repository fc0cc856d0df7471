"""Many runs from one file: what they are, who trains them, and the table that comes of it.

Above the commands that train and evaluate one run, below those that need many.
"""

from axiswise.runs.sweeps.plan import Sweep, plan, read_sweep
from axiswise.runs.sweeps.planned import Outcome, PlannedRun, Progress, Resources
from axiswise.runs.sweeps.run_all import run_all
from axiswise.runs.sweeps.sweep import sweep
from axiswise.runs.sweeps.table import TABLE, TableRow, read_table, write_table

__all__ = [
    "TABLE",
    "Outcome",
    "PlannedRun",
    "Progress",
    "Resources",
    "Sweep",
    "TableRow",
    "plan",
    "read_sweep",
    "read_table",
    "run_all",
    "sweep",
    "write_table",
]
