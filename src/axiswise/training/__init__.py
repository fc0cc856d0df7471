"""Training: the loop, its schedules, the run folder and its checkpoints."""
