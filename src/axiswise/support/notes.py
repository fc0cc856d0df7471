"""What users should know although nothing has failed."""

import sys


def note(message: str) -> None:
    """Say something in a line on standard error."""
    print(f"axiswise: {message}", file=sys.stderr, flush=True)
