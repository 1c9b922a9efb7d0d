"""Memory between two trainings in one process."""

from __future__ import annotations

import ctypes
import sys


def release_memory() -> None:
    """Give freed memory back to the system, where the C library can (glibc).

    Batches of many lengths leave the heap in pieces that stay with the process: after a dozen runs of 1 GB it held 4.
    """
    if sys.platform == "linux":
        # musl has no such function, and no such heap.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
