"""Jobs and environments for tests of workers: they kill, stop or break whoever does them, as often as told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from sec_rl.errors import InputError
from sec_rl.workers import Job

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def draw(job: Job) -> tuple[str, float, str | None]:
    """Return what the job's seed decides, and the threads that libraries may use."""
    return job.key, float(np.random.default_rng(job.seed).random()), os.environ.get("OMP_NUM_THREADS")


def fault_then_draw(job: Job) -> tuple[str, float, str | None]:
    """Send this process the signal that the argument names, as many times as it says, and draw at last."""
    if job.argument is not None:
        kind, times, folder = job.argument
        if len(list(Path(folder).glob(f"{job.key}-*"))) < times:
            Path(folder, f"{job.key}-{os.getpid()}").touch()
            os.kill(os.getpid(), SIGNALS[kind])
            time.sleep(300.0)
    return draw(job)


def refuse(job: Job) -> None:
    """Fail in a way that says which job it was."""
    raise ValueError(f"{job.key} is refused")


class UnreadableError(Exception):
    """It can be pickled, and not be read back."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def refuse_unreadably(job: Job) -> None:
    """Fail in a way that cannot travel as it is."""
    raise UnreadableError(job.key, "is refused")


def sleep_beside_a_child(job: Job) -> None:
    """Write down this process and a child of it, and sleep."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(job.argument).write_text(f"{os.getpid()} {child.pid}", encoding="utf-8")
    time.sleep(600.0)


def broken_env() -> None:
    """Open nothing."""
    raise InputError("nothing to open")


def deadly_env() -> None:
    """Open nothing, and die of it."""
    os.kill(os.getpid(), signal.SIGKILL)
