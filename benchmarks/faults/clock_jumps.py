"""The clock of a machine that is set forward and back by an hour while a run trains."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from pathlib import Path

from benchmarks.faults.row import Row
from benchmarks.faults.runs import LOOK_SECONDS, difference, finish, segments_done, small_run, start_run
from sec_rl.errors import MissingDependencyError
from sec_rl.files import write_atomically

_LIBRARIES = ("/usr/lib", "/usr/local/lib")
JUMPS_PER_RUN = 4
# Nothing in a run of seconds takes half of an hour.
_MOST_SECONDS = 1800.0
# libfaketime breaks the call behind `time.sleep` in Python 3.11 and later, whatever the clock shows; the one behind
# an event it leaves alone.
_SLEEPS = """
import threading, time
time.sleep = lambda seconds: threading.Event().wait(seconds) and None
"""


def fake_clock() -> Path:
    """Return libfaketime, which stands between a process and the time of day.

    Raises:
        MissingDependencyError: it is not installed.
    """
    for place in _LIBRARIES:
        for found in sorted(Path(place).rglob("libfaketime.so.1")):
            return found
    raise MissingDependencyError("Clock jumps need libfaketime, in Debian the package faketime.")


def clock_jumps(count: int, folder: Path, seed: int) -> Row:
    """Let the time of day jump while real runs train; only the clock that cannot jump may be used for durations.

    Args:
        count: jumps in all, by an hour, forward and back in turn.
        folder: of the runs.
        seed: of the runs and of the segments in which the clock jumps.
    """
    config, chance, library = small_run(folder, seed), random.Random(seed), fake_clock()
    whole, offset = folder / f"whole-{seed}", folder / "offset"
    if not (whole / "result.json").exists():
        finish(config, whole, "--overwrite")
    (folder / "faked").mkdir(exist_ok=True)
    write_atomically(folder / "faked" / "sitecustomize.py", _SLEEPS)
    # The file is read at every call; time that a machine counts since it started does not jump.
    faked = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": os.pathsep.join([str(folder / "faked"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }
    injected = lost = corrupted = 0
    problems = []
    while injected < count:
        place = folder / f"jumped-{seed}"
        shutil.rmtree(place, ignore_errors=True)
        write_atomically(offset, "+0\n")
        process = start_run(config, place, environment=faked)
        segments = sorted(chance.sample(range(1, config.n_segments), JUMPS_PER_RUN))
        for number, segment in enumerate(segments):
            while process.poll() is None and segments_done(place) <= segment:
                time.sleep(LOOK_SECONDS)
            if process.poll() is None:
                write_atomically(offset, "+3600\n" if number % 2 == 0 else "-3600\n")
                injected += 1
        said = process.communicate()[1]
        if process.returncode:
            lost += 1
            problems.append(f"exit {process.returncode}: {said.strip()[-200:]}")
            continue
        found = difference(place, whole)
        times = json.loads((place / "result.json").read_text(encoding="utf-8"))["seconds"]
        wrong = {name: value for name, value in times.items() if not 0.0 <= value <= _MOST_SECONDS}
        if found is not None or wrong:
            corrupted += 1
            problems.append(f"after jumps {found or wrong} differs.")
    return Row("the clock jumps by an hour in a real run", injected, lost, corrupted, problems=problems)
