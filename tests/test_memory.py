"""Memory goes back to the system."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from sec_rl.training.memory import release_memory


def resident_bytes() -> int:
    """Return what this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="glibc only")
def test_freed_pieces_go_back_to_the_system() -> None:
    # Too small for pages of their own; every hundredth stays and keeps the heap from shrinking by itself.
    pieces = [np.ones(60_000, np.uint8) for _ in range(4000)]
    kept = pieces[::100]
    del pieces
    before = resident_bytes()
    release_memory()
    assert before - resident_bytes() > 100_000_000
    assert len(kept) == 40
