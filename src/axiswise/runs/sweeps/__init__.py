"""Sweeps: many runs from one file, who trains them, and the table of their scores."""

from axiswise.runs.sweeps.plan import Sweep, plan, read_sweep
from axiswise.runs.sweeps.planned import Outcome, PlannedRun, Resources, SweepProgress
from axiswise.runs.sweeps.run_all import OnProgress, run_all
from axiswise.runs.sweeps.sweep import Bars, no_sweep_bars, sweep

__all__ = [
    "Bars",
    "OnProgress",
    "Outcome",
    "PlannedRun",
    "Resources",
    "Sweep",
    "SweepProgress",
    "no_sweep_bars",
    "plan",
    "read_sweep",
    "run_all",
    "sweep",
]
