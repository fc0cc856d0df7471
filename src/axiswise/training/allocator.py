"""Settings of the C library's allocator for training."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # from malloc.h


def keep_freed_memory() -> None:
    """Have glibc reuse freed memory instead of handing it back to the kernel each step.

    A step on a CPU frees and allocates some hundred megabytes; the page faults cost 10 to 30 % of
    its time, half of that of `torch.func.vmap`. `axiswise train` calls this; call it at the start
    of your own training script. The process keeps its peak of memory. No effect without glibc.
    """
    if sys.platform != "linux":
        return
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_MMAP_THRESHOLD, 2**25)  # the most that glibc accepts
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    except (OSError, AttributeError):
        return
