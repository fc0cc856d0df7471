"""A lock for each run, so that no two processes train it at once."""

import sys
from typing import BinaryIO


def take(lock: BinaryIO) -> bool:
    """Take a lock, until the file is closed or this process ends, by whatever.

    Args:
        lock: The file, open for writing.

    Returns:
        Whether nobody else had it.
    """
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
