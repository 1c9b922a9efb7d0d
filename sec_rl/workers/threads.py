"""Threads of a worker's libraries."""

from __future__ import annotations


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment in which libraries use `threads` threads.

    They read it when they are imported, which is before they can be told otherwise.
    """
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
