"""Processes that are forked and killed; this module must be imported before any library starts threads."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path


def fork(work: Callable[[], object]) -> int:
    """Run `work` in a process of its own and return that process's id; what it raises ends it with code 1."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def kill(child: int) -> None:
    """End a process with SIGKILL, and wait until it is gone."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def exit_code(child: int) -> int:
    """Wait for a process and return its code; minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def is_running(pid: int) -> bool:
    """Return whether a process is there, stopped ones included; one that only waits to be reaped is not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")
