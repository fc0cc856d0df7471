"""Errors that end a run early; apart from the loop, whose import takes seconds."""


class TrainingStoppedError(RuntimeError):
    """A run that cannot go on; what it wrote so far is kept."""


class InterruptedRunError(TrainingStoppedError):
    """A run that was interrupted by hand, after its state was saved."""
