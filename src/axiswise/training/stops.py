"""How a run ends before its last step; apart from the loop, which takes seconds to import."""


class TrainingStoppedError(RuntimeError):
    """A run that cannot go on; what it wrote so far is kept."""


class InterruptedRunError(TrainingStoppedError):
    """A run that was interrupted by hand, after its state was saved."""
